/* Booleans, numbers, dates and times of TOML.
 *
 * All of them are runs of letters, digits and "_+-.:", so that a run is taken first and judged as a
 * whole; only a date may be followed by one space and a time. Each judge returns NULL, or the reason
 * why the text is not what it looks like.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/toml_internal.h"

/* Borrowed bytes and a cursor in them. */
struct run {
    const char *at;
    const char *end;
};

static int peek(const struct run *r)
{
    return r->at < r->end ? (unsigned char)*r->at : -1;
}

static bool take(struct run *r, char c)
{
    if (peek(r) != c)
        return false;
    r->at++;
    return true;
}

static bool is(const struct run *r, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(r->end - r->at) == n && memcmp(r->at, word, n) == 0;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* --- dates and times --- */

/* Takes exactly `count` digits; false when they are not there or their number is out of range. */
static bool take_number(struct run *r, int count, int least, int most, int *out)
{
    int n = 0;

    for (int i = 0; i < count; i++) {
        if (!is_digit(peek(r)))
            return false;
        n = 10 * n + *r->at++ - '0';
    }
    *out = n;
    return n >= least && n <= most;
}

/* By the Gregorian rule also before 1582, as RFC 3339 has it; year 0 is a leap year. */
static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

static const char *judge_date(struct run *r)
{
    int year, month, day;

    if (!take_number(r, 4, 0, 9999, &year) || !take(r, '-'))
        return "expected YYYY-MM-DD";
    if (!take_number(r, 2, 1, 12, &month) || !take(r, '-'))
        return "expected a month from 01 to 12, and a '-'";
    if (!take_number(r, 2, 1, 31, &day))
        return "expected a day from 01 to 31";
    return day <= days_in_month(year, month) ? NULL : "that month has no such day";
}

static const char *judge_time(struct run *r)
{
    int ignored;

    if (!take_number(r, 2, 0, 23, &ignored) || !take(r, ':'))
        return "expected an hour from 00 to 23, and a ':'";
    if (!take_number(r, 2, 0, 59, &ignored))
        return "expected a minute from 00 to 59";
    if (!take(r, ':') || !take_number(r, 2, 0, 60, &ignored))
        return "expected a ':' and a second from 00 to 60";
    if (!take(r, '.'))
        return NULL;
    if (!is_digit(peek(r)))
        return "expected a digit after the '.'";
    while (is_digit(peek(r)))
        r->at++;
    return NULL;
}

static const char *judge_offset(struct run *r)
{
    int ignored;

    if (take(r, 'Z') || take(r, 'z') || (peek(r) != '+' && peek(r) != '-'))
        return NULL;
    r->at++;
    if (!take_number(r, 2, 0, 23, &ignored) || !take(r, ':') ||
        !take_number(r, 2, 0, 59, &ignored))
        return "expected an offset from 00:00 to 23:59";
    return NULL;
}

static const char *judge_datetime(struct run r, bool has_date)
{
    const char *reason = has_date ? judge_date(&r) : NULL;
    bool has_time = !has_date || take(&r, 'T') || take(&r, 't') || take(&r, ' ');

    if (!reason && has_time)
        reason = judge_time(&r);
    if (!reason && has_time && has_date)
        reason = judge_offset(&r);
    if (!reason && r.at != r.end)
        reason = has_time ? "there is something behind the time" : "expected 'T' before the time";
    return reason;
}

/* "1979-05-27 07:32:00": a space instead of the T, when something like an hour follows. */
static void extend_to_time(const km_toml_parser *p, struct run *r)
{
    const char *s = r->end;

    if (r->end - r->at != 10 || p->end - s < 2 || s[0] != ' ' || !is_digit((unsigned char)s[1]))
        return;
    for (s++; s < p->end && (is_digit((unsigned char)*s) || strchr("+-.:Zz", *s)); s++)
        ;
    r->end = s;
}

/* --- numbers --- */

static int digit_value(int c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* Digits with single underscores between them; *out is minus their value, because the least integer
 * has no positive counterpart. *out may be NULL. */
static const char *judge_digits(struct run *r, int radix, int64_t *out)
{
    bool after_digit = false, overflow = false;
    int64_t n = 0;

    for (;; r->at++) {
        int digit = digit_value(peek(r));
        if (peek(r) == '_' && !after_digit)
            return "an underscore must stand between two digits";
        after_digit = digit < radix;
        if (!after_digit && peek(r) != '_')
            break;
        if (after_digit)
            overflow |= __builtin_mul_overflow(n, radix, &n) || __builtin_sub_overflow(n, digit, &n);
    }
    if (!is_digit(r->at[-1]) && !(radix == 16 && digit_value((unsigned char)r->at[-1]) < 16))
        return "expected a digit";
    if (out && overflow)
        return "it does not fit 64 bits";
    if (out)
        *out = n;
    return NULL;
}
