#include "lab/judge.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "record/interval.h"

const char *const km_lab_verdict_names[] = { "undecided", "accepted", "rejected", "invalid" };

/* --- runs --- */

void km_lab_runs_add(km_lab_runs *runs, double value)
{
    km_lab_runs one = { 1, value, 0 };

    km_lab_runs_merge(runs, &one);
}

void km_lab_runs_merge(km_lab_runs *runs, const km_lab_runs *more)
{
    double a = (double)runs->n, b = (double)more->n, apart = more->mean - runs->mean;

    if (!more->n)
        return;
    runs->n += more->n;
    runs->mean += apart * b / (a + b);
    runs->squares += more->squares + apart * apart * a * b / (a + b);
}

double km_lab_runs_sd(const km_lab_runs *runs)
{
    return runs->n < 2 ? (double)NAN : sqrt(runs->squares / (double)(runs->n - 1));
}

/* --- a bettor --- */

/* The stake is tanh(slope * size / median size), at most STAKE_MAX. Of normal gains with mean m and
 * SD s, the best stake is tanh(m * size / s^2): for two SD of a single run, m = 1.41 s and a median
 * size of about 1.42 s, that is a slope of two. A seventh is bet on smaller gains. Of a wrong bet a
 * twentieth is left, so that one outlier ends nothing. */
#define STAKE_MAX 0.95
#define SLOPES    2
static const double slopes[SLOPES] = { 2, 0.7 }, shares[SLOPES] = { 0.85, 0.15 };

typedef struct {
    double wealth[SLOPES];
    double sizes[KM_LAB_PAIRS_MAX]; /* ascending */
    size_t n;
} bettor;

static void bettor_init(bettor *b)
{
    b->n = 0;
    for (int i = 0; i < SLOPES; i++)
        b->wealth[i] = shares[i];
}

static void insert(bettor *b, double size)
{
    size_t at = b->n++;

    for (; at > 0 && b->sizes[at - 1] > size; at--)
        b->sizes[at] = b->sizes[at - 1];
    b->sizes[at] = size;
}

/* What he has after a pair whose gain is so far above the number that he bets against. */
static double bettor_play(bettor *b, double excess)
{
    double size = fabs(excess), scale, all = 0;

    insert(b, size);
    scale = km_quantile(b->sizes, b->n, 0.5);
    for (int i = 0; i < SLOPES; i++) {
        double stake = size > 0 ? fmin(STAKE_MAX, tanh(slopes[i] * size / scale)) : 0;
        b->wealth[i] *= 1 + (excess > 0 ? stake : -stake);
        all += b->wealth[i];
    }
    return all;
}

/* Whether who bets that the gain is above (side 1) or below (-1) `at` reaches `goal`, and when. */
static size_t reached(const double *gains, size_t n, double at, int side, double goal)
{
    bettor b;

    bettor_init(&b);
    for (size_t i = 0; i < n; i++)
        if (bettor_play(&b, side * (gains[i] - at)) >= goal && i + 1 >= KM_LAB_JUDGE_PAIRS)
            return i + 1;
    return 0;
}

/* --- the answer --- */

static double gains_sd(const double *gains, size_t n)
{
    km_lab_runs runs = { 0, 0, 0 };

    for (size_t i = 0; i < n; i++)
        km_lab_runs_add(&runs, gains[i]);
    return km_lab_runs_sd(&runs);
}

/* Whether the first n pairs rule out a gain of two SD of a single run over the effect. The SD is
 * that of a few pairs, and often too small: for that the goal is twice what beta alone would ask
 * (with 1 / beta, 12 % are missed instead of 7 %). Without any noise, there is nothing to wait
 * for. */
static bool is_hopeless(const km_lab_rule *rule, const double *gains, size_t n)
{
    double sd = gains_sd(gains, n);

    if (n < KM_LAB_JUDGE_PAIRS)
        return false;
    if (!(sd > 0))
        return gains[0] <= rule->effect;
    return reached(gains, n, rule->effect + sqrt(2) * sd, -1, 2 / rule->beta) > 0;
}

