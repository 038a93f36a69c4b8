/* The progress of a campaign: the chain of promotions with their intervals, and beside it every
 * other idea that was judged, at the gain that was measured over the champion of its time.
 *
 * Gains are summed, values are not compared: two champions may have run on two machines, each gain
 * was measured beside its own parent on one. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lab/html_internal.h"

/* The drawing's measures, in its own units. */
#define WIDTH        1040.0
#define HEIGHT       400.0
#define LEFT         76.0
#define RIGHT        14.0
#define TOP          34.0
#define BOTTOM       44.0
#define TICKS_Y      7
#define TICKS_X      12
#define LABEL_CHARS  34
#define LABEL_WIDTH  6.1 /* a character's, at 12 units; about */
#define LABEL_HEIGHT 14.0
#define LABELS_MAX   64

/* An idea that was judged, or a promotion. */
struct point {
    const json_t *row;
    int64_t at_us;
    double x;         /* its place among the judged, from 0; a baseline stands between two */
    double base;      /* the champion's sum before it */
    double gain;      /* NaN: none */
    double low, high; /* NaN: not known */
    bool promoted;
    bool baseline;                 /* another one, by people: the sums begin again */
    double sum, sum_low, sum_high; /* after it */
};

struct box {
    double x, y, width;
};

struct progress {
    km_html *h;
    struct point *points;           /* by the time of the judgement */
    size_t count, promoted, judged; /* judged: all but the baselines */
    double bottom, top;             /* of the scale */
    struct box labels[LABELS_MAX];
    size_t label_count;
};

/* --- what is drawn --- */

static double number(const json_t *row, const char *key)
{
    return km_html_is_number(row, key) ? km_json_number_of(row, key) : (double)NAN;
}

static int by_time(const void *a, const void *b)
{
    const struct point *p = a, *q = b;

    if (p->at_us != q->at_us)
        return p->at_us < q->at_us ? -1 : 1;
    return km_html_int(p->row, "decision") < km_html_int(q->row, "decision") ? -1 : 1;
}

static const json_t *promotion_of(const json_t *chain, int64_t id)
{
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)chain, i,
                       row) if (km_html_int(row, "hypothesis") == id) return row;
    return NULL;
}

static struct point point_of(const json_t *row, int64_t at_us, bool promoted)
{
    return (struct point){ .row = row,
                           .at_us = at_us,
                           .gain = number(row, "gain"),
                           .low = number(row, "low"),
                           .high = number(row, "high"),
                           .promoted = promoted };
}

/* A promotion stands where it was promoted: what was judged before that was judged against the
 * champion before it. */
static bool collect(struct progress *p, const json_t *ideas, const json_t *chain)
{
    json_t *row;
    size_t i;

    p->points = calloc(json_array_size(ideas) + json_array_size(chain) + 1, sizeof *p->points);
    if (!p->points)
        return false;
    json_array_foreach((json_t *)(uintptr_t)ideas, i, row)
    {
        if (!km_html_int(row, "decision") || promotion_of(chain, km_html_int(row, "id")))
            continue;
        p->points[p->count++] = point_of(row, km_html_int(row, "judged_us"), false);
    }
    json_array_foreach((json_t *)(uintptr_t)chain, i, row)
    {
        bool promoted = km_html_int(row, "hypothesis") != 0;
        if (!i)
            continue;
        p->points[p->count] = point_of(row, km_html_int(row, "created_us"), promoted);
        p->points[p->count++].baseline = !promoted;
    }
    qsort(p->points, p->count, sizeof *p->points, by_time);
    return true;
}

/* Whether the path turns there. */
static bool is_step(const struct point *q)
{
    return q->baseline || (q->promoted && !isnan(q->gain));
}

/* The sums along the chain. */
static void add_up(struct progress *p)
{
    double sum = 0, low = 0, high = 0;

    for (size_t i = 0; i < p->count; i++) {
        struct point *q = &p->points[i];
        q->x = q->baseline ? (double)p->judged - 0.5 : (double)p->judged++;
        q->base = sum;
        if (q->baseline) {
            sum = low = high = 0;
        } else if (is_step(q)) {
            p->promoted++;
            sum += q->gain;
            low += isnan(q->low) ? q->gain : q->low;
            high += isnan(q->high) ? q->gain : q->high;
        }
        q->sum = sum;
        q->sum_low = low;
        q->sum_high = high;
    }
}

