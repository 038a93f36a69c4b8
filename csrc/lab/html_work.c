/* Who worked when: each lease is a bar in its worker's lane. A worker that has several at once has
 * a lane for each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/json.h"
#include "lab/html_internal.h"

#define WIDTH      1040.0
#define LEFT       168.0
#define RIGHT      14.0
#define TOP        26.0
#define LANE       22.0
#define BAR        14.0
#define LANES_MAX  64
#define TICKS      9
#define NAME_CHARS 24

struct lane {
    const char *worker;
    int64_t free_us; /* its last bar ends here */
};

struct work {
    km_html *h;
    struct lane lanes[LANES_MAX];
    size_t count, left_out; /* left_out: leases of workers beyond LANES_MAX */
    int64_t begin_us, end_us;
};

/* --- lanes --- */

static int64_t end_of(const struct work *w, const json_t *lease)
{
    int64_t end = km_html_int(lease, "ended_us");

    return end ? end : w->h->now_us;
}

/* Leases come by their begin: the first lane of the worker that is free, or a new one. */
static size_t lane_of(struct work *w, const json_t *lease)
{
    const char *worker = km_json_text_of(lease, "worker");
    size_t i;

    for (i = 0; i < w->count; i++)
        if (strcmp(w->lanes[i].worker, worker) == 0 &&
            w->lanes[i].free_us <= km_html_int(lease, "began_us"))
            break;
    if (i == w->count && i < LANES_MAX)
        w->lanes[w->count++] = (struct lane){ worker, 0 };
    if (i < LANES_MAX)
        w->lanes[i].free_us = end_of(w, lease);
    return i;
}

static int by_worker(const void *a, const void *b)
{
    return strcmp(((const struct lane *)a)->worker, ((const struct lane *)b)->worker);
}

/* Finds the lanes, then orders them by name, so that those of one worker lie together. */
static void find_lanes(struct work *w, const json_t *leases)
{
    json_t *row;
    size_t i;

    w->begin_us = INT64_MAX;
    json_array_foreach((json_t *)(uintptr_t)leases, i, row)
    {
        if (lane_of(w, row) == LANES_MAX)
            w->left_out++;
        if (km_html_int(row, "began_us") < w->begin_us)
            w->begin_us = km_html_int(row, "began_us");
        if (end_of(w, row) > w->end_us)
            w->end_us = end_of(w, row);
    }
    qsort(w->lanes, w->count, sizeof *w->lanes, by_worker);
    for (i = 0; i < w->count; i++)
        w->lanes[i].free_us = 0;
    if (w->count && w->end_us <= w->begin_us)
        w->end_us = w->begin_us + 1000000;
}

static double px(const struct work *w, int64_t us)
{
    return LEFT +
           (double)(us - w->begin_us) / (double)(w->end_us - w->begin_us) * (WIDTH - LEFT - RIGHT);
}

/* --- drawing --- */

/* In seconds: what people read on a clock. */
static int64_t tick_step(int64_t span_s)
{
    static const int64_t steps[] = { 1,      2,      5,       10,      15,      30,
                                     60,     120,    300,     600,     900,     1800,
                                     3600,   7200,   10800,   21600,   43200,   86400,
                                     172800, 604800, 1209600, 2592000, 7776000, 31536000 };

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (span_s / steps[i] <= TICKS)
            return steps[i];
    return span_s;
}

/* At the right end a text would leave the picture. */
static void add_tick_text(struct work *w, double x, double y, const char *text)
{
    bool last = x > WIDTH - 40;

    km_str_printf(&w->h->out, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"%s\">%s</text>",
                  last ? WIDTH : x, y, last ? "end" : "middle", text);
}