/* The first answer of these, looking after each pair; *decided 0: none. */
static km_lab_verdict answer(const km_lab_rule *rule, const double *gains, size_t n,
                             size_t *decided)
{
    bettor b;

    bettor_init(&b);
    for (size_t i = 0; i < n; i++) {
        double wealth = bettor_play(&b, gains[i] - rule->effect);
        *decided = i + 1;
        if (wealth >= 1 / rule->alpha && i + 1 >= KM_LAB_JUDGE_PAIRS)
            return KM_LAB_ACCEPTED;
        if (is_hopeless(rule, gains, i + 1))
            return KM_LAB_REJECTED;
    }
    *decided = 0;
    return KM_LAB_UNDECIDED;
}

/* How many more it takes when those that are there come again and again. */
static void estimate_more(const km_lab_rule *rule, const double *gains, km_lab_decision *out)
{
    double again[KM_LAB_PAIRS_MAX];
    size_t decided = 0;

    out->more_known = out->verdict != KM_LAB_UNDECIDED;
    if (out->more_known || !out->pairs)
        return;
    for (size_t i = 0; i < KM_LAB_PAIRS_MAX; i++)
        again[i] = gains[i % out->pairs];
    answer(rule, again, KM_LAB_PAIRS_MAX, &decided);
    out->more_known = decided > 0;
    out->more_pairs = decided ? decided - out->pairs : KM_LAB_PAIRS_MAX - out->pairs;
}

/* --- the interval --- */

/* The lowest gain that was never ruled out (side 1), or the highest (-1): steps up from far below
 * the least of the gains, then halves the step. Infinite when not even that is ruled out. */
static double bound(const double *gains, size_t n, int side, double goal)
{
    enum { FAR = 16, STEPS_EACH = 8, HALVES = 40 };
    double least = side * gains[0], most = side * gains[0], from, to, step;

    for (size_t i = 1; i < n; i++) {
        least = fmin(least, side * gains[i]);
        most = fmax(most, side * gains[i]);
    }
    step = fmax((most - least) / STEPS_EACH, fmax(fabs(least) * 1e-9, DBL_MIN));
    from = least - FAR * STEPS_EACH * step;
    if (!reached(gains, n, side * from, side, goal))
        return -side * (double)INFINITY;
    to = from + step;
    while (to < most && reached(gains, n, side * to, side, goal)) {
        from = to;
        to += step;
    }
    for (int i = 0; i < HALVES; i++) {
        double middle = (from + to) / 2;
        if (reached(gains, n, side * middle, side, goal))
            from = middle;
        else
            to = middle;
    }
    return side * from;
}

/* The median of the means of all pairs of values, each with itself too.
 *     J. L. Hodges, E. L. Lehmann, Estimates of location based on rank tests, Annals of
 *     Mathematical Statistics 34 (1963), 598-611. */
static double location(const double *gains, size_t n)
{
    static _Thread_local double means[KM_LAB_PAIRS_MAX * (KM_LAB_PAIRS_MAX + 1) / 2];
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++)
            means[count++] = (gains[i] + gains[j]) / 2;
    km_sort(means, count);
    return km_quantile(means, count, 0.5);
}

static void describe(const km_lab_rule *rule, const double *gains, km_lab_decision *out)
{
    size_t n = out->pairs;

    out->gain = location(gains, n);
    out->sd = gains_sd(gains, n) / sqrt(2);
    out->low = bound(gains, n, 1, 1 / rule->alpha);
    out->high = bound(gains, n, -1, 1 / rule->alpha);
    if (out->verdict == KM_LAB_ACCEPTED) /* which says the same of one number, at its own time */
        out->low = fmax(out->low, rule->effect);
}

