/* record/compare.h: two records of `kernmill bench`, cell by cell and call by call.
 *
 * Two runs saw two states of a machine, so times are not compared with times: each sample is taken
 * relative to the yardstick of its own round (on a GPU the plain copy, on a CPU the suite's
 * reference), and the medians of these are compared. The change's interval runs from the lowest
 * new over the highest old to the highest new over the lowest old. It knows how sure each run was
 * of itself (a verdict that the plain times contradict is none); what differs from process to
 * process, as where memory lies, it does not know: on a busy CPU small cells need a wide gate. */
#ifndef KERNMILL_RECORD_COMPARE_H
#define KERNMILL_RECORD_COMPARE_H

#include <jansson.h>
#include <stdbool.h>

#include "core/arena.h"
#include "record/interval.h"

/* One call in one cell of both records; texts live in the arena. */
typedef struct {
    const char *cell, *call, *column; /* "rms_norm rows=1 bfloat16 cuda", "kernmill", "cold" */
    double old_us, new_us;
    km_interval change; /* of the relative times: below 1 is faster */
    km_verdict verdict;
    bool broken; /* right before, not right now */
} km_change;

typedef struct {
    km_change *changes;
    size_t count;
    size_t only_old, only_new; /* cells that one of the two has alone */
} km_comparison;

/* Compares what both have; `gate` (0.02) is the change that counts. Errors: KM_ENOMEM. */
int km_record_compare(km_arena *a, const json_t *old_cells, const json_t *new_cells, double gate,
                      km_comparison *out, km_err *err);

/* How many changes are slower beyond the gate, or broken. */
size_t km_comparison_regressions(const km_comparison *c);

#endif
