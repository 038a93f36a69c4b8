#include "lab/html.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "formats/json.h"
#include "lab/html_internal.h"

#define GAIN_SHARE 100 /* a gain is shown with four digits at most: two of its hundredth */

/* --- the headline --- */

static void begin_figure(km_html *h, const char *label)
{
    km_str_printf(&h->out, "<div class=\"figure\"><span class=\"label\">%s</span><b>", label);
}

static void more(km_html *h)
{
    km_str_add(&h->out, "</b><div class=\"more\">");
}

static void end_figure(km_html *h)
{
    km_str_add(&h->out, "</div></div>\n");
}

static void add_champion(km_html *h, const json_t *standing)
{
    const json_t *c = json_object_get(standing, "champion");
    size_t blocks = json_array_size(json_object_get(c, "blocks"));

    begin_figure(h, "champion");
    if (!km_html_is_number(c, "mean")) {
        km_str_add(&h->out, json_is_object(c) ? "not measured" : "none yet");
        more(h);
    } else {
        km_html_number(&h->out, km_json_number_of(c, "mean"), h->mean_decimals, false);
        km_str_add(&h->out, " <small>");
        km_html_text(&h->out, km_json_text_of(standing, "metric"));
        km_str_add(&h->out, "</small>");
        more(h);
        km_str_printf(&h->out, "mean of %lld runs", (long long)km_html_int(c, "n"));
        if (km_html_is_number(c, "sd")) {
            km_str_add(&h->out, ", SD of a run ");
            km_html_number(&h->out, km_json_number_of(c, "sd"), h->mean_decimals, false);
        }
        if (blocks > 1)
            km_str_printf(&h->out, " within %zu blocks", blocks);
        km_str_add(&h->out, "<br>");
    }
    if (km_html_int(c, "hypothesis"))
        km_str_printf(&h->out, "#%lld ", (long long)km_html_int(c, "hypothesis"));
    km_html_cut(&h->out, km_json_text_of(c, "title"), 70);
    end_figure(h);
}

static void add_total_gain(km_html *h, const json_t *standing)
{
    size_t n = (size_t)km_html_int(standing, "promotions");

    begin_figure(h, "gain over the baseline");
    if (!km_html_is_number(standing, "gain")) {
        km_str_add(&h->out, "none yet");
        more(h);
        km_str_add(&h->out, "nothing was promoted");
    } else {
        km_html_number(&h->out, km_json_number_of(standing, "gain"), h->gain_decimals, true);
        km_str_add(&h->out, " <small>");
        km_html_text(&h->out, km_json_text_of(standing, "metric"));
        km_str_add(&h->out, "</small>");
        more(h);
        km_str_printf(&h->out, "the sum of %zu promotion%s<br>between ", n, n == 1 ? "" : "s");
        km_html_end_of(h, &h->out, standing, "low");
        km_str_add(&h->out, " and ");
        km_html_end_of(h, &h->out, standing, "high");
    }
    end_figure(h);
}

static void add_ideas(km_html *h, const json_t *overview)
{
    const json_t *states = json_object_get(overview, "hypotheses");
    static const char *const shown[] = { "promoted",  "accepted",  "rejected",
                                         "undecided", "invalid",   "crashed",
                                         "failed",    "timed_out", "duplicate" };
    bool any = false;

    begin_figure(h, "ideas");
    km_str_printf(&h->out, "%lld", (long long)km_html_sum(states));
    more(h);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        int64_t n = km_html_int(states, shown[i]);
        if (n)
            km_str_printf(&h->out, "%s%lld %s", any ? ", " : "", (long long)n,
                          strcmp(shown[i], "timed_out") == 0 ? "timed out" : shown[i]);
        any = any || n;
    }
    end_figure(h);
}

/* The budget that is nearest to its end. */
static void add_spent(km_html *h, const json_t *overview)
{
    const char *kind, *most = NULL;
    double share = -1;
    json_t *row, *it = NULL;

    json_object_foreach(json_object_get(overview, "budget"), kind, row)
    {
        double allowed = km_json_number_of(row, "allowed");
        if (allowed > 0 && km_json_number_of(row, "used") / allowed > share) {
            share = km_json_number_of(row, "used") / allowed;
            most = kind;
            it = row;
        }
    }
    begin_figure(h, "budget used");
    if (most) {
        km_str_printf(&h->out, "%.0f&thinsp;%%", 100 * share);
        more(h);
        km_html_amount(&h->out, km_json_number_of(it, "used"));
        km_str_add(&h->out, " of ");
        km_html_amount(&h->out, km_json_number_of(it, "allowed"));
        km_str_add_char(&h->out, ' ');
        km_html_text(&h->out, most);
    } else {
        km_str_add(&h->out, "no limit");
        more(h);
    }
    end_figure(h);
}