/* The scale: of the chain with its intervals, and of what lies not far below. */
static void measure(struct progress *p)
{
    double span, near;

    add_up(p);
    p->bottom = 0;
    p->top = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct point *q = &p->points[i];
        p->bottom = fmin(p->bottom, q->sum_low);
        p->top = fmax(p->top, q->sum_high);
        if (!q->promoted || isnan(q->gain))
            continue;
        p->bottom = fmin(p->bottom, q->base + (isnan(q->low) ? 0 : q->low));
        p->top = fmax(p->top, q->base + (isnan(q->high) ? 0 : q->high));
    }
    span = p->top - p->bottom;
    near = p->bottom - 0.4 * span;
    for (size_t i = 0; i < p->count; i++) {
        const struct point *q = &p->points[i];
        double y = q->base + q->gain;
        if (q->promoted || q->baseline || isnan(y))
            continue;
        if (span == 0 || y >= near)
            p->bottom = fmin(p->bottom, y);
        p->top = fmax(p->top, y);
    }
    span = p->top - p->bottom;
    if (span <= 0)
        span = 1;
    p->bottom -= 0.05 * span;
    p->top += 0.07 * span;
    if (!isfinite(p->top - p->bottom)) { /* numbers that no run gives, but a store may hold */
        p->bottom = -1;
        p->top = 1;
    }
}

/* --- the scale --- */

static double px(const struct progress *p, double x)
{
    return LEFT + (x + 0.5) / (double)p->judged * (WIDTH - LEFT - RIGHT);
}

static double py(const struct progress *p, double y)
{
    return TOP + (p->top - y) / (p->top - p->bottom) * (HEIGHT - TOP - BOTTOM);
}

static void add_y_axis(struct progress *p, const char *metric)
{
    km_str *s = &p->h->out;
    double step = km_html_step(p->top - p->bottom, TICKS_Y);
    int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);

    for (long t = lround(ceil(p->bottom / step)); (double)t * step <= p->top; t++) {
        double y = py(p, (double)t * step);
        km_str_printf(s, "<line class=\"%s\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>",
                      t == 0 ? "axis" : "grid", LEFT, WIDTH - RIGHT, y, y);
        km_str_printf(s, "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 10, y + 4);
        km_html_number(s, (double)t * step, decimals, true);
        km_str_add(s, "</text>\n");
    }
    km_str_printf(s, "<text class=\"ink\" x=\"0\" y=\"14\">gain over the baseline, ");
    km_html_cut(s, metric, 40);
    km_str_add(s, " (up is better)</text>\n");
}

static void add_x_axis(struct progress *p)
{
    km_str *s = &p->h->out;
    size_t step = (size_t)fmax(1, km_html_step((double)p->judged, TICKS_X));

    for (size_t n = step; n <= p->judged; n += step)
        km_str_printf(s, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%zu</text>",
                      px(p, (double)n - 1), HEIGHT - BOTTOM + 18, n);
    km_str_printf(
        s,
        "\n<text class=\"ink\" x=\"%g\" y=\"%g\" text-anchor=\"end\">ideas, in the order in "
        "which they were judged</text>\n",
        WIDTH - RIGHT, HEIGHT - 4);
}

/* --- the chain --- */

/* Between the sums of the intervals' ends: along the upper ones, and back along the lower. */
static void add_band(struct progress *p)
{
    km_str *s = &p->h->out;

    km_str_printf(s, "<path class=\"band\" d=\"M%g %.1f", LEFT, py(p, 0));
    for (size_t i = 0; i < p->count; i++)
        if (is_step(&p->points[i]))
            km_str_printf(s, "H%.1fV%.1f", px(p, p->points[i].x), py(p, p->points[i].sum_high));
    km_str_printf(s, "H%gV%.1f", WIDTH - RIGHT, py(p, p->points[p->count - 1].sum_low));
    for (size_t i = p->count; i-- > 0;)
        if (is_step(&p->points[i]))
            km_str_printf(s, "H%.1fV%.1f", px(p, p->points[i].x),
                          py(p, i ? p->points[i - 1].sum_low : 0));
    km_str_add(s, "Z\"/>\n");
}

static void add_path(struct progress *p)
{
    km_str *s = &p->h->out;

    km_str_printf(s, "<path class=\"path\" d=\"M%g %.1f", LEFT, py(p, 0));
    for (size_t i = 0; i < p->count; i++)
        if (is_step(&p->points[i]))
            km_str_printf(s, "H%.1fV%.1f", px(p, p->points[i].x), py(p, p->points[i].sum));
    km_str_printf(s, "H%g\"/>\n", WIDTH - RIGHT);
}

