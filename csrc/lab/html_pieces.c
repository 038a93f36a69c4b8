/* Text, numbers and times as HTML. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/html.h"
#include "formats/json.h"
#include "lab/html_internal.h"

#define DECIMALS_MAX 9

/* --- text --- */

void km_html_cut(km_str *s, const char *text, int chars_max)
{
    char *copy = strdup(text);
    size_t end = 0;
    int chars = 0;

    if (!copy) {
        s->failed = s->failed ? s->failed : KM_ENOMEM;
        return;
    }
    km_text_clean(copy);
    for (size_t i = 0; copy[i]; i++)
        if (((unsigned char)copy[i] & 0xc0) != 0x80 && chars++ == chars_max - 1)
            end = i;
    if (chars <= chars_max) {
        km_html_escape(s, copy, strlen(copy));
    } else {
        while (end && copy[end - 1] == ' ')
            end--;
        km_html_escape(s, copy, end);
        km_str_add(s, "\u2026");
    }
    free(copy);
}

void km_html_text(km_str *s, const char *text)
{
    km_html_cut(s, text, INT32_MAX);
}

/* --- numbers --- */

void km_html_number(km_str *s, double value, int decimals, bool sign)
{
    double shown = fabs(value), least = 0.5 * pow(10, -decimals);

    if (value < 0 && shown >= least)
        km_str_add(s, "\u2212");
    else if (sign && shown >= least)
        km_str_add_char(s, '+');
    if (shown >= 1e15)
        km_str_printf(s, "%.6g", shown);
    else
        km_str_printf(s, "%.*f", decimals, shown);
}

void km_html_end_of(const km_html *h, km_str *s, const json_t *row, const char *key)
{
    if (km_html_is_number(row, key))
        km_html_number(s, km_json_number_of(row, key), h->gain_decimals, true);
    else
        km_str_add(s, "\u2026");
}

void km_html_gain_text(const km_html *h, km_str *s, const json_t *row)
{
    if (!km_html_is_number(row, "gain"))
        return;
    km_html_number(s, km_json_number_of(row, "gain"), h->gain_decimals, true);
    km_str_add(s, " [");
    km_html_end_of(h, s, row, "low");
    km_str_add(s, ", ");
    km_html_end_of(h, s, row, "high");
    km_str_add(s, "]");
}

void km_html_gain(km_html *h, const json_t *row)
{
    if (!km_html_is_number(row, "gain"))
        return;
    km_html_number(&h->out, km_json_number_of(row, "gain"), h->gain_decimals, true);
    km_str_add(&h->out, " <span class=\"ci\">[");
    km_html_end_of(h, &h->out, row, "low");
    km_str_add(&h->out, ", ");
    km_html_end_of(h, &h->out, row, "high");
    km_str_add(&h->out, "]</span>");
}

int km_html_decimals(double width)
{
    double digits = width > 0 ? 1 - floor(log10(width)) : 3;

    return digits < 0 ? 0 : digits > DECIMALS_MAX ? DECIMALS_MAX : (int)digits;
}

double km_html_step(double range, int most)
{
    double power = pow(10, floor(log10(range / most)));

    for (int i = 0; i < 4; i++) {
        static const double times[] = { 1, 2, 5, 10 };
        if (range / (power * times[i]) <= most)
            return power * times[i];
    }
    return power * 10;
}

/* Groups of three, from five digits on. */
static void add_grouped(km_str *s, long long whole)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%lld", whole);

    for (int i = 0; i < n; i++) {
        if (i && n >= 5 && (n - i) % 3 == 0)
            km_str_add(s, "\u2009");
        km_str_add_char(s, digits[i]);
    }
}

void km_html_amount(km_str *s, double value)
{
    if (value < 0 || value >= 1e15 || value < 1000)
        km_str_printf(s, value == floor(value) ? "%.0f" : "%.4g", value);
    else
        add_grouped(s, llround(value));
}

/* --- times --- */

void km_html_time(km_str *s, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    char machine[32], shown[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(machine, sizeof machine, "%Y-%m-%dT%H:%M:%SZ", &tm);
    strftime(shown, sizeof shown, "%Y-%m-%d %H:%M", &tm);
    km_str_printf(s, "<time datetime=\"%s\">%s</time>", machine, shown);
}

void km_html_span(km_str *s, int64_t us)
{
    long long t = us > 0 ? us / 1000000 : 0;

    if (t < 60)
        km_str_printf(s, "%lld s", t);
    else if (t < 3600)
        km_str_printf(s, "%lld min %02lld s", t / 60, t % 60);
    else if (t < 100LL * 3600)
        km_str_printf(s, "%lld h %02lld min", t / 3600, t / 60 % 60);
    else
        km_str_printf(s, "%lld d %02lld h", t / 86400, t / 3600 % 24);
}

/* --- states --- */

const char *km_html_state_class(const char *state)
{
    static const struct {
        const char *state, *name;
    } classes[] = {
        { "promoted", "good" },  { "accepted", "good" }, { "done", "good" },
        { "passed", "good" },    { "invalid", "bad" },   { "failed", "bad" },
        { "crashed", "bad" },    { "dead", "bad" },      { "error", "bad" },
        { "worse", "bad" },      { "timed_out", "bad" }, { "running", "open" },
        { "leased", "open" },    { "queued", "open" },   { "evaluating", "open" },
        { "proposed", "open" },  { "reviewed", "open" }, { "info", "open" },
        { "undecided", "warn" }, { "warn", "warn" },
    };

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(classes[i].state, state) == 0)
            return classes[i].name;
    return "off";
}

void km_html_state(km_str *s, const char *state)
{
    km_str_printf(s, "<span class=\"s %s\">", km_html_state_class(state));
    km_html_text(s, strcmp(state, "timed_out") == 0 ? "timed out" : state);
    km_str_add(s, "</span>");
}

/* --- sections --- */

void km_html_begin(km_html *h, const char *id, const char *title, const char *note)
{
    km_str_printf(&h->out, "<section id=\"%s\">\n<h2>%s</h2>\n", id, title);
    if (note)
        km_str_printf(&h->out, "<p class=\"note\">%s</p>\n", note);
}

void km_html_end(km_html *h)
{
    km_str_add(&h->out, "</section>\n");
}

void km_html_newest(km_html *h, size_t count, int64_t all, const char *what)
{
    if ((int64_t)count < all)
        km_str_printf(&h->out,
                      "<p class=\"note\">These are the newest %zu of %lld %s; <code>kernmill lab "
                      "report</code> has all of them.</p>\n",
                      count, (long long)all, what);
}

/* --- values --- */

int64_t km_html_int(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

bool km_html_is_number(const json_t *row, const char *key)
{
    return json_is_number(json_object_get(row, key));
}

int64_t km_html_sum(const json_t *counts)
{
    int64_t all = 0;
    const char *key;
    json_t *n;

    json_object_foreach((json_t *)(uintptr_t)counts, key, n) all += json_integer_value(n);
    return all;
}