void km_html_headline(km_html *h)
{
    const json_t *overview = json_object_get(h->data, "overview");
    const json_t *standing = json_object_get(overview, "standing");

    km_str_add(&h->out, "<header>\n<div class=\"over\">kernmill lab</div>\n<h1>");
    km_html_text(&h->out, km_json_text_of(h->data, "name"));
    km_str_add(&h->out, "</h1>\n<p class=\"sub\">");
    km_html_text(&h->out, km_json_text_of(standing, "metric"));
    km_str_printf(&h->out, ", %s is better &middot; ", km_json_text_of(standing, "direction"));
    km_html_time(&h->out, km_html_int(h->data, "begun_us"));
    km_str_add(&h->out, " to ");
    km_html_time(&h->out, h->now_us);
    km_str_add(&h->out, " UTC</p>\n<nav><a href=\"#progress\">progress</a>"
                        "<a href=\"#work\">work</a><a href=\"#costs\">costs</a>"
                        "<a href=\"#tree\">ideas</a><a href=\"#not-taken\">not taken</a>"
                        "<a href=\"#alerts\">alerts</a><a href=\"#holdout\">holdout</a>"
                        "<a href=\"#board\">job board</a></nav>\n<div class=\"figures\">\n");
    add_champion(h, standing);
    add_total_gain(h, standing);
    add_ideas(h, overview);
    add_spent(h, overview);
    km_str_add(&h->out, "</div>\n</header>\n");
}

/* --- the page --- */

/* The narrowest interval that is known, and the largest gain. */
static void find_widths(const json_t *rows, double *narrowest, double *largest)
{
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        double width = km_json_number_of(row, "high") - km_json_number_of(row, "low");
        if (km_html_is_number(row, "high") && km_html_is_number(row, "low") && width > 0)
            *narrowest = fmin(*narrowest, width);
        *largest = fmax(*largest, fabs(km_json_number_of(row, "gain")));
    }
}

/* So many that the narrowest interval's ends differ, but not more than a gain needs. */
static void choose_decimals(km_html *h)
{
    const json_t *standing = json_object_get(json_object_get(h->data, "overview"), "standing");
    const json_t *champion = json_object_get(standing, "champion");
    double mean = fabs(km_json_number_of(champion, "mean"));
    double sd = km_json_number_of(champion, "sd"), width = DBL_MAX, largest = 0;

    find_widths(json_object_get(standing, "chain"), &width, &largest);
    if (width == DBL_MAX)
        find_widths(json_object_get(h->data, "ideas"), &width, &largest);
    if (width == DBL_MAX)
        width = 0.1;
    h->gain_decimals = km_html_decimals(fmax(width, largest / GAIN_SHARE));
    h->mean_decimals = km_html_decimals(sd > 0     ? fmax(sd, mean / 1e6)
                                        : mean > 0 ? mean / 100
                                                   : 0.1);
}

/* As what an HTML parser takes for plain data: no "<" can end the element. */
static void add_data(km_html *h)
{
    char *text = json_dumps(h->data, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));

    if (!text) {
        h->out.failed = h->out.failed ? h->out.failed : KM_ENOMEM;
        return;
    }
    km_str_add(&h->out, "<script type=\"application/json\" id=\"data\">");
    for (const char *c = text; *c; c++)
        if (*c == '<')
            km_str_add(&h->out, "\\u003c");
        else
            km_str_add_char(&h->out, *c);
    km_str_add(&h->out, "</script>\n");
    free(text);
}

static void add_page(km_html *h)
{
    km_str_add(&h->out,
               "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
               "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
               "style-src 'unsafe-inline'\">\n"
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
    km_html_text(&h->out, km_json_text_of(h->data, "name"));
    km_str_add(&h->out, "</title>\n<style>\n");
    for (const char *const *rules = km_html_style; *rules; rules++)
        km_str_add(&h->out, *rules);
    km_str_add(&h->out, "</style>\n</head>\n<body>\n<main>\n");
    km_html_headline(h);
    km_html_progress(h);
    km_html_work(h);
    km_html_costs(h);
    km_html_tree(h);
    km_html_not_taken(h);
    km_html_alerts(h);
    km_html_holdouts(h);
    km_html_board(h);
    km_str_add(&h->out, "<footer>Written by <code>kernmill lab report</code> at ");
    km_html_time(&h->out, h->now_us);
    km_str_add(&h->out, " UTC. All times are UTC. The figures of this page are in it as JSON, in "
                        "the element <code>data</code>.</footer>\n</main>\n");
    add_data(h);
    km_str_add(&h->out, "</body>\n</html>\n");
}

int km_html_write(km_lab *lab, const char *path, km_err *err)
{
    km_html h = { .out = KM_STR_INIT };
    json_t *data;
    int rc = km_html_data(lab, &data, err);

    h.data = data;
    if (rc == 0) {
        h.now_us = km_html_int(data, "now_us");
        choose_decimals(&h);
        add_page(&h);
        rc = km_str_check(&h.out, err);
    }
    if (rc == 0)
        rc = km_file_write(path, h.out.data, h.out.length, 0644, err);
    json_decref(data);
    km_str_release(&h.out);
    return rc;
}
