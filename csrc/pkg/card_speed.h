/* pkg/card_speed.h: the card's part on speed, from records of `kernmill bench`.
 *
 * A record speaks of what is packed when a cell of it names a wheel's library with the very SHA-256
 * of the one that was built; cells of other builds are counted and left out. For each
 * record the card states machine, versions and date, and per operator and dtype a table: the
 * kernel's time and its share of the speed of light, and for every other call its time over the
 * kernel's with the 95 % interval, paired by round. Plots that `kernmill report` left beside the
 * record go along. */
#ifndef KERNMILL_PKG_CARD_SPEED_H
#define KERNMILL_PKG_CARD_SPEED_H

#include "core/str.h"
#include "pkg/plan.h"

/* How many cells the records of bench had: of this build, and of others; and how many runs those of
 * tests had (pkg/card_parts.h). */
typedef struct {
    size_t shown, others;
    size_t runs_shown, runs_others;
} km_card_cells;

/* Appends the part, of plans for one kernel, one for each processor. `records`: a file, or a folder
 * that is searched for *.jsonl; NULL: the repository's benchmarks/results, which need not exist.
 * Plots are copied into `hub_dir`/speed, which is emptied before. Errors: KM_ENOENT for a path that
 * was named and is not there; those of km_record_read, of a file that was named. */
int km_card_speed(const km_plan *plans, size_t count, const char *records, const char *hub_dir,
                  km_card_cells *cells, km_str *out, km_err *err);

#endif
