#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "lab_noise.h"

namespace
{

using lab::Rng;
constexpr double NONE = std::numeric_limits<double>::quiet_NaN();

std::vector<km_lab_pair> pairs_of(const std::vector<double> &gains)
{
    std::vector<km_lab_pair> pairs;

    for (double gain : gains)
        pairs.push_back({ 10, 10 - gain, "host", { 5, 5 } });
    return pairs;
}

km_lab_decision decide(const std::vector<km_lab_pair> &pairs,
                       km_lab_rule rule = { false, 0, 0.01, 0.1 })
{
    km_lab_decision d;
    km_err err = KM_ERR_INIT;

    EXPECT_EQ(km_lab_judge(&rule, pairs.data(), pairs.size(), &d, &err), 0) << err.message;
    return d;
}

std::vector<double> normal_gains(double mean, size_t n, unsigned seed)
{
    Rng rng(seed);
    std::vector<double> gains(n);

    for (double &g : gains)
        g = mean + std::normal_distribution<>()(rng);
    return gains;
}

// The promise: of ideas without effect one in a hundred is accepted at most, whatever the noise and
// though it is looked at after each pair. In 4000 trials 40 would be just right; a method that errs
// twice as often gives 80.
TEST(LabJudge, AcceptsNoLuck)
{
    for (const lab::Noise &noise : lab::NOISES) {
        lab::Tally t = lab::tally(noise, 0, 40, 4000, 11);
        EXPECT_LE(t.accepted, 55) << noise.name;
        EXPECT_GE(t.covered, 4000 - 105) << noise.name;
        EXPECT_LE(t.pairs, 10) << noise.name;
    }
}

// Alpha is what it costs, not a number near it: who never gives up accepts luck a little less often
// than alpha, by any noise. Twice, or half as often, is seen.
TEST(LabJudge, AlphaIsWhatItSays)
{
    for (const lab::Noise &noise : { lab::BLOCKS, lab::HIDDEN, lab::CAUCHY }) {
        int accepted = lab::tally(noise, 0, 40, 3000, 12, 0.05, 1e-12).accepted;
        EXPECT_GT(accepted, 150 * 0.55) << noise.name;
        EXPECT_LE(accepted, 150 * 1.1) << noise.name;
    }
}

// Gains of two SD of a single run are found nine times in ten, in some ten pairs, and the interval
// holds them.
TEST(LabJudge, FindsGains)
{
    for (const lab::Noise &noise : { lab::BLOCKS, lab::HIDDEN, lab::TAILS, lab::SKEWED }) {
        lab::Tally t = lab::tally(noise, 2 * noise.sd, 60, 3000, 13);
        EXPECT_GE(t.accepted, 2700 - 50) << noise.name;
        EXPECT_LE(t.pairs, 12) << noise.name;
        EXPECT_GE(t.covered, 3000 - 83) << noise.name;
    }
}

// A record that was lucky stops nobody, since it is not asked: only the parent's runs of today are.
TEST(LabJudge, LuckyChampion)
{
    Rng rng(14);
    int found = 0, strict = 0;

    for (int i = 0; i < 500; i++) {
        double record = 1;
        for (int k = 0; k < 50; k++)
            record = std::min(record, lab::run_in(rng, lab::any_block(rng)));
        strict += lab::run_in(rng, lab::any_block(rng)) - 2 * lab::WITHIN < record;
        found += lab::judged(rng, lab::BLOCKS, 2 * lab::WITHIN, 60).verdict == KM_LAB_ACCEPTED;
    }
    EXPECT_LT(strict, 200);
    EXPECT_GT(found, 430);
}

// Effect moves the line: what gains two SD is not accepted as more than two SD, in 1 % at most.
TEST(LabJudge, EffectIsTheLine)
{
    int accepted = 0;

    for (unsigned i = 0; i < 2000; i++)
        accepted += decide(pairs_of(normal_gains(1.4, 30, i)), { false, 1.4, 0.01, 0.1 }).verdict ==
                    KM_LAB_ACCEPTED;
    EXPECT_LE(accepted, 32);
}

// Fewer than eight cannot accept at 1 %, however large the gain; the eighth can. Sure losers end
// before.
TEST(LabJudge, ThePrice)
{
    std::vector<double> gains = { 100, 101, 99, 100, 102, 98, 100, 101 };
    km_lab_decision d = decide(pairs_of(gains));

    EXPECT_EQ(d.verdict, KM_LAB_ACCEPTED);
    EXPECT_EQ(d.decided, (size_t)KM_LAB_JUDGE_FIRST);
    EXPECT_GT(d.low, 50);
    EXPECT_LT(d.high, 150);
    EXPECT_NEAR(d.gain, 100, 0.6);
    EXPECT_EQ(d.more_pairs, 0u);
    gains.pop_back();
    d = decide(pairs_of(gains));
    EXPECT_EQ(d.verdict, KM_LAB_UNDECIDED);
    EXPECT_EQ(d.more_pairs, 1u);
    EXPECT_TRUE(d.more_known && std::isinf(d.low));
    EXPECT_EQ(decide(pairs_of({ 1, 1 })).verdict, KM_LAB_UNDECIDED);
    d = decide(pairs_of({ -100, -99, -101, -100, -98, -100 }));
    EXPECT_EQ(d.verdict, KM_LAB_REJECTED);
    EXPECT_LE(d.decided, 6u);
}

// The same after each pair as all at once, and the first answer stays: who looks more often gets no
// other one.
TEST(LabJudge, TheFirstAnswerStays)
{
    for (unsigned seed = 0; seed < 60; seed++) {
        std::vector<km_lab_pair> pairs = pairs_of(normal_gains(seed % 3, 30, seed));
        km_lab_decision all = decide(pairs);
        for (size_t n = 1; n <= pairs.size(); n++) {
            km_lab_decision d = decide({ pairs.begin(), pairs.begin() + (long)n });
            if (all.decided && n >= all.decided) {
                EXPECT_EQ(d.verdict, all.verdict);
                EXPECT_EQ(d.decided, all.decided);
            } else {
                EXPECT_EQ(d.verdict, KM_LAB_UNDECIDED);
            }
        }
    }
}

// Another unit and the other direction change nothing; another unit of the effect neither.
TEST(LabJudge, UnitsAndDirection)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        std::vector<double> gains = normal_gains(1, 25, seed);
        km_lab_decision a = decide(pairs_of(gains), { false, 0.25, 0.01, 0.1 });
        std::vector<km_lab_pair> pairs;
        for (double g : gains)
            pairs.push_back({ 0, g * 1024, "host", { 5, 5 } });
        km_lab_decision b = decide(pairs, { true, 0.25 * 1024, 0.01, 0.1 });
        EXPECT_EQ(a.verdict, b.verdict);
        EXPECT_EQ(a.decided, b.decided);
        EXPECT_NEAR(a.gain * 1024, b.gain, 1e-6);
        EXPECT_NEAR(a.sd * 1024, b.sd, 1e-6);
    }
}

