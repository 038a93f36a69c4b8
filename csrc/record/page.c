#include "record/page.h"

#include <stdbool.h>
#include <string.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/str.h"
#include "formats/html.h"
#include "formats/json.h"
#include "record/record.h"

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 "
    "1em;color:#222}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}"
    "th,td{padding:2px 8px;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}.best{font-weight:700}.bad{color:#b00}"
    ".wide{overflow-x:auto}svg{max-width:100%;height:auto}h2{margin-top:2em}";

static void add_text(km_str *s, const char *text)
{
    km_html_escape(s, text, strlen(text));
}

static void add_row(km_str *s, const char *name, const char *value)
{
    km_str_add(s, "<tr><td>");
    add_text(s, name);
    km_str_add(s, "</td><td>");
    add_text(s, value);
    km_str_add(s, "</td></tr>\n");
}

/* What it was measured on, by the first cell. */
static void add_environment(km_str *s, const json_t *cell)
{
    const json_t *e = json_object_get(cell, "environment");
    const json_t *gpu = json_object_get(cell, "gpu");
    json_t *packages = json_object_get(e, "packages"), *version;
    const char *name;

    km_str_add(s, "<table>\n");
    add_row(s, "date", km_json_text_of(e, "date"));
    add_row(s, "system", km_json_text_of(e, "system"));
    add_row(s, "CPU", km_json_text_of(e, "cpu"));
    if (gpu)
        add_row(s, "GPU", km_json_text_of(gpu, "name"));
    add_row(s, "torch", km_json_text_of(cell, "torch"));
    add_row(s, "kernmill", km_json_text_of(e, "kernmill"));
    json_object_foreach(packages, name, version)
        add_row(s, name, json_is_string(version) ? json_string_value(version) : "not installed");
    km_str_add(s, "</table>\n");
}

static void add_call(km_str *s, const json_t *cell, const json_t *call, double best)
{
    const json_t *column = km_record_column(cell, call), *ratio = json_object_get(column, "ratio");
    double us = km_json_number_of(column, "median_us"),
           share = km_json_number_of(call, "share_of_light");
    bool right = km_record_is_right(call);

    km_str_printf(s, "<tr%s><td>", right && us == best ? " class=\"best\"" : "");
    add_text(s, km_json_text_of(call, "name"));
    km_str_printf(s, "</td><td>%.2f</td>", us);
    if (ratio)
        km_str_printf(s, "<td>%.3f [%.3f, %.3f]</td><td>%s</td>",
                      km_json_number_of(ratio, "median"), km_json_number_of(ratio, "low"),
                      km_json_number_of(ratio, "high"), km_json_text_of(column, "verdict"));
    else
        km_str_add(s, "<td></td><td></td>");
    if (share > 0)
        km_str_printf(s, "<td>%.2f</td>", share);
    else
        km_str_add(s, "<td></td>");
    km_str_printf(s, "<td%s>", right ? "" : " class=\"bad\"");
    add_text(s, km_json_text_of(call, "state"));
    if (!right) {
        km_str_add(s, ": ");
        add_text(s, km_json_text_of(call, "why"));
    }
    km_str_add(s, "</td></tr>\n");
}

static void add_cell(km_str *s, const json_t *cell)
{
    json_t *shape = json_object_get(cell, "shape"), *size;
    const json_t *call;
    double best = km_record_best_us(cell);
    const char *axis;
    size_t i;

    km_str_add(s, "<h3>");
    add_text(s, km_json_text_of(cell, "op"));
    json_object_foreach(shape, axis, size)
    {
        km_str_add_char(s, ' ');
        add_text(s, axis);
        km_str_printf(s, "=%lld", json_integer_value(size));
    }
    km_str_printf(s,
                  " %s</h3>\n<div class=\"wide\"><table>\n<tr><th></th><th>us</th>"
                  "<th>ratio, 95 %%</th><th>verdict</th><th>SOL</th><th>state</th></tr>\n",
                  km_json_text_of(cell, "dtype"));
    json_array_foreach(json_object_get(cell, "calls"), i, call) add_call(s, cell, call, best);
    km_str_add(s, "</table></div>\n");
}

/* An SVG without its declaration, which HTML has no place for. */
static int add_plot(km_str *s, const km_plot *plot, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    char *text = NULL;
    size_t size = 0;
    int rc = km_file_read(&a, plot->svg, KM_TEXT_BYTES_MAX, &text, &size, err);
    const char *start = rc == 0 ? strstr(text, "<svg") : NULL;

    if (start)
        km_str_printf(s, "<figure>%s</figure>\n", start);
    km_arena_release(&a);
    if (rc == 0 && !start)
        return km_fail(err, KM_EFORMAT, "'%s' is no SVG", plot->svg);
    return rc;
}

int km_page_write(const json_t *cells, const km_plots *plots, const char *path, km_err *err)
{
    const json_t *first = json_array_get(cells, 0), *cell;
    km_str s = KM_STR_INIT;
    size_t i;
    int rc = 0;

    km_str_printf(&s,
                  "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width\"><title>kernmill bench: ");
    add_text(&s, km_json_text_of(first, "op"));
    km_str_printf(&s, "</title>\n<style>%s</style></head><body>\n<h1>kernmill bench</h1>\n", style);
    add_environment(&s, first);
    km_str_add(&s, "<h2>Plots</h2>\n");
    for (i = 0; i < plots->count && rc == 0; i++)
        rc = add_plot(&s, &plots->plots[i], err);
    km_str_add(&s, "<h2>Cells</h2>\n<p>Medians and 95 % intervals; the best that is right in bold; "
                   "SOL: the share of the speed of light.</p>\n");
    json_array_foreach(cells, i, cell) add_cell(&s, cell);
    km_str_add(&s, "</body></html>\n");
    if (rc == 0)
        rc = km_str_check(&s, err);
    if (rc == 0)
        rc = km_file_write(path, s.data, s.length, 0666, err);
    km_str_release(&s);
    return rc;
}
