#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <vector>

extern "C" {
#include "record/interval.h"
}

namespace
{

using Noise = std::function<double(std::mt19937_64 &)>;

/* Noises as timers have them, with median 1. */
double normal(std::mt19937_64 &rng)
{
    return 1 + 0.02 * std::normal_distribution<>()(rng);
}
double skewed(std::mt19937_64 &rng)
{
    return 1 + 0.05 * (std::exponential_distribution<>()(rng) - std::log(2.0));
}
double spiked(std::mt19937_64 &rng) /* one time in twelve, twice as long */
{
    double x = std::uniform_real_distribution<>()(rng);
    double calm = 1 + 0.01 * std::normal_distribution<>()(rng);

    return x < 1.0 / 24 ? 2 * calm : x > 23.0 / 24 ? 0.5 * calm : calm;
}
double heavy(std::mt19937_64 &rng)
{
    return 1 + 0.01 * std::cauchy_distribution<>()(rng);
}
double grained(std::mt19937_64 &rng) /* a timer of few steps */
{
    return std::round(normal(rng) * 200) / 200;
}

km_interval interval_of(const std::vector<double> &values)
{
    km_err err = KM_ERR_INIT;
    km_interval i;

    EXPECT_EQ(km_interval_of(values.data(), values.size(), 0.95, &i, &err), 0) << err.message;
    return i;
}

/* How often the interval of `rounds` draws holds the true median, 1. */
double coverage(const Noise &noise, size_t rounds, int trials = 8000)
{
    std::mt19937_64 rng(rounds);
    std::vector<double> values(rounds);
    int held = 0;

    for (int t = 0; t < trials; t++) {
        for (double &v : values)
            v = noise(rng);
        km_interval i = interval_of(values);
        held += i.low <= 1 && 1 <= i.high;
    }
    return (double)held / trials;
}

// The promise: 95 % +- 1.5, whatever the noise, from twelve rounds on. A grained timer can only be
// safer.
TEST(Interval, Coverage)
{
    const std::pair<const char *, Noise> noises[] = {
        { "normal", normal }, { "skewed", skewed }, { "spiked", spiked }, { "heavy", heavy }
    };

    for (const auto &[name, noise] : noises)
        for (size_t rounds : { 12, 15, 24, 40, 101 }) {
            double held = coverage(noise, rounds);
            EXPECT_NEAR(held, 0.95, 0.015) << name << ", " << rounds << " rounds";
        }
    EXPECT_GE(coverage(grained, 25), 0.945);
}

// Known values: Hutson's orders for n = 10 (0.0214 and 0.9786 of a uniform at 95 % give
// ranks 1.67, 9.33).
TEST(Interval, KnownValues)
{
    km_interval i = interval_of({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 });

    EXPECT_DOUBLE_EQ(i.median, 5.5);
    EXPECT_NEAR(i.low + i.high, 11, 1e-9) << "symmetric";
    EXPECT_GT(i.low, 1); /* ranks 1 and 10 cover 99.8 %, 2 and 9 97.9 %, 3 and 8 89.1 % */
    EXPECT_GT(i.low, 2);
    EXPECT_LT(i.low, 3);
    EXPECT_EQ(i.rounds, 10u);
}

// With few rounds there is no interval, and nothing is decided.
TEST(Interval, FewRounds)
{
    km_interval i = interval_of({ 0.5, 0.5, 0.5, 0.5, 0.5 });

    EXPECT_EQ(i.median, 0.5);
    EXPECT_EQ(km_interval_verdict(&i, 0.01), KM_UNDECIDED);
    i = interval_of({ 0.5, 0.5, 0.5, 0.5, 0.5, 0.5 });
    EXPECT_EQ(km_interval_verdict(&i, 0.01), KM_FASTER);
}

TEST(Interval, Errors)
{
    const double infinite[] = { 1, INFINITY }, zero[] = { 1, 0 }, one[] = { 1, 1 };
    km_err err = KM_ERR_INIT;
    km_interval i;

    EXPECT_EQ(km_interval_of(one, 0, 0.95, &i, &err), KM_EUSAGE);
    EXPECT_EQ(km_interval_of(infinite, 2, 0.95, &i, &err), KM_EUSAGE);
    EXPECT_STREQ(err.message, "round 1 has no finite value");
    EXPECT_EQ(km_interval_of_ratio(one, zero, 2, 0.95, &i, &err), KM_EUSAGE);
}

TEST(Interval, Verdicts)
{
    const struct {
        double low, high;
        km_verdict verdict;
    } cases[] = {
        { 0.90, 0.98, KM_FASTER },  { 0.90, 0.995, KM_UNDECIDED }, { 0.995, 1.005, KM_SAME },
        { 0.99, 1.01, KM_SAME },    { 1.005, 1.2, KM_UNDECIDED },  { 1.02, 1.2, KM_SLOWER },
        { 0.9, 1.1, KM_UNDECIDED },
    };

    for (const auto &c : cases) {
        km_interval i = { (c.low + c.high) / 2, c.low, c.high, 20 };
        EXPECT_EQ(km_interval_verdict(&i, 0.01), c.verdict) << c.low << " to " << c.high;
    }
    EXPECT_STREQ(km_verdict_names[KM_SLOWER], "slower");
}

/* Two implementations in rounds of one machine that drifts, each with noise of its own, looked at
 * as a cell is: until there is a verdict or a thousand rounds. */
km_verdict judged(std::mt19937_64 &rng, const Noise &noise, double factor)
{
    std::vector<double> a, b;
    size_t look = km_next_look(0);
    double drift = 1;
    int looks = 0;

    for (;;) {
        km_interval i;
        while (a.size() < look && a.size() < 1000) {
            drift *= 1 + 0.01 * std::normal_distribution<>()(rng);
            a.push_back(factor * drift * noise(rng));
            b.push_back(drift * noise(rng));
        }
        EXPECT_LT(looks++, KM_LOOKS_MAX);
        EXPECT_EQ(km_interval_of_ratio(a.data(), b.data(), a.size(), KM_LOOK_LEVEL, &i, nullptr),
                  0);
        km_verdict v = km_interval_verdict(&i, 0.01);
        if (v != KM_UNDECIDED || a.size() == 1000)
            return v;
        look = km_next_look(look);
    }
}

// A against itself is called faster or slower at most once in a hundred, whatever the noise and
// however often one looks; three per cent are found.
TEST(Interval, JudgesPairs)
{
    const std::pair<const char *, Noise> noises[] = {
        { "normal", normal }, { "skewed", skewed }, { "spiked", spiked }, { "heavy", heavy }
    };
    const int trials = 2000;

    for (const auto &[name, noise] : noises) {
        std::mt19937_64 rng(7);
        int wrong = 0, found = 0;
        for (int t = 0; t < trials; t++) {
            km_verdict same = judged(rng, noise, 1);
            wrong += same == KM_FASTER || same == KM_SLOWER;
            found += judged(rng, noise, 1.03) == KM_SLOWER;
        }
        EXPECT_LE(wrong, trials / 100) << name;
        EXPECT_GE(found, trials * 95 / 100) << name;
    }
}

} // namespace