/* --- points --- */

static void add_tip(struct progress *p, const struct point *q)
{
    km_str *s = &p->h->out;
    int64_t id = km_html_int(q->row, q->promoted ? "hypothesis" : "id");

    km_str_printf(s, "<title>#%lld ", (long long)id);
    km_html_cut(s, km_json_text_of(q->row, "title"), 120);
    km_str_add(s, "\n");
    km_html_text(s, q->promoted ? "promoted" : km_json_text_of(q->row, "state"));
    if (!isnan(q->gain)) {
        km_str_add(s, ", gain ");
        km_html_gain_text(p->h, s, q->row);
    }
    km_str_printf(s, ", %lld pairs</title>", (long long)km_html_int(q->row, "pairs"));
}

static bool is_other(const struct point *q)
{
    return !q->promoted && !q->baseline;
}

/* Which sign a point has that was not promoted. */
enum sign { REJECTED, OPEN, INVALID, BELOW, SIGNS };

static enum sign sign_of(const struct progress *p, const struct point *q)
{
    if (isnan(q->gain))
        return INVALID;
    if (q->base + q->gain < p->bottom)
        return BELOW;
    return strcmp(km_json_text_of(q->row, "state"), "rejected") == 0 ? REJECTED : OPEN;
}

static void add_other(struct progress *p, const struct point *q)
{
    km_str *s = &p->h->out;
    enum sign sign = sign_of(p, q);
    double x = px(p, q->x), floor_y = HEIGHT - BOTTOM;

    km_str_add(s, "<g>");
    add_tip(p, q);
    if (sign == INVALID)
        km_str_printf(s, "<path class=\"cross\" d=\"M%.1f %.1fl7 7m0 -7l-7 7\"/>", x - 3.5,
                      floor_y - 9);
    else if (sign == BELOW)
        km_str_printf(s, "<path class=\"below\" d=\"M%.1f %.1fh8l-4 6z\"/>", x - 4, floor_y - 7);
    else
        km_str_printf(s, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\"/>",
                      sign == REJECTED ? "pale" : "hollow", x, py(p, q->base + q->gain));
    km_str_add(s, "</g>\n");
}

static void add_baseline(struct progress *p, const struct point *q)
{
    double x = px(p, q->x);
    bool last = x > WIDTH - 140;

    km_str_printf(&p->h->out,
                  "<path class=\"fresh\" d=\"M%.1f %gV%g\"/><text x=\"%.1f\" y=\"%g\" "
                  "text-anchor=\"%s\">another baseline</text>\n",
                  x, TOP, HEIGHT - BOTTOM, last ? x - 6 : x + 6, TOP + 8, last ? "end" : "start");
}

static void add_promotion(struct progress *p, const struct point *q)
{
    km_str *s = &p->h->out;
    double x = px(p, q->x);

    km_str_add(s, "<g>");
    add_tip(p, q);
    if (!isnan(q->low) && !isnan(q->high)) {
        double low = py(p, q->base + q->low), high = py(p, q->base + q->high);
        km_str_printf(s, "<path class=\"bar\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh8M%.1f %.1fh8\"/>", x,
                      low, high, x - 4, low, x - 4, high);
    }
    km_str_printf(s, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/></g>\n", x,
                  py(p, q->base + q->gain));
}

/* --- labels --- */

/* The ends of what is drawn at a step: the path up or down, and the interval. */
static double highest(const struct progress *p, const struct point *q)
{
    double y = fmax(q->base, q->sum);

    return py(p, isnan(q->high) ? y : fmax(y, q->base + q->high));
}

static double lowest(const struct progress *p, const struct point *q)
{
    double y = fmin(q->base, q->sum);

    return py(p, isnan(q->low) ? y : fmin(y, q->base + q->low));
}

/* Whether a box (x, y: its left end and its base line) meets the path or an interval. */
static bool meets_path(const struct progress *p, const struct box *b)
{
    double from = LEFT, level = py(p, 0), top = b->y - LABEL_HEIGHT + 3, bottom = b->y + 4;

    for (size_t i = 0; i <= p->count; i++) {
        const struct point *q = i < p->count ? &p->points[i] : NULL;
        double x = q ? px(p, p->points[i].x) : WIDTH - RIGHT;
        if (q && !is_step(q))
            continue;
        if (level > top && level < bottom && from < b->x + b->width && x > b->x)
            return true;
        if (!q)
            break;
        from = x;
        if (x + 6 > b->x && x - 6 < b->x + b->width && highest(p, q) < bottom && lowest(p, q) > top)
            return true;
        level = py(p, q->sum);
    }
    return false;
}