// One that is wrong anywhere makes all of them invalid, though the rest would be accepted.
TEST(LabJudge, Invalid)
{
    const std::vector<km_lab_pair> good = pairs_of({ 5, 5.1, 4.9, 5, 5.2, 4.8, 5, 5.1, 5, 5 });
    const std::pair<km_lab_pair, const char *> wrong[] = {
        { { NONE, 5, "host", { 5, 5 } }, "the parent gave no finite number" },
        { { 10, NONE, "host", { 5, 5 } }, "the candidate gave no finite number" },
        { { 10, -INFINITY, "host", { 5, 5 } }, "no finite number" },
        { { 1e308, -1e308, "host", { 5, 5 } }, "too far apart" },
        { { 10, 5, "other", { 5, 5 } }, "in block 'other', pair 1 in 'host'" },
        { { 10, 5, nullptr, { 5, 5 } }, "does not say in which block" },
        { { 10, 5, "", { 5, 5 } }, "does not say in which block" },
        { { 10, 5, "host", { 5, 4 } }, "evaluated 5 and 4" },
        { { 10, 5, "host", { 4, 4 } }, "evaluated 4 and 4, pair 1 5" },
        { { 10, 5, "host", { -1, -1 } }, "evaluated -1 and -1" },
    };

    EXPECT_EQ(decide(good).verdict, KM_LAB_ACCEPTED);
    for (const auto &[pair, text] : wrong) {
        std::vector<km_lab_pair> pairs = good;
        pairs[4] = pair;
        km_lab_decision d = decide(pairs);
        EXPECT_EQ(d.verdict, KM_LAB_INVALID) << text;
        EXPECT_NE(std::string(d.reason).find(text), std::string::npos) << d.reason;
        EXPECT_EQ(std::string(d.reason).find("pair 5"), 0u) << d.reason;
    }
    std::vector<km_lab_pair> nothing = good;
    for (km_lab_pair &p : nothing)
        p.amount[0] = p.amount[1] = 0;
    EXPECT_EQ(decide(nothing).verdict, KM_LAB_INVALID);
}

