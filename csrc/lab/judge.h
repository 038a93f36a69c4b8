/* lab/judge.h: is the candidate better than its parent, or was it luck?
 *
 * Parent and candidate run in turns, in random or alternating order, in one hardware block; each
 * pair gives one gain, positive when the candidate is better. Nothing is compared with a number of
 * the past: the parent runs again in each pair, so that a lucky record stops nobody.
 *
 * Two bettors start with 1 each. One bets before each pair that the gain is above `effect`, the
 * other that it is below `effect` and two SD of a single run; who first has enough decides. The
 * stake is a share of what he has, by the size of the gain beside the median size so far, before
 * its sign is known: he wins the stake or loses it with the sign. When the gain is distributed
 * symmetrically around `effect`, or a number below, the sign is worth nothing to the first bettor,
 * whatever the distribution: then he reaches 1 / alpha at any time with a probability of at most
 * alpha (Ville's inequality). So anybody may look after each pair and stop when there is an answer.
 * Noise may be heavy in the tails, change its scale, or jump between two hosts. Of an idea without
 * any effect the gain is symmetric because parent and candidate could change places. Not covered: a
 * candidate that makes the noise itself lopsided; then the verdict is about the middle of the
 * gains, not their mean.
 *
 *     J. Ville, Etude critique de la notion de collectif, Paris 1939.
 *     V. H. de la Pena, A general class of exponential inequalities for martingales and ratios,
 *     Annals of Probability 27 (1999), 537-564: the symmetric case, without moments.
 *     A. Ramdas, J. Ruf, M. Larsson, W. Koolen, Admissible anytime-valid sequential inference must
 *     rely on nonnegative martingales, arXiv 2009.03167 (2020): that bets of this form are all
 *     there is for symmetry.
 *
 * The price: with alpha = 1 % nobody is accepted before KM_LAB_JUDGE_FIRST pairs, however large the
 * gain, since a sign is worth a factor of two at most (2^-7 < 1 %); a t-test asks for three, and
 * for noise without tails. What it costs by the size of the gain, simulated, stands in
 * benchmarks/results/amd-epyc/judge.json (`scripts/soak judge`).
 *
 * `beta` is for the noise as it was estimated, not for every noise: gains of two SD or more are
 * rejected in at most that share in the simulation. Gains between `effect` and that may be found,
 * or not. The gain of whom is accepted is too high on average, as all that was chosen is.
 */
#ifndef KERNMILL_LAB_JUDGE_H
#define KERNMILL_LAB_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define KM_LAB_JUDGE_PAIRS 3 /* fewer are undecided, whatever they say */
#define KM_LAB_JUDGE_FIRST 8 /* no pair before it accepts at 1 % */
#define KM_LAB_JUDGE_ALPHA 0.01
#define KM_LAB_JUDGE_BETA  0.10

/* Two runs, one after the other. */
typedef struct {
    double parent, candidate; /* the metric; NaN: the run failed, or gave none */
    const char *block;        /* which hardware, driver and image; NULL: not said */
    int64_t amount[2];        /* tokens, bytes or cases that were evaluated; -1: not said */
} km_lab_pair;

typedef struct {
    bool higher;        /* more of the metric is better */
    double effect;      /* a gain up to this is none; 0 or more, in the metric's unit */
    double alpha, beta; /* false accepts at most; real gains of two SD that are missed */
} km_lab_rule;

typedef enum {
    KM_LAB_UNDECIDED,
    KM_LAB_ACCEPTED,
    KM_LAB_REJECTED,
    KM_LAB_INVALID, /* these pairs cannot be compared, however many more there are */
} km_lab_verdict;

extern const char *const km_lab_verdict_names[]; /* "undecided", "accepted", ... */

/* All runs of one source in one block: what is known of a champion. Zero is none. Never its best:
 * the best of many runs is luck. */
typedef struct {
    int64_t n;
    double mean, squares; /* squares: the sum of (value - mean)^2 */
} km_lab_runs;

void km_lab_runs_add(km_lab_runs *runs, double value);

/* What both saw: a candidate's runs are its first as a champion; those as a parent are added.
 *     T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for computing the sample variance, The
 *     American Statistician 37 (1983), 242-247. */
void km_lab_runs_merge(km_lab_runs *runs, const km_lab_runs *more);

/* Of a single run; NaN with fewer than two. */
double km_lab_runs_sd(const km_lab_runs *runs);

typedef struct {
    km_lab_verdict verdict;
    size_t pairs;
    size_t decided;    /* after how many of them; 0: not */
    double gain;       /* median of the means of two gains (Hodges and Lehmann); NaN: no pairs */
    double low, high;  /* holds the gain with 1 - 2 alpha at any time; infinite: not known yet */
    double sd;         /* of a single run: that of the gains, over the root of 2; NaN: unknown */
    size_t more_pairs; /* to an answer if they come as they came; 0: there is one */
    bool more_known;   /* false: more than KM_LAB_PAIRS_MAX in all, or nothing to go by */
    km_lab_runs parent, candidate;
    char reason[256];
} km_lab_decision;

/* The pairs in the order in which they ran, none left out: the first answer stays, whatever comes
 * after it. One that failed, that was evaluated over another amount, or that ran in another block
 * than the first makes all of them invalid.
 * Errors: KM_EUSAGE for a rule that makes no sense; KM_ELIMIT beyond KM_LAB_PAIRS_MAX. */
int km_lab_judge(const km_lab_rule *rule, const km_lab_pair *pairs, size_t count,
                 km_lab_decision *out, km_err *err);

#endif
