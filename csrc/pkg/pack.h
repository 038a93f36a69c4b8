/* pkg/pack.h: what is shipped, from built plans of one kernel, one for each processor: a wheel of
 * each, and the Hub layout of all:
 *
 *     OUT/<wheel>.whl
 *     OUT/<name>/README.md              the card
 *     OUT/<name>/speed/...              its plots, where records have some
 *     OUT/<name>/tests.json             the runs of tests on these files, where there were any
 *     OUT/<name>/build/<variant>/...    each with metadata.json and digests
 *
 * Nothing is packed that `check` has an error for. */
#ifndef KERNMILL_PKG_PACK_H
#define KERNMILL_PKG_PACK_H

#include "pkg/card_speed.h"
#include "pkg/check.h"
#include "pkg/plan.h"

typedef struct {
    km_arena arena;
    const char *wheels[KM_HOSTS_MAX]; /* paths, one a plan */
    size_t wheel_count;
    const char *hub_dir; /* OUT/<name> */
    const char *card;    /* OUT/<name>/README.md */
    km_card_cells cells; /* that its records had */
    km_findings findings;
} km_pack_result;

/* The plans share a manifest and a build folder. `records` and `tests`: where the card's figures
 * come from, or NULL (pkg/card.h). Errors: those of the parts; KM_ECHILD when the check has
 * findings that are errors (result->findings). The result is to be released in every case. */
int km_pack(const km_plan *plans, size_t count, const char *out_dir, const char *records,
            const char *tests, km_pack_result *result, km_err *err);

void km_pack_result_release(km_pack_result *result);

#endif
