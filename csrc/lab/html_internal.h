/* lab/html_internal.h: what the sections of the page share. */
#ifndef KERNMILL_LAB_HTML_INTERNAL_H
#define KERNMILL_LAB_HTML_INTERNAL_H

#include <jansson.h>

#include "core/str.h"
#include "lab/lab.h"

typedef struct {
    km_str out;
    const json_t *data; /* of km_html_data */
    int64_t now_us;
    int gain_decimals; /* of gains, by the narrowest interval */
    int mean_decimals; /* of the champion's mean, by its SD */
} km_html;

extern const char *const km_html_style[]; /* CSS; ends with NULL */

/* {"name", "now_us", "begun_us", "overview": km_overview's, "ideas", "jobs", "leases", "costs",
 * "alerts", "holdouts"}: rows as objects, see html_data.c. New reference. */
int km_html_data(km_lab *lab, json_t **out, km_err *err);

/* The sections, in their order. */
void km_html_headline(km_html *h);
void km_html_progress(km_html *h);
void km_html_work(km_html *h);
void km_html_tree(km_html *h);
void km_html_costs(km_html *h);
void km_html_not_taken(km_html *h);
void km_html_alerts(km_html *h);
void km_html_holdouts(km_html *h);
void km_html_board(km_html *h);

/* --- pieces; all add to *s --- */

/* Escaped, for text and for values of attributes; what is no UTF-8 or deceives becomes '?'. */
void km_html_text(km_str *s, const char *text);

/* At most so many characters of it. */
void km_html_cut(km_str *s, const char *text, int chars_max);

/* "-" is a minus sign; `sign`: "+", too. */
void km_html_number(km_str *s, double value, int decimals, bool sign);

/* A gain with its interval: of "gain", "low", "high" of a row. Nothing when there is no gain. */
void km_html_gain(km_html *h, const json_t *row);

/* The same as plain text, for what a pointer shows. */
void km_html_gain_text(const km_html *h, km_str *s, const json_t *row);

/* One end of the interval: "low" or "high". */
void km_html_end_of(const km_html *h, km_str *s, const json_t *row, const char *key);

/* Of what is counted: "1 370 461", "0.25". */
void km_html_amount(km_str *s, double value);

/* "2026-11-26 13:05", UTC. */
void km_html_time(km_str *s, int64_t us);

/* "3 h 05 min" */
void km_html_span(km_str *s, int64_t us);

/* The state with its mark. */
void km_html_state(km_str *s, const char *state);

/* The class of its colour: "good", "bad", "open", "off". */
const char *km_html_state_class(const char *state);

/* <section> with its heading and the sentence below that, as HTML. */
void km_html_begin(km_html *h, const char *id, const char *title, const char *note);
void km_html_end(km_html *h);

/* "the newest 1000 of 4711" where `count` rows are not all. */
void km_html_newest(km_html *h, size_t count, int64_t all, const char *what);

/* --- values --- */

int64_t km_html_int(const json_t *row, const char *key);
bool km_html_is_number(const json_t *row, const char *key);

/* The sum of the counts in an object. */
int64_t km_html_sum(const json_t *counts);

/* Decimals with which `width` has two digits. */
int km_html_decimals(double width);

/* 1, 2 or 5 times a power of ten, so that `range` has at most `most` of them. */
double km_html_step(double range, int most);

#endif