static void explain(const km_lab_rule *rule, km_lab_decision *out)
{
    char *text = out->reason;
    size_t size = sizeof out->reason;

    if (out->verdict == KM_LAB_ACCEPTED)
        snprintf(text, size, "the gain is above %g after %zu pairs (gain %.6g, SD of a run %.3g)",
                 rule->effect, out->decided, out->gain, out->sd);
    else if (out->verdict == KM_LAB_REJECTED)
        snprintf(text, size,
                 "no gain of %.3g, two SD of a run above %g, after %zu pairs (gain %.6g)",
                 rule->effect + 2 * out->sd, rule->effect, out->decided, out->gain);
    else if (!out->pairs)
        snprintf(text, size, "there are no pairs");
    else if (out->more_known)
        snprintf(text, size, "%zu pairs give no answer; about %zu more may", out->pairs,
                 out->more_pairs);
    else
        snprintf(text, size, "%zu pairs give no answer, and %d like them would not", out->pairs,
                 KM_LAB_PAIRS_MAX);
}

/* --- what can be compared --- */

static bool is_comparable(const km_lab_pair *pairs, size_t i, km_lab_decision *out)
{
    const km_lab_pair *p = &pairs[i], *first = pairs;
    char *text = out->reason;
    size_t size = sizeof out->reason;

    if (!isfinite(p->parent) || !isfinite(p->candidate))
        snprintf(text, size, "pair %zu: the %s gave no finite number", i + 1,
                 isfinite(p->parent) ? "candidate" : "parent");
    else if (!isfinite(p->candidate - p->parent))
        snprintf(text, size, "pair %zu: %g and %g are too far apart", i + 1, p->parent,
                 p->candidate);
    else if (!p->block || !*p->block)
        snprintf(text, size, "pair %zu does not say in which block it ran", i + 1);
    else if (strcmp(p->block, first->block) != 0)
        snprintf(text, size, "pair %zu ran in block '%.48s', pair 1 in '%.48s'", i + 1, p->block,
                 first->block);
    else if (p->amount[0] != p->amount[1] || p->amount[0] != first->amount[0])
        snprintf(text, size, "pair %zu evaluated %lld and %lld, pair 1 %lld", i + 1,
                 (long long)p->amount[0], (long long)p->amount[1], (long long)first->amount[0]);
    else if (p->amount[0] == 0)
        snprintf(text, size, "pair %zu evaluated nothing", i + 1);
    else
        return true;
    return false;
}

static int check_rule(const km_lab_rule *rule, size_t count, km_err *err)
{
    if (!(rule->alpha > 0 && rule->alpha < 0.5) || !(rule->beta > 0 && rule->beta < 0.5))
        return km_fail(err, KM_EUSAGE, "alpha and beta are above 0 and below 0.5, not %g and %g",
                       rule->alpha, rule->beta);
    if (!(rule->effect >= 0) || !isfinite(rule->effect))
        return km_fail(err, KM_EUSAGE, "effect is 0 or more, not %g", rule->effect);
    if (count > KM_LAB_PAIRS_MAX)
        return km_fail(err, KM_ELIMIT, "%zu pairs; the limit is %d", count, KM_LAB_PAIRS_MAX);
    return 0;
}

int km_lab_judge(const km_lab_rule *rule, const km_lab_pair *pairs, size_t count,
                 km_lab_decision *out, km_err *err)
{
    double gains[KM_LAB_PAIRS_MAX] = { 0 };
    int rc = check_rule(rule, count, err);

    *out = (km_lab_decision){ .pairs = count, .gain = (double)NAN, .sd = (double)NAN };
    out->low = -(double)INFINITY;
    out->high = (double)INFINITY;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!is_comparable(pairs, i, out)) {
            out->verdict = KM_LAB_INVALID;
            return 0;
        }
        gains[i] = (pairs[i].candidate - pairs[i].parent) * (rule->higher ? 1 : -1);
        km_lab_runs_add(&out->parent, pairs[i].parent);
        km_lab_runs_add(&out->candidate, pairs[i].candidate);
    }
    if (rc < 0)
        return rc;
    out->verdict = answer(rule, gains, count, &out->decided);
    if (count)
        describe(rule, gains, out);
    estimate_more(rule, gains, out);
    explain(rule, out);
    return 0;
}
