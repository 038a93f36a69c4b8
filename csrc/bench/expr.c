#include "bench/expr.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/str.h"

struct reader {
    const char *text, *at;
    const km_variable *variables;
    size_t count;
    int depth;
    km_err *err;
};

static int sum(struct reader *r, double *out);

static void skip_space(struct reader *r)
{
    r->at += strspn(r->at, " \t");
}

/* Passes `token` when it is next; "*" is not the start of "**", nor "/" of "//". */
static bool take(struct reader *r, const char *token)
{
    size_t n = strlen(token);

    skip_space(r);
    if (strncmp(r->at, token, n) != 0 || (n == 1 && strchr("*/", *token) && r->at[1] == *token))
        return false;
    r->at += n;
    return true;
}

static int fail(struct reader *r, const char *expected)
{
    return km_fail(r->err, KM_EFORMAT, "'%.200s', column %zu: expected %s", r->text,
                   (size_t)(r->at - r->text) + 1, expected);
}

static int fail_name(struct reader *r, const char *name, size_t length)
{
    const char *names[KM_EXPR_NAMES_MAX + 1], *near;
    char word[64] = "";
    size_t n = r->count < KM_EXPR_NAMES_MAX ? r->count : KM_EXPR_NAMES_MAX;

    memcpy(word, name, length < sizeof word ? length : sizeof word - 1);
    for (size_t i = 0; i < n; i++)
        names[i] = r->variables[i].name;
    names[n] = NULL;
    near = km_nearest(word, names);
    km_fail(r->err, KM_EFORMAT, "'%.200s', column %zu: there is no '%s'", r->text,
            (size_t)(name - r->text) + 1, word);
    if (near)
        km_hint(r->err, "did you mean '%s'?", near);
    return KM_EFORMAT;
}

static int name_value(struct reader *r, double *out)
{
    const char *name = r->at;
    size_t n = 0;

    while (isalnum((unsigned char)name[n]) || name[n] == '_')
        n++;
    r->at += n;
    for (size_t i = 0; i < r->count; i++)
        if (strlen(r->variables[i].name) == n && memcmp(r->variables[i].name, name, n) == 0) {
            *out = r->variables[i].value;
            return 0;
        }
    return fail_name(r, name, n);
}

/* strtod without what it takes beside decimal numbers. */
static int number(struct reader *r, double *out)
{
    char *end;

    if (r->at[0] == '0' && (r->at[1] == 'x' || r->at[1] == 'X'))
        return fail(r, "a decimal number");
    *out = strtod(r->at, &end);
    r->at = end;
    return 0;
}

static int primary(struct reader *r, double *out)
{
    skip_space(r);
    if (isdigit((unsigned char)*r->at) || (*r->at == '.' && isdigit((unsigned char)r->at[1])))
        return number(r, out);
    if (isalpha((unsigned char)*r->at) || *r->at == '_')
        return name_value(r, out);
    if (!take(r, "("))
        return fail(r, "a number, a name or '('");
    if (sum(r, out) < 0)
        return KM_EFORMAT;
    return take(r, ")") ? 0 : fail(r, "')'");
}

static int power(struct reader *r, double *out)
{
    double exponent = 0;
    int rc;

    *out = 0;
    if (++r->depth > KM_EXPR_DEPTH_MAX)
        return km_fail(r->err, KM_ELIMIT, "'%.40s...' is nested deeper than %d", r->text,
                       KM_EXPR_DEPTH_MAX);
    if (take(r, "-")) {
        rc = power(r, out);
        *out = -*out;
    } else if (take(r, "+")) {
        rc = power(r, out);
    } else {
        rc = primary(r, out);
        if (rc == 0 && take(r, "**")) {
            rc = power(r, &exponent);
            *out = rc == 0 ? pow(*out, exponent) : 0;
        }
    }
    r->depth--;
    return rc;
}

static int product(struct reader *r, double *out)
{
    static const char *const signs[] = { "*", "//", "/", "%" };

    if (power(r, out) < 0)
        return KM_EFORMAT;
    for (;;) {
        double right = 0;
        int i = 0;
        while (i < 4 && !take(r, signs[i]))
            i++;
        if (i == 4)
            return 0;
        if (power(r, &right) < 0)
            return KM_EFORMAT;
        if (i == 0)
            *out *= right;
        else if (i == 1)
            *out = floor(*out / right);
        else if (i == 2)
            *out /= right;
        else
            *out -= right * floor(*out / right);
    }
}

static int sum(struct reader *r, double *out)
{
    if (product(r, out) < 0)
        return KM_EFORMAT;
    for (;;) {
        double right = 0;
        bool minus = take(r, "-");
        if (!minus && !take(r, "+"))
            return 0;
        if (product(r, &right) < 0)
            return KM_EFORMAT;
        *out += minus ? -right : right;
    }
}

int km_expr_value(const char *text, const km_variable *variables, size_t count, double *out,
                  km_err *err)
{
    km_err ours = KM_ERR_INIT; /* whose code tells a limit from a mistake */
    struct reader r = { text, text, variables, count, 0, err ? err : &ours };

    *out = 0;
    if (sum(&r, out) < 0)
        return r.err->code;
    skip_space(&r);
    if (*r.at)
        return fail(&r, "an operator or the end");
    if (!isfinite(*out))
        return km_fail(err, KM_EFORMAT, "'%.200s' has no finite value", text);
    return 0;
}
