#include "cli/lab_screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/json.h"

#define NAME_COLUMNS  13
#define BAR_COLUMNS   24
#define WORKERS_ROWS  8
#define EVENTS_ROWS   8
#define ALERTS_ROWS   3
#define RESERVED_ROWS 4 /* below the workers: events or alerts, and a line that counts */

struct screen {
    km_str *out;
    const km_lab_screen *s;
    int used; /* rows */
};

static int rows_left(const struct screen *w)
{
    return w->s->rows - w->used;
}

/* At most so many characters; what is cut ends in "...". */
static void add_cut(km_str *out, const char *text, int chars_max)
{
    int chars = 0;
    size_t end = 0;

    for (size_t i = 0; text[i]; i++) {
        if (((unsigned char)text[i] & 0xc0) == 0x80)
            continue;
        if (chars++ == chars_max - 3)
            end = i;
    }
    if (chars <= chars_max) {
        km_str_add(out, text);
        return;
    }
    km_str_add_bytes(out, text, end);
    km_str_add(out, "...");
}

/* One line, cut at the screen's width. `style` is an escape, or "". */
static void put(struct screen *w, const char *style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void put(struct screen *w, const char *style, const char *format, ...)
{
    char *text = NULL;
    bool styled = w->s->color && *style;
    va_list ap;
    int n;

    if (rows_left(w) <= 0)
        return;
    va_start(ap, format);
    n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    km_text_clean(text);
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    km_str_add(w->out, styled ? style : "");
    add_cut(w->out, text, w->s->columns);
    km_str_add(w->out, styled ? "\033[0m\n" : "\n");
    free(text);
    w->used++;
}

static int64_t int_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* --- what it is about --- */

/* "0.42 [0.31, 0.55]"; "?" is what is not known. */
static void add_interval(km_str *s, const json_t *o)
{
    static const char *const keys[] = { "gain", "low", "high" };
    static const char *const between[] = { "", " [", ", " };

    for (int i = 0; i < 3; i++) {
        const json_t *value = json_object_get(o, keys[i]);
        km_str_add(s, between[i]);
        if (json_is_number(value))
            km_str_printf(s, "%.4g", json_number_value(value));
        else
            km_str_add_char(s, '?');
    }
    km_str_add_char(s, ']');
}

static void put_champion(struct screen *w, const json_t *standing)
{
    const json_t *c = json_object_get(standing, "champion");
    size_t steps = (size_t)int_of(standing, "promotions");
    km_str gain = KM_STR_INIT;

    if (!json_is_object(c)) {
        put(w, "", "%-*s none yet", NAME_COLUMNS, "champion");
        return;
    }
    if (int_of(c, "hypothesis"))
        put(w, "\033[1m", "%-*s #%lld %s", NAME_COLUMNS, "champion",
            (long long)int_of(c, "hypothesis"), km_json_text_of(c, "title"));
    else
        put(w, "\033[1m", "%-*s the baseline, commit %.12s", NAME_COLUMNS, "champion",
            km_json_text_of(c, "commit"));
    if (int_of(c, "n"))
        put(w, "", "%-*s mean %.6g, SD %.3g, %lld runs", NAME_COLUMNS, "",
            km_json_number_of(c, "mean"), km_json_number_of(c, "sd"), (long long)int_of(c, "n"));
    if (steps) {
        add_interval(&gain, standing);
        put(w, "", "%-*s gain over the baseline %s, %zu promotion%s", NAME_COLUMNS, "", gain.data,
            steps, steps == 1 ? "" : "s");
    }
    km_str_release(&gain);
}

/* As many lines as it takes. */
static void put_counts(struct screen *w, const char *what, const json_t *counts)
{
    size_t room = w->s->columns > NAME_COLUMNS + 20 ? (size_t)w->s->columns - NAME_COLUMNS - 1 : 20;
    km_str line = KM_STR_INIT, next = KM_STR_INIT;
    const char *state;
    json_t *n;

    json_object_foreach((json_t *)(uintptr_t)counts, state, n)
    {
        km_str_clear(&next);
        km_str_printf(&next, "%s %lld", state, (long long)json_integer_value(n));
        if (line.length && line.length + next.length + 3 > room) {
            put(w, "", "%-*s %s,", NAME_COLUMNS, what, line.data);
            km_str_clear(&line);
            what = "";
        }
        km_str_printf(&line, "%s%s", line.length ? ", " : "", next.data);
    }
    put(w, "", "%-*s %s", NAME_COLUMNS, what, line.length ? line.data : "none");
    km_str_release(&line);
    km_str_release(&next);
}

static void put_budget(struct screen *w, const char *kind, const json_t *row)
{
    static const char full[] = "########################", none[] = "........................";
    double used = km_json_number_of(row, "used"), allowed = km_json_number_of(row, "allowed");
    double share = allowed > 0 ? used / allowed : 1;
    int filled = share >= 1 ? BAR_COLUMNS : (int)(share * BAR_COLUMNS);

    if (!json_object_get(row, "allowed"))
        put(w, "", "%-*s %.10g, no limit", NAME_COLUMNS, kind, used);
    else
        put(w,
            share >= 1     ? "\033[31m"
            : share >= 0.8 ? "\033[33m"
                           : "",
            "%-*s [%.*s%.*s] %3.0f %%  %.10g of %.10g", NAME_COLUMNS, kind, filled, full,
            BAR_COLUMNS - filled, none, share * 100, used, allowed);
}

/* --- who is at work --- */

static void add_span(km_str *s, int64_t us)
{
    long long t = us > 0 ? us / 1000000 : 0;

    if (t < 60)
        km_str_printf(s, "%lld s", t);
    else if (t < 3600)
        km_str_printf(s, "%lld min %02lld s", t / 60, t % 60);
    else
        km_str_printf(s, "%lld h %02lld min", t / 3600, t / 60 % 60);
}

static void put_worker(struct screen *w, const json_t *row)
{
    bool late = int_of(row, "late") != 0;
    km_str name = KM_STR_INIT, span = KM_STR_INIT, idea = KM_STR_INIT;

    add_cut(&name, km_json_text_of(row, "worker"), 20);
    add_span(&span, w->s->now_us - int_of(row, "since_us"));
    if (int_of(row, "hypothesis"))
        km_str_printf(&idea, "#%lld %s", (long long)int_of(row, "hypothesis"),
                      km_json_text_of(row, "title"));
    put(w, late ? "\033[33m" : "", "  %-20s %12s%s  job %lld, %s  %s", name.data, span.data,
        late ? ", not heard of any more" : "", (long long)int_of(row, "job"),
        km_json_text_of(row, "kind"), idea.data);
    km_str_release(&name);
    km_str_release(&span);
    km_str_release(&idea);
}

static void put_workers(struct screen *w, const json_t *workers)
{
    size_t count = json_array_size(workers);
    int room = rows_left(w) - RESERVED_ROWS;
    size_t shown = room < 1 ? 1 : room < WORKERS_ROWS ? (size_t)room : WORKERS_ROWS;

    put(w, "", "%-*s %zu at work", NAME_COLUMNS, "workers", count);
    for (size_t i = 0; i < count && i < shown; i++)
        put_worker(w, json_array_get(workers, i));
    if (count > shown)
        put(w, "", "  and %zu more", count - shown);
}

/* --- what happened --- */

static void add_time(km_str *s, int64_t us, bool day)
{
    time_t seconds = (time_t)(us / 1000000);
    char text[32];
    struct tm tm;

    strftime(text, sizeof text, day ? "%Y-%m-%dT%H:%M:%SZ" : "%H:%M:%S", gmtime_r(&seconds, &tm));
    km_str_add(s, text);
}

void km_lab_screen_event(km_str *out, const json_t *event, bool day)
{
    static const char *const keys[] = { "worker", "reason", "why", "title", "key" };
    const json_t *body = json_object_get(event, "body");
    const char *more = "";

    for (size_t i = 0; !*more && i < sizeof keys / sizeof *keys; i++)
        more = km_json_text_of(body, keys[i]);
    add_time(out, int_of(event, "at_us"), day);
    km_str_printf(out, " %s %s%s%s", km_json_text_of(event, "subject"),
                  km_json_text_of(event, "what"), *more ? ": " : "", more);
    if (out->length)
        km_text_clean(out->data);
    for (char *c = out->data; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
}

static void put_events(struct screen *w, const json_t *events)
{
    size_t count = json_array_size(events);
    int room = rows_left(w) - ALERTS_ROWS - 2;
    size_t shown = room < 1 ? 1 : room < EVENTS_ROWS ? (size_t)room : EVENTS_ROWS;
    km_str line = KM_STR_INIT;

    put(w, "", "events");
    for (size_t i = count > shown ? count - shown : 0; i < count; i++) {
        km_str_clear(&line);
        km_lab_screen_event(&line, json_array_get(events, i), false);
        put(w, "", "  %s", line.data);
    }
    km_str_release(&line);
}

static void put_alerts(struct screen *w, const json_t *alerts)
{
    const json_t *last = json_object_get(alerts, "last"), *row;

    put_counts(w, "alerts", json_object_get(alerts, "count"));
    for (size_t i = 0; i < json_array_size(last) && i < ALERTS_ROWS; i++) {
        km_str at = KM_STR_INIT;
        row = json_array_get(last, i);
        add_time(&at, int_of(row, "created_us"), false);
        put(w, strcmp(km_json_text_of(row, "level"), "error") == 0 ? "\033[31m" : "\033[33m",
            "  %s %-5s %s%s%s", at.data, km_json_text_of(row, "level"),
            km_json_text_of(row, "title"), *km_json_text_of(row, "text") ? ": " : "",
            km_json_text_of(row, "text"));
        km_str_release(&at);
    }
}

void km_lab_screen_add(km_str *out, const km_lab_screen *screen, const json_t *overview,
                       const json_t *events)
{
    struct screen w = { out, screen, 0 };
    const json_t *standing = json_object_get(overview, "standing");
    const char *kind;
    json_t *row;

    put(&w, "\033[1m", "%s: %s, %s is better", km_json_text_of(overview, "name"),
        km_json_text_of(standing, "metric"), km_json_text_of(standing, "direction"));
    put_champion(&w, standing);
    put_counts(&w, "hypotheses", json_object_get(overview, "hypotheses"));
    put_counts(&w, "jobs", json_object_get(overview, "jobs"));
    json_object_foreach(json_object_get(overview, "budget"), kind, row) put_budget(&w, kind, row);
    put_workers(&w, json_object_get(overview, "workers"));
    if (events)
        put_events(&w, events);
    put_alerts(&w, json_object_get(overview, "alerts"));
}
