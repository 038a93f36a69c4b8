/* lab/scan.h: what a change must not touch, whatever file it is in: a whole diff, both sides.
 *
 * Who may edit the program that is measured may also edit what measures in it. The evaluator's own
 * files are protected; these words are looked for in the rest:
 *
 *     timer       clocks, and the time that a run has
 *     seed        where randomness comes from: a lucky seed is no idea
 *     evaluator   the evaluator, and the holdout
 *     metric      the metric's name, and the files in which it is handed over
 *
 * A scan finds the careless and the tempted, not who hides it: the numbers come from outside.
 */
#ifndef KERNMILL_LAB_SCAN_H
#define KERNMILL_LAB_SCAN_H

#include "lab/git.h"
#include "lab/settings.h"

typedef struct {
    size_t count;
    char what[300]; /* of the first: "the seed: train.py:12: +torch.manual_seed(1)" */
} km_scan;

/* Looks through the change from `parent` to `commit`. */
int km_scan_change(const km_git *g, const km_lab_settings *s, const char *parent,
                   const char *commit, km_scan *out, km_err *err);

/* Errors: KM_EFORMAT for an [workspace] allow that names none of these. */
int km_scan_check_names(const km_list *allow, km_err *err);

#endif
