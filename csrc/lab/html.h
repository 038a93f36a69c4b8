/* lab/html.h: a lab as one HTML file that needs nothing beside it.
 *
 * No script, no font, no network: tables, and charts as SVG inside of it, in the reader's light or
 * dark colours, for a screen, a phone and paper. Its own policy forbids it to run or to load
 * anything, and every text of the store is escaped: titles and reasons are anybody's. What is shown
 * also stands in it as JSON, in the element "data".
 *
 *     headline    the champion by all its runs, the gain over the baseline with its interval
 *     progress    each promotion with its interval, and what was not promoted
 *     work        each lease, by worker
 *     tree        the champions, and the ideas that changed each
 *     costs       budgets; what each kind of work took
 *     not taken   every idea that was rejected, invalid, a duplicate or failed, with the reason
 *     alerts, holdout, job board
 *
 * Of more than KM_LAB_PAGE_ROWS ideas, jobs or leases it shows the newest, and says of how many;
 * `kernmill lab report` without a file has all of them.
 */
#ifndef KERNMILL_LAB_HTML_H
#define KERNMILL_LAB_HTML_H

#include "lab/lab.h"

/* Writes `path` atomically, as the store is at one moment. Errors: those of the store, KM_EIO. */
int km_html_write(km_lab *lab, const char *path, km_err *err);

#endif
