/* bench/judge.h: from samples to verdicts: the columns of a cell, each a way of timing a call. */
#ifndef KERNMILL_BENCH_JUDGE_H
#define KERNMILL_BENCH_JUDGE_H

#include <stdbool.h>

#include "core/arena.h"
#include "record/interval.h"

/* Ways of timing a call; never mixed in one number. The CPU has the first alone. */
typedef enum {
    KM_COLUMN_CALL,    /* on the CPU: as a C caller has it */
    KM_COLUMN_COLD,    /* node of a graph that walks over all sets, after the caches were emptied */
    KM_COLUMN_SETS64,  /* the same over 64 sets, which a cache may hold, replayed before */
    KM_COLUMN_CHAINED, /* what the call adds to a chain of kernels that write its inputs */
    KM_COLUMN_HOT,     /* node of a graph of calls on one set */
    KM_COLUMN_STREAM,  /* launched one by one, without a graph: host time where that is longer */
    KM_COLUMN_HOST,    /* until the call returns, the GPU idle before */
    KM_COLUMN_LATENCY, /* until its results are there, the GPU idle before */
    KM_COLUMN_COUNT
} km_column_kind;

extern const char *const km_column_names[KM_COLUMN_COUNT]; /* "call", "cold", ... */

/* One call in one column. */
typedef struct {
    double *samples_us; /* [rounds], in the arena; NULL: not measured */
    double median_us;
    km_interval ratio;  /* its times over those of the suite's first call; 95 % */
    km_verdict verdict; /* by the stricter interval of a look (record/interval.h) */
} km_column;

/* Fills median, ratio and verdict from `rounds` samples, of which those `discarded` (NULL: none)
 * count for nothing. `first` may be NULL, or `column` itself: then there is no ratio. */
void km_judge(km_column *column, const km_column *first, const bool *discarded, size_t rounds,
              double margin);

/* Marks the rounds in which `yardstick_us` is more than `tolerance` (0.02) off its own median; NULL
 * yardsticks mark none. Returns how many are left. */
size_t km_judge_discard(const double *yardstick_us, size_t rounds, double tolerance,
                        bool *discarded);

#endif
