/* Booleans, numbers, dates and times of TOML.
 *
 * All of them are runs of letters, digits and "_+-.:", so that a run is taken first and judged as a
 * whole; only a date may be followed by one space and a time. Each judge returns NULL, or the
 * reason why the text is not what it looks like.
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
    if (!take_number(r, 2, 0, 23, &ignored) || !take(r, ':') || !take_number(r, 2, 0, 59, &ignored))
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

/* Digits with single underscores between them. */
static const char *judge_digits(struct run *r, int radix)
{
    const char *reason = "expected a digit";

    do {
        if (digit_value(peek(r)) >= radix)
            return reason;
        while (digit_value(peek(r)) < radix)
            r->at++;
        reason = "an underscore must stand between two digits";
    } while (take(r, '_'));
    return NULL;
}

/* The value of judged digits, summed up below zero, because the least integer has no positive
 * counterpart. */
static const char *convert_integer(struct run digits, int radix, bool negative, int64_t *out)
{
    bool overflow = false;
    int64_t n = 0;

    for (; digits.at < digits.end; digits.at++) {
        if (*digits.at == '_')
            continue;
        overflow |= __builtin_mul_overflow(n, radix, &n);
        overflow |= __builtin_sub_overflow(n, digit_value((unsigned char)*digits.at), &n);
    }
    if (!negative)
        overflow |= __builtin_sub_overflow((int64_t)0, n, &n);
    *out = n;
    return overflow ? "an integer must fit 64 bits, sign included" : NULL;
}

static const char *judge_radix(struct run r, int radix, km_toml *v)
{
    struct run digits = r;
    const char *reason = judge_digits(&r, radix);

    v->kind = KM_TOML_INT;
    if (!reason && r.at != r.end)
        reason = radix == 16  ? "expected hexadecimal digits"
                 : radix == 8 ? "expected digits from 0 to 7"
                              : "expected digits 0 and 1";
    return reason ? reason : convert_integer(digits, radix, false, &v->integer);
}

/* strtod reads what has been judged already, without its underscores. */
static void convert_float(km_toml_parser *p, struct run r, km_toml *v)
{
    km_str_clear(&p->scratch);
    for (; r.at < r.end; r.at++) {
        if (*r.at != '_')
            km_str_add_char(&p->scratch, *r.at);
    }
    v->kind = KM_TOML_FLOAT;
    v->real = strtod_l(p->scratch.data, NULL, p->locale);
}

static const char *judge_decimal(km_toml_parser *p, struct run r, km_toml *v)
{
    const struct run whole = r;
    bool negative = peek(&r) == '-', is_float = false;
    struct run digits;
    const char *reason;

    r.at += peek(&r) == '-' || peek(&r) == '+';
    digits = r;
    reason = judge_digits(&r, 10);
    if (!reason && r.at - digits.at > 1 && *digits.at == '0')
        reason = "a decimal number must not start with 0";
    digits.end = r.at;
    if (!reason && take(&r, '.')) {
        is_float = true;
        reason = judge_digits(&r, 10);
    }
    if (!reason && (take(&r, 'e') || take(&r, 'E'))) {
        is_float = true;
        r.at += peek(&r) == '-' || peek(&r) == '+';
        reason = judge_digits(&r, 10);
    }
    if (!reason && r.at != r.end)
        reason = "there is something behind the number";
    if (reason || is_float) {
        if (!reason)
            convert_float(p, whole, v);
        return reason;
    }
    v->kind = KM_TOML_INT;
    return convert_integer(digits, 10, negative, &v->integer);
}

static const char *judge_number(km_toml_parser *p, struct run r, km_toml *v)
{
    struct run bare = r;
    bool negative = peek(&r) == '-', sign = negative || peek(&r) == '+';

    bare.at += sign;
    v->kind = KM_TOML_FLOAT;
    if (is(&bare, "inf") || is(&bare, "nan")) {
        v->real = copysign(*bare.at == 'i' ? (double)INFINITY : (double)NAN, negative ? -1 : 1);
        return NULL;
    }
    if (bare.end - bare.at >= 2 && bare.at[0] == '0' && strchr("xob", bare.at[1])) {
        char radix = bare.at[1];
        if (sign)
            return "a sign needs a decimal number";
        bare.at += 2;
        return judge_radix(bare, radix == 'x' ? 16 : radix == 'o' ? 8 : 2, v);
    }
    return judge_decimal(p, r, v);
}

/* --- which of them it is --- */

static bool is_run_byte(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c > 0 && strchr("_+-.:", c));
}

/* Digits, then a '-' (a date) or a ':' (a time): no number has either there. */
static bool looks_like_datetime(struct run r, bool *has_date)
{
    const char *start = r.at;

    while (is_digit(peek(&r)))
        r.at++;
    *has_date = peek(&r) == '-';
    return r.at > start && (*has_date || peek(&r) == ':');
}

static bool looks_like_number(const struct run *r)
{
    int c = peek(r);

    return is_digit(c) || c == '-' || c == '+' || c == '.' || is(r, "inf") || is(r, "nan");
}

static int fail_no_value(km_toml_parser *p, km_toml_place place, const struct run *r)
{
    char shown[KM_TOML_SHOWN_BYTES];
    int rc;

    if (r->at == r->end)
        return KM_TOML_FAIL(p, place, "found %s; expected a value", km_toml_show_next(shown, p));
    rc = KM_TOML_FAIL(p, place, "'%s' is no value",
                      km_toml_show(shown, r->at, (size_t)(r->end - r->at)));
    km_hint(p->err, "put text in quotes; booleans are true and false");
    return rc;
}

int km_toml_scan_scalar(km_toml_parser *p, km_toml *v)
{
    km_toml_place place = km_toml_here(p);
    struct run r = { p->at, p->at };
    char shown[KM_TOML_SHOWN_BYTES];
    const char *reason = NULL, *what = "number";
    bool has_date;

    while (r.end < p->end && is_run_byte((unsigned char)*r.end))
        r.end++;
    v->kind = KM_TOML_BOOL;
    v->boolean = is(&r, "true");
    if (looks_like_datetime(r, &has_date)) {
        extend_to_time(p, &r);
        what = "date or time";
        reason = judge_datetime(r, has_date);
        v->kind = KM_TOML_DATETIME;
    } else if (looks_like_number(&r)) {
        reason = judge_number(p, r, v);
    } else if (!v->boolean && !is(&r, "false")) {
        return fail_no_value(p, place, &r);
    }
    if (reason)
        return KM_TOML_FAIL(p, place, "'%s' is not a valid %s: %s",
                            km_toml_show(shown, r.at, (size_t)(r.end - r.at)), what, reason);
    p->at = r.end;
    if (v->kind == KM_TOML_DATETIME)
        return km_toml_keep(p, r.at, (size_t)(r.end - r.at), &v->string);
    return v->kind == KM_TOML_FLOAT ? km_str_check(&p->scratch, p->err) : 0;
}