// Numbers without noise: the same again is no gain, and a steady gain is one; neither runs forever.
TEST(LabJudge, NoNoise)
{
    EXPECT_EQ(decide(pairs_of({ 0, 0 })).verdict, KM_LAB_UNDECIDED);
    EXPECT_EQ(decide(pairs_of({ 0, 0, 0 })).verdict, KM_LAB_REJECTED);
    EXPECT_EQ(decide(pairs_of(std::vector<double>(8, 0.5))).verdict, KM_LAB_ACCEPTED);
    EXPECT_EQ(decide({}).verdict, KM_LAB_UNDECIDED);
    EXPECT_NE(decide(pairs_of({ 1e308, -1e308, 1e308, 5e-324, 0, 1e300 })).verdict,
              KM_LAB_ACCEPTED);
}

TEST(LabJudge, RulesThatMakeNoSense)
{
    std::vector<km_lab_pair> pairs = pairs_of(std::vector<double>(257, 1));
    km_lab_decision d;

    for (km_lab_rule rule :
         { km_lab_rule{ false, 0, 0, 0.1 }, km_lab_rule{ false, 0, 0.5, 0.1 },
           km_lab_rule{ false, 0, 0.01, NONE }, km_lab_rule{ false, -1, 0.01, 0.1 },
           km_lab_rule{ false, NONE, 0.01, 0.1 } })
        EXPECT_EQ(km_lab_judge(&rule, pairs.data(), 3, &d, nullptr), KM_EUSAGE);
    km_lab_rule rule = { false, 0, 0.01, 0.1 };
    EXPECT_EQ(km_lab_judge(&rule, pairs.data(), 257, &d, nullptr), KM_ELIMIT);
    EXPECT_EQ(km_lab_judge(&rule, pairs.data(), 256, &d, nullptr), 0);
}

// A champion's runs, pooled in any order and over any promotions, are those of all runs together.
TEST(LabRuns, Pooling)
{
    std::vector<double> values = normal_gains(1e6, 100, 3);
    km_lab_runs all = {}, parts[3] = {}, none = {}, pooled = {};
    double mean = std::accumulate(values.begin(), values.end(), 0.0) / 100, squares = 0;

    for (size_t i = 0; i < values.size(); i++) {
        squares += (values[i] - mean) * (values[i] - mean);
        km_lab_runs_add(&all, values[i]);
        km_lab_runs_add(&parts[i < 7 ? 0 : i < 60 ? 1 : 2], values[i]);
    }
    for (int i : { 2, 0, 1 })
        km_lab_runs_merge(&pooled, &parts[i]);
    km_lab_runs_merge(&pooled, &none);
    for (const km_lab_runs &r : { all, pooled }) {
        EXPECT_EQ(r.n, 100);
        EXPECT_NEAR(r.mean, mean, 1e-9 * mean);
        EXPECT_NEAR(km_lab_runs_sd(&r), std::sqrt(squares / 99), 1e-6);
    }
    EXPECT_TRUE(std::isnan(km_lab_runs_sd(&none)));
}

} // namespace
