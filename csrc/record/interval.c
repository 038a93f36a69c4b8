#include "record/interval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const km_verdict_names[] = { "undecided", "faster", "slower", "same" };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void km_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
}

double km_quantile(const double *ascending, size_t count, double q)
{
    double at = q * (double)(count - 1);
    size_t i = (size_t)at;

    if (i + 1 >= count)
        return ascending[count - 1];
    return ascending[i] + (at - (double)i) * (ascending[i + 1] - ascending[i]);
}

/* The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's
 * method. Converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1), f;

    d = 1 / (fabs(d) < tiny ? tiny : d);
    f = d;
    for (int m = 1; m < 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double before = f;
        for (int i = 0; i < 2; i++) {
            double term = i ? odd : even;
            d = 1 + term * d;
            c = 1 + term / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            f *= c * d;
        }
        if (fabs(f - before) <= 1e-14 * fabs(f))
            break;
    }
    return f;
}

/* The regularised incomplete beta function: P(B <= x) for B ~ Beta(a, b). */
static double beta_distribution(double x, double a, double b)
{
    double front;

    if (x <= 0 || x >= 1)
        return x >= 1;
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

/* The order u in (0, 1/2) whose fractional order statistic lies below the median with probability
 * 1 - tail: the statistic of order u among n is Beta((n + 1) u, (n + 1) (1 - u)) in probability. */
static double lower_order(size_t n, double tail)
{
    double low = 0, high = 0.5, size = (double)n + 1;

    for (int i = 0; i < 60; i++) {
        double u = (low + high) / 2;
        if (beta_distribution(0.5, size * u, size * (1 - u)) > 1 - tail)
            low = u;
        else
            high = u;
    }
    return low;
}

/* The order statistic at the fractional rank, which counts from 1. */
static double at_rank(const double *ascending, size_t n, double rank)
{
    double whole = floor(rank);

    if (rank <= 1)
        return ascending[0];
    if (rank >= (double)n)
        return ascending[n - 1];
    return ascending[(size_t)whole - 1] +
           (rank - whole) * (ascending[(size_t)whole] - ascending[(size_t)whole - 1]);
}

int km_interval_of(const double *values, size_t count, double level, km_interval *out, km_err *err)
{
    double *sorted, rank;

    if (!count)
        return km_fail(err, KM_EUSAGE, "there are no rounds to compare");
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return km_fail(err, KM_EUSAGE, "round %zu has no finite value", i);
    sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return km_fail_nomem(err);
    memcpy(sorted, values, count * sizeof *sorted);
    km_sort(sorted, count);
    *out = (km_interval){ .median = km_quantile(sorted, count, 0.5), .rounds = count };
    out->low = out->high = out->median;
    if (count >= KM_INTERVAL_ROUNDS_MIN) {
        rank = lower_order(count, (1 - level) / 2) * (double)(count + 1);
        out->low = at_rank(sorted, count, rank);
        out->high = at_rank(sorted, count, (double)(count + 1) - rank);
    }
    free(sorted);
    return 0;
}

int km_interval_of_ratio(const double *a, const double *b, size_t count, double level,
                         km_interval *out, km_err *err)
{
    double *ratios = malloc((count ? count : 1) * sizeof *ratios);
    int rc;

    if (!ratios)
        return km_fail_nomem(err);
    for (size_t i = 0; i < count; i++)
        ratios[i] = a[i] / b[i];
    rc = km_interval_of(ratios, count, level, out, err);
    free(ratios);
    return rc;
}

size_t km_next_look(size_t rounds)
{
    return rounds < KM_LOOKS_MIN ? KM_LOOKS_MIN : rounds + rounds / 2;
}

km_verdict km_interval_verdict(const km_interval *ratio, double margin)
{
    if (ratio->rounds < KM_INTERVAL_ROUNDS_MIN)
        return KM_UNDECIDED;
    if (ratio->high < 1 - margin)
        return KM_FASTER;
    if (ratio->low > 1 + margin)
        return KM_SLOWER;
    return ratio->low >= 1 - margin && ratio->high <= 1 + margin ? KM_SAME : KM_UNDECIDED;
}
