#include "bench/judge.h"

#include <math.h>

#include "core/limits.h"

const char *const km_column_names[KM_COLUMN_COUNT] = { "call", "cold",   "sets64", "chained",
                                                       "hot",  "stream", "host",   "latency" };

static size_t keep(const double *samples, const bool *discarded, size_t rounds, double *out)
{
    size_t n = 0;

    for (size_t i = 0; i < rounds; i++)
        if (!discarded || !discarded[i])
            out[n++] = samples[i];
    return n;
}

void km_judge(km_column *column, const km_column *first, const bool *discarded, size_t rounds,
              double margin)
{
    double own[KM_BENCH_ROUNDS_MAX], others[KM_BENCH_ROUNDS_MAX];
    km_interval times, strict;
    size_t n;

    column->verdict = KM_UNDECIDED;
    column->ratio = (km_interval){ 0 };
    if (!column->samples_us)
        return;
    n = keep(column->samples_us, discarded, rounds, own);
    if (km_interval_of(own, n, 0.95, &times, NULL) < 0)
        return;
    column->median_us = times.median;
    if (!first || first == column || !first->samples_us)
        return;
    keep(first->samples_us, discarded, rounds, others);
    if (km_interval_of_ratio(own, others, n, 0.95, &column->ratio, NULL) == 0 &&
        km_interval_of_ratio(own, others, n, KM_LOOK_LEVEL, &strict, NULL) == 0)
        column->verdict = km_interval_verdict(&strict, margin);
}

size_t km_judge_discard(const double *yardstick_us, size_t rounds, double tolerance,
                        bool *discarded)
{
    km_interval times;
    size_t left = 0;

    if (!yardstick_us || km_interval_of(yardstick_us, rounds, 0.95, &times, NULL) < 0)
        times.median = 0;
    for (size_t i = 0; i < rounds; i++) {
        discarded[i] = times.median > 0 && fabs(yardstick_us[i] / times.median - 1) > tolerance;
        left += !discarded[i];
    }
    return left;
}