static bool is_free(const struct progress *p, const struct box *b)
{
    if (b->x < LEFT + 2 || b->x + b->width > WIDTH || b->y < TOP - 6 || meets_path(p, b))
        return false;
    for (size_t i = 0; i < p->label_count; i++) {
        const struct box *other = &p->labels[i];
        if (b->x < other->x + other->width + 8 && other->x < b->x + b->width + 8 &&
            fabs(b->y - other->y) < LABEL_HEIGHT)
            return false;
    }
    return true;
}

static size_t chars_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Left of the point, between its interval's upper end and the step below, where nothing else is; or
 * above the interval, to the left or to the right. Where there is no room for the title the number
 * alone; else none: the table below the chart has it. */
static void add_label(struct progress *p, const struct point *q)
{
    const char *title = km_json_text_of(q->row, "title");
    double x = px(p, q->x), high = py(p, q->base + (isnan(q->high) ? q->gain : q->high));
    size_t chars = chars_of(title);
    const struct {
        double x, y;
        bool right;
    } places[] = {
        { x - 9, fmin(high + 10, py(p, q->base) - 7), false },
        { x + 4, high - 7, false },
        { x - 4, high - 7, true },
    };
    km_str text = KM_STR_INIT;

    for (size_t attempt = 0; attempt < 6; attempt++) {
        bool named = attempt < 3, right = places[attempt % 3].right;
        struct box b = { places[attempt % 3].x, places[attempt % 3].y, 0 };
        km_str_clear(&text);
        km_str_printf(&text, "#%lld%s", (long long)km_html_int(q->row, "hypothesis"),
                      named ? " " : "");
        b.width = LABEL_WIDTH * (double)(text.length + (!named                ? 0
                                                        : chars < LABEL_CHARS ? chars
                                                                              : LABEL_CHARS));
        if (named)
            km_html_cut(&text, title, LABEL_CHARS);
        b.x -= right ? 0 : b.width;
        if (p->label_count == LABELS_MAX || !is_free(p, &b))
            continue;
        p->labels[p->label_count++] = b;
        km_str_printf(
            &p->h->out,
            "<text class=\"ink halo\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
            places[attempt % 3].x, b.y, right ? "start" : "end", text.data);
        break;
    }
    km_str_release(&text);
}

/* --- the section --- */

/* Of the others only those that are there. */
static void add_legend(struct progress *p)
{
    static const char *const signs[SIGNS] = {
        "<circle class=\"pale\" cx=\"9\" cy=\"6\" r=\"4\"/></svg>rejected",
        "<circle class=\"hollow\" cx=\"9\" cy=\"6\" r=\"4\"/></svg>undecided or waiting",
        "<path class=\"cross\" d=\"M5 2l8 8m0 -8l-8 8\"/></svg>invalid",
        "<path class=\"below\" d=\"M4 2h10l-5 8z\"/></svg>below the scale",
    };
    static const char promoted[] =
        "<li><svg viewBox=\"0 0 18 12\"><path class=\"bar\" d=\"M9 0V12M6 .7h6M6 11.3h6\"/>"
        "<circle class=\"dot\" cx=\"9\" cy=\"6\" r=\"4.5\"/></svg>promoted, with its interval</li>"
        "<li><svg viewBox=\"0 0 18 12\"><path class=\"band\" d=\"M0 0H18V12H0z\"/>"
        "<path class=\"path\" d=\"M0 6H18\"/></svg>sum of the promotions, with the sum of the "
        "intervals</li>";
    bool there[SIGNS] = { false };

    for (size_t i = 0; i < p->count; i++)
        if (is_other(&p->points[i]))
            there[sign_of(p, &p->points[i])] = true;
    km_str_add(&p->h->out, "<ul class=\"legend\">");
    if (p->promoted)
        km_str_add(&p->h->out, promoted);
    for (size_t i = 0; i < SIGNS; i++)
        if (there[i])
            km_str_printf(&p->h->out, "<li><svg viewBox=\"0 0 18 12\">%s</li>", signs[i]);
    km_str_add(&p->h->out, "</ul>\n");
}