/* `day`: of the tick before; a new one is written below the time. */
static void add_tick(struct work *w, int64_t at_us, int64_t step_s, double bottom, int *day)
{
    time_t seconds = (time_t)(at_us / 1000000);
    double x = px(w, at_us);
    char text[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    km_str_printf(&w->h->out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>",
                  x, x, TOP - 4, bottom);
    strftime(text, sizeof text,
             step_s >= 86400 ? "%Y-%m-%d"
             : step_s >= 60  ? "%H:%M"
                             : "%H:%M:%S",
             &tm);
    add_tick_text(w, x, bottom + 17, text);
    strftime(text, sizeof text, "%Y-%m-%d", &tm);
    if (step_s < 86400 && tm.tm_yday != *day)
        add_tick_text(w, x, bottom + 33, text);
    *day = tm.tm_yday;
}

static void add_ticks(struct work *w, double bottom)
{
    int64_t begin_s = (w->begin_us + 999999) / 1000000, end_s = w->end_us / 1000000;
    int64_t step = tick_step(end_s - begin_s), first = (begin_s + step - 1) / step * step;
    int day = -1;

    if (first > end_s)
        add_tick(w, w->begin_us, 1, bottom, &day);
    for (int64_t t = first; t <= end_s; t += step)
        add_tick(w, t * 1000000, step, bottom, &day);
    km_str_add_char(&w->h->out, '\n');
}

static void add_lanes(struct work *w)
{
    km_str *s = &w->h->out;

    for (size_t i = 0; i < w->count; i++) {
        double y = TOP + (double)i * LANE;
        bool first = !i || strcmp(w->lanes[i - 1].worker, w->lanes[i].worker) != 0;
        if (i % 2 == 0)
            km_str_printf(s, "<rect class=\"stripe\" x=\"0\" y=\"%g\" width=\"%g\" height=\"%g\"/>",
                          y, WIDTH, LANE);
        if (!first)
            continue;
        km_str_printf(s, "<text class=\"ink\" x=\"8\" y=\"%g\">", y + LANE - 7);
        km_html_cut(s, w->lanes[i].worker, NAME_CHARS);
        km_str_add(s, "</text>");
    }
    km_str_add_char(s, '\n');
}

static void add_bar(struct work *w, const json_t *lease)
{
    km_str *s = &w->h->out;
    const char *how = km_html_int(lease, "ended_us") ? km_json_text_of(lease, "how") : "running";
    int64_t began = km_html_int(lease, "began_us"), ended = end_of(w, lease);
    size_t lane = lane_of(w, lease);
    double x = px(w, began), width = fmax(px(w, ended) - x, 1.5);

    if (lane == LANES_MAX)
        return;
    km_str_add(s, "<rect class=\"l-");
    km_html_text(s, how);
    km_str_printf(s, "\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%g\" rx=\"2\"><title>", x,
                  TOP + (double)lane * LANE + (LANE - BAR) / 2, width > 4 ? width - 1 : width, BAR);
    km_str_printf(s, "job %lld, ", (long long)km_html_int(lease, "job"));
    km_html_text(s, km_json_text_of(lease, "kind"));
    km_str_add(s, ": ");
    km_html_text(s, how);
    km_str_add(s, ", ");
    km_html_span(s, ended - began);
    if (km_html_int(lease, "hypothesis")) {
        km_str_printf(s, "\n#%lld ", (long long)km_html_int(lease, "hypothesis"));
        km_html_cut(s, km_json_text_of(lease, "title"), 120);
    }
    km_str_add(s, "</title></rect>\n");
}

static void add_chart(struct work *w, const json_t *leases)
{
    km_str *s = &w->h->out;
    double bottom = TOP + (double)w->count * LANE + 4;
    json_t *row;
    size_t i;

    km_str_printf(s,
                  "<div class=\"wide\"><svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"leases "
                  "by worker over time\">\n<text class=\"ink\" x=\"8\" y=\"13\">worker</text>"
                  "<text class=\"ink\" x=\"%g\" y=\"13\" text-anchor=\"end\">time, UTC</text>\n",
                  WIDTH, bottom + 40, WIDTH - RIGHT);
    add_lanes(w);
    add_ticks(w, bottom);
    json_array_foreach((json_t *)(uintptr_t)leases, i, row) add_bar(w, row);
    km_str_add(s, "</svg></div>\n");
}

/* Only what is there. */
static void add_legend(struct work *w, const json_t *leases)
{
    static const char *const names[] = { "done",    "running",  "failed",
                                         "expired", "released", "cancelled" };
    bool there[sizeof names / sizeof *names] = { false };
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)leases, i, row)
    {
        const char *how = km_html_int(row, "ended_us") ? km_json_text_of(row, "how") : "running";
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            there[n] = there[n] || strcmp(names[n], how) == 0;
    }
    km_str_add(&w->h->out, "<ul class=\"legend\">");
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        if (there[n])
            km_str_printf(&w->h->out,
                          "<li><svg viewBox=\"0 0 18 12\"><rect class=\"l-%s\" x=\"1\" y=\"1\" "
                          "width=\"16\" height=\"10\" rx=\"2\"/></svg>%s</li>",
                          names[n], names[n]);
    km_str_add(&w->h->out, "</ul>\n");
}

void km_html_work(km_html *h)
{
    const json_t *leases = json_object_get(h->data, "leases"), *row;
    struct work w = { .h = h };
    int64_t all = 0;
    size_t i;

    km_html_begin(h, "work", "Work",
                  "Each bar is one lease: a worker that had a job, until it handed in a result, "
                  "failed, or was not heard of any more.");
    find_lanes(&w, leases);
    if (w.count) {
        add_legend(&w, leases);
        add_chart(&w, leases);
    } else {
        km_str_add(&h->out, "<p class=\"none\">Nobody took a job yet.</p>\n");
    }
    json_array_foreach(json_object_get(h->data, "costs"), i, row) all += km_html_int(row, "leases");
    km_html_newest(h, json_array_size(leases), all, "leases");
    if (w.left_out)
        km_str_printf(&h->out,
                      "<p class=\"note\">%zu leases of further workers are not shown.</p>\n",
                      w.left_out);
    km_html_end(h);
}
