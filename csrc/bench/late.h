/* bench/late.h: results on the CPU that are written after their call has returned, by a thread that
 * the call left behind: some words of them are looked at as soon as it returns, and again when all
 * is done. */
#ifndef KERNMILL_BENCH_LATE_H
#define KERNMILL_BENCH_LATE_H

#include "bench/random.h"
#include "bench/torch_host.h"

#define KM_LATE_WORDS 32 /* of a call's results */

typedef struct {
    const unsigned char *places[KM_LATE_WORDS]; /* NULL: no word */
    unsigned words[KM_LATE_WORDS];
} km_late;

/* Looks at random words, the last of each result among them. */
void km_late_look(const km_torch *t, const km_torch_tensor *results, km_random *r, km_late *out);

/* Whether one of them is another now; the results must still be there. */
bool km_late_changed(const km_late *l);

#endif
