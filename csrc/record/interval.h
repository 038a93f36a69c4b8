/* record/interval.h: how sure a comparison of times is.
 *
 * Implementations are timed in rounds, each round all of them once, so that what moves the machine
 * moves both sides. The estimate is the median over rounds of the ratio a[i] / b[i]; its interval
 * are two fractional order statistics of the ratios, which cover the true median at the level asked
 * for whatever the ratios' distribution is: no normality, no resampling, no seed.
 *
 *     A. D. Hutson, Calculating nonparametric confidence intervals for quantiles using fractional
 *     order statistics, Journal of Applied Statistics 26 (1999), 343-353.
 *
 * Rounds must be exchangeable: in random order, and none removed because of the ratio it shows. */
#ifndef KERNMILL_RECORD_INTERVAL_H
#define KERNMILL_RECORD_INTERVAL_H

#include <stddef.h>

#include "core/err.h"

#define KM_INTERVAL_ROUNDS_MIN 6 /* fewer cannot give 95 % */

typedef struct {
    double median, low, high; /* low = high = median with fewer than KM_INTERVAL_ROUNDS_MIN */
    size_t rounds;
} km_interval;

typedef enum { KM_UNDECIDED, KM_FASTER, KM_SLOWER, KM_SAME } km_verdict;

extern const char *const km_verdict_names[]; /* "undecided", "faster", "slower", "same" */

/* The median of `values` and its interval at `level` (0.95). Errors: KM_EUSAGE when there is no
 * value, or one is no finite number; KM_ENOMEM. */
int km_interval_of(const double *values, size_t count, double level, km_interval *out, km_err *err);

/* Of the ratios a[i] / b[i]; all times are positive. Errors: as above. */
int km_interval_of_ratio(const double *a, const double *b, size_t count, double level,
                         km_interval *out, km_err *err);

/* A comparison that may end at any of several looks: whoever looks after each round and stops when
 * he likes what he sees finds a difference between equals sooner or later. So there are few looks,
 * at KM_LOOKS_MIN rounds and each time there are half as many again, at most KM_LOOKS_MAX, and a
 * verdict is taken from intervals at KM_LOOK_LEVEL, such that all looks together call equals
 * different in one comparison of a hundred at most (Bonferroni). */
#define KM_LOOKS_MIN  12 /* rounds before the first look */
#define KM_LOOKS_MAX  13 /* 12, 18, 27 ... 681, 1000 rounds, and one when time is up */
#define KM_LOOK_LEVEL 0.99925

/* The rounds of the look after the one at `rounds`. */
size_t km_next_look(size_t rounds);

/* What an interval of a ratio of times says, when a difference within `margin` (0.01) is none:
 * faster or slower when all of it is beyond the margin, same when all of it is within, else
 * undecided. */
km_verdict km_interval_verdict(const km_interval *ratio, double margin);

/* The q-quantile (0 to 1) of ascending values, linear between order statistics. */
double km_quantile(const double *ascending, size_t count, double q);

/* Sorts ascending. */
void km_sort(double *values, size_t count);

#endif
