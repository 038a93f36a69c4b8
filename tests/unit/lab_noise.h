/* Noise of runs, for what the judge of a lab is simulated with: the unit test and `scripts/soak
 * judge`. The figures are those of 11,193 runs of one script of a public lab: SD 0.000371 in two
 * blocks, 57 % at 0.963588 (SD 0.000175) and 43 % at 0.964270 (SD 0.000121). */
#ifndef KERNMILL_TESTS_LAB_NOISE_H
#define KERNMILL_TESTS_LAB_NOISE_H

#include <cmath>
#include <random>
#include <string>
#include <vector>

extern "C" {
#include "lab/judge.h"
}

namespace lab
{

using Rng = std::mt19937_64;

constexpr double MEANS[2] = { 0.963588, 0.964270 }, SDS[2] = { 0.000175, 0.000121 };
constexpr double FIRST = 0.57;      /* how often it is the first block */
constexpr double WITHIN = 0.000154; /* SD within a block, over both */
constexpr double ALL = 0.000371;    /* SD over both */

inline int any_block(Rng &rng)
{
    return std::uniform_real_distribution<>()(rng) < FIRST ? 0 : 1;
}

inline double run_in(Rng &rng, int block)
{
    return MEANS[block] + SDS[block] * std::normal_distribution<>()(rng);
}

/* A pair of runs without any effect, by the kind of noise; `pair` counts them. */
struct Noise {
    const char *name;
    double sd; /* of a single run, that a pair can see; 0: it has none */
    void (*draw)(Rng &rng, int block, size_t pair, double out[2]);
};

inline const Noise BLOCKS = { "two blocks, a pair in one", WITHIN,
                              [](Rng &rng, int block, size_t, double out[2]) {
                                  out[0] = run_in(rng, block);
                                  out[1] = run_in(rng, block);
                              } };
inline const Noise HIDDEN = { "two blocks that nobody told of", ALL,
                              [](Rng &rng, int, size_t, double out[2]) {
                                  out[0] = run_in(rng, any_block(rng));
                                  out[1] = run_in(rng, any_block(rng));
                              } };
inline const Noise TAILS = { "Student's t with 3 degrees", WITHIN,
                             [](Rng &rng, int, size_t, double out[2]) {
                                 for (int i = 0; i < 2; i++)
                                     out[i] = 0.9636 + WITHIN / std::sqrt(3.0) *
                                                           std::student_t_distribution<>(3)(rng);
                             } };
inline const Noise CAUCHY = { "Cauchy", 0, [](Rng &rng, int, size_t, double out[2]) {
                                 for (int i = 0; i < 2; i++)
                                     out[i] = 0.9636 + 1e-4 * std::cauchy_distribution<>()(rng);
                             } };
inline const Noise SKEWED = { "exponential", WITHIN, [](Rng &rng, int, size_t, double out[2]) {
                                 for (int i = 0; i < 2; i++)
                                     out[i] = 0.9636 +
                                              WITHIN * std::exponential_distribution<>()(rng);
                             } };
inline const Noise GROWING = { "a tenth more with each pair", 0,
                               [](Rng &rng, int, size_t pair, double out[2]) {
                                   for (int i = 0; i < 2; i++)
                                       out[i] = 0.9636 + 1e-5 * std::pow(1.1, (double)pair) *
                                                             std::normal_distribution<>()(rng);
                               } };
inline const std::vector<Noise> NOISES = { BLOCKS, HIDDEN, TAILS, CAUCHY, SKEWED, GROWING };

/* A candidate that is better by `gain`, judged after each pair for at most `most` pairs. */
inline km_lab_decision judged(Rng &rng, const Noise &noise, double gain, size_t most,
                              double alpha = KM_LAB_JUDGE_ALPHA, double beta = KM_LAB_JUDGE_BETA)
{
    std::vector<km_lab_pair> pairs(most);
    km_lab_rule rule = { false, 0, alpha, beta };
    km_lab_decision d;
    km_err err = KM_ERR_INIT;
    int block = any_block(rng);

    for (size_t i = 0; i < most; i++) {
        double run[2];
        noise.draw(rng, block, i, run);
        pairs[i] = { run[0], run[1] - gain, "host", { 1000, 1000 } };
    }
    if (km_lab_judge(&rule, pairs.data(), most, &d, &err) < 0)
        d.verdict = KM_LAB_INVALID;
    return d;
}

/* What `trials` such candidates come to. */
struct Tally {
    int accepted = 0, rejected = 0, undecided = 0, covered = 0;
    double pairs = 0; /* until the answer, on average */
};

inline Tally tally(const Noise &noise, double gain, size_t most, int trials, unsigned seed,
                   double alpha = KM_LAB_JUDGE_ALPHA, double beta = KM_LAB_JUDGE_BETA)
{
    Rng rng(seed);
    Tally t;

    for (int i = 0; i < trials; i++) {
        km_lab_decision d = judged(rng, noise, gain, most, alpha, beta);
        t.accepted += d.verdict == KM_LAB_ACCEPTED;
        t.rejected += d.verdict == KM_LAB_REJECTED;
        t.undecided += d.verdict == KM_LAB_UNDECIDED;
        t.covered += d.low <= gain && gain <= d.high;
        t.pairs += (double)(d.decided ? d.decided : most) / trials;
    }
    return t;
}

} // namespace lab

#endif