static void add_chart(struct progress *p, const char *metric)
{
    km_str *s = &p->h->out;

    add_legend(p);
    km_str_printf(s,
                  "<div class=\"wide\"><svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"gain "
                  "over the baseline by idea\">\n",
                  WIDTH, HEIGHT);
    add_y_axis(p, metric);
    add_x_axis(p);
    if (p->promoted)
        add_band(p);
    for (size_t i = 0; i < p->count; i++)
        if (is_other(&p->points[i]))
            add_other(p, &p->points[i]);
        else if (p->points[i].baseline)
            add_baseline(p, &p->points[i]);
    add_path(p);
    for (size_t i = 0; i < p->count; i++)
        if (p->points[i].promoted && !isnan(p->points[i].gain))
            add_promotion(p, &p->points[i]);
    for (size_t i = p->count; i-- > 0;)
        if (p->points[i].promoted && !isnan(p->points[i].gain))
            add_label(p, &p->points[i]);
    km_str_add(s, "</svg></div>\n");
}

static void add_chain(km_html *h, const json_t *standing)
{
    json_t *row;
    size_t i;
    long long k = km_html_int(standing, "promotions");
    double sum = 0;

    km_str_add(
        &h->out,
        "<div class=\"wide\"><table><thead><tr><th>promoted<th><th>idea<th class=\"n\">pairs"
        "<th class=\"n\">gain over its parent<th class=\"n\">sum<th>commit</thead><tbody>\n");
    json_array_foreach(json_object_get(standing, "chain"), i, row)
    {
        bool baseline = !km_html_int(row, "hypothesis");
        sum = baseline ? 0 : sum + km_json_number_of(row, "gain");
        km_str_add(&h->out, "<tr><td class=\"k\">");
        km_html_time(&h->out, km_html_int(row, "created_us"));
        km_str_add(&h->out, "<td class=\"id\">");
        if (km_html_int(row, "hypothesis"))
            km_str_printf(&h->out, "#%lld", (long long)km_html_int(row, "hypothesis"));
        km_str_add(&h->out, "<td class=\"what\">");
        km_html_text(&h->out, baseline && i ? "another baseline" : km_json_text_of(row, "title"));
        km_str_add(&h->out, "<td class=\"n\">");
        if (km_html_is_number(row, "pairs"))
            km_str_printf(&h->out, "%lld", (long long)km_html_int(row, "pairs"));
        km_str_add(&h->out, "<td class=\"n\">");
        km_html_gain(h, row);
        km_str_add(&h->out, "<td class=\"n\">");
        km_html_number(&h->out, sum, h->gain_decimals, true);
        km_str_add(&h->out, "<td><code>");
        km_html_cut(&h->out, km_json_text_of(row, "commit"), 10);
        km_str_add(&h->out, "</code>\n");
    }
    km_str_add(&h->out, "</tbody>");
    if (k > 1) {
        km_str_printf(&h->out, "<tfoot><tr><td><td><td>%s %lld together<td><td class=\"n\">",
                      (size_t)k + 1 == json_array_size(json_object_get(standing, "chain"))
                          ? "all"
                          : "the last",
                      k);
        km_html_gain(h, standing);
        km_str_add(&h->out, "<td><td></tfoot>");
    }
    km_str_add(&h->out, "</table></div>\n");
}

void km_html_progress(km_html *h)
{
    static const char note[] =
        "Each gain was measured in pairs of runs of an idea and its parent, in turns, on the same "
        "hardware; its interval holds at any time with the judge&rsquo;s rate (98&thinsp;% by "
        "default), all intervals together with less. The sum adds gains, it compares no records. "
        "What was chosen for its gain is, on average, a little less good than measured.";
    const json_t *overview = json_object_get(h->data, "overview");
    const json_t *standing = json_object_get(overview, "standing");
    const json_t *chain = json_object_get(standing, "chain");
    struct progress p = { .h = h };

    km_html_begin(h, "progress", "Progress", note);
    if (!collect(&p, json_object_get(h->data, "ideas"), chain)) {
        h->out.failed = h->out.failed ? h->out.failed : KM_ENOMEM;
        return;
    }
    measure(&p);
    if (p.judged)
        add_chart(&p, km_json_text_of(standing, "metric"));
    else
        km_str_add(&h->out, "<p class=\"none\">Nothing was judged yet.</p>\n");
    if (json_array_size(chain))
        add_chain(h, standing);
    free(p.points);
    km_html_end(h);
}
