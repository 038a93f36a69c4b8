/* lab/trackio.h: the lab as Trackio shows it: a run for each idea, and a run "lab" with the
 * champion, the queue, the budget, the job board and a report.
 *
 * Trackio's dashboard imports what lies in its inbox (TRACKIO_DIR/inbox/<writer>/<number>.jsonl)
 * when it starts and every 15 s, and removes it. What goes wrong there, goes wrong silently or for
 * ever: a line that is cut is lost, and a record that it cannot take stops all later ones. So a
 * fragment is read again before it gets its name, by rename; each record has the time of its event
 * and an id that follows from the rows that it is of, so that the same again is ignored.
 *
 * Of an idea's run: "lab/status", a row at step 0 when it was proposed, then one for each state;
 * "<metric>/parent", "<metric>/candidate", "gain", "wall_ms/parent", "wall_ms/candidate" by pair;
 * "decision/..." by how many pairs there were. lab/status is
 *
 *     0 proposed  1 reviewed  2 queued  3 running  4 evaluating  5 undecided  6 accepted  7
 * promoted -1 rejected  -2 duplicate  -3 stale  -4 failed  -5 crashed  -6 timed_out  -7 invalid  -8
 * cancelled
 *
 * The steps of the run "lab" are the numbers of events. How far it got stands in .lab/trackio.json,
 * for each folder.
 */
#ifndef KERNMILL_LAB_TRACKIO_H
#define KERNMILL_LAB_TRACKIO_H

#include "lab/lab.h"

typedef struct {
    const char *project; /* in Trackio; in the lab's arena */
    size_t records, fragments;
} km_trackio_report;

/* Writes what is new since the last time into `dir`/inbox, or with `all` everything. Errors:
 * KM_EIO; KM_EFORMAT when .lab/trackio.json is damaged; KM_EBUG for a record that Trackio would not
 * take. */
int km_trackio_export(km_lab *lab, const char *dir, bool all, km_trackio_report *out, km_err *err);

#endif
