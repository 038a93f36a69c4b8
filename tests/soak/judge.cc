/* The error rates of `kernmill lab judge`, simulated, beside "a lower number than the record wins".
 * JSON to stdout; tests/soak/judge.py keeps it.
 *
 *     soak_judge TRIALS */
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "../unit/lab_noise.h"

namespace
{

using namespace lab;

constexpr size_t MOST = 60; /* pairs, then it is undecided */

/* --- one idea --- */

void one_idea(int trials)
{
    const char *comma = "";

    printf("  \"judge\": [");
    for (const Noise &noise : NOISES)
        for (double sds : { 0.0, 1.0, 2.0, 3.0, 5.0 }) {
            if (!(noise.sd > 0) && sds > 0)
                continue;
            Tally t = tally(noise, sds * noise.sd, MOST, trials, 1);
            printf(
                "%s\n    {\"noise\": \"%s\", \"gain_sd\": %g, \"trials\": %d, \"accepted\": %.5f, "
                "\"rejected\": %.5f, \"undecided\": %.5f, \"interval_holds\": %.5f, \"runs\": "
                "%.2f}",
                comma, noise.name, sds, trials, t.accepted / (double)trials,
                t.rejected / (double)trials, t.undecided / (double)trials,
                t.covered / (double)trials, 2 * t.pairs);
            comma = ",";
        }
    printf("\n  ],\n");
}

/* The record is one run, or the best of fifty, as it is after fifty ideas without effect; a run of
 * the candidate on any host is compared with it, or a judge's pairs in one block. */
void one_run(int trials)
{
    const char *comma = "";

    printf("  \"one_idea\": [");
    for (int tries : { 1, 50 })
        for (double gain : { 0.0, 2 * WITHIN, 2 * ALL }) {
            Rng rng(2);
            int strict = 0;
            for (int i = 0; i < trials; i++) {
                double record = 1;
                for (int k = 0; k < tries; k++)
                    record = std::min(record, run_in(rng, any_block(rng)));
                strict += run_in(rng, any_block(rng)) - gain < record;
            }
            Tally t = tally(BLOCKS, gain, MOST, trials, 3);
            printf("%s\n    {\"record\": \"best of %d\", \"gain\": %.6f, \"trials\": %d, "
                   "\"less_than_accepts\": "
                   "%.5f, \"less_than_runs\": 1, \"judge_accepts\": %.5f, \"judge_runs\": %.2f}",
                   comma, tries, gain, trials, strict / (double)trials, t.accepted / (double)trials,
                   2 * t.pairs);
            comma = ",";
        }
    printf("\n  ],\n");
}

/* --- campaigns --- */

struct Campaign {
    double true_kept = 0, false_kept = 0, worse_kept = 0, runs = 0, gained = 0, claimed = 0;
};

/* One idea in ten gains two SD (of a run within a block), one in ten loses as much, eight do
 * nothing. */
double gain_of(int idea)
{
    return idea % 10 == 4 ? 2 * WITHIN : idea % 10 == 9 ? -2 * WITHIN : 0;
}

void count(Campaign &c, double gain)
{
    (gain > 0 ? c.true_kept : gain < 0 ? c.worse_kept : c.false_kept) += 1;
    c.gained += gain;
}

/* The rule "a lower number wins", on any host or, kinder, all runs in one block. */
void strict(Rng &rng, Campaign &c, int ideas, bool one_block)
{
    int block = any_block(rng);
    double at = 0, first = run_in(rng, block), record = first;

    for (int i = 0; i < ideas; i++) {
        double gain = gain_of(i), run = run_in(rng, one_block ? block : any_block(rng)) - at - gain;
        c.runs += 1;
        if (run >= record)
            continue;
        record = run;
        at += gain;
        count(c, gain);
    }
    c.claimed += first - record;
}

/* With a screen: only what was better in a pair before, which is not one of the judge's. */
void judge(Rng &rng, Campaign &c, int ideas, bool screen)
{
    for (int i = 0; i < ideas; i++) {
        double gain = gain_of(i);
        int block = any_block(rng);
        c.runs += screen ? 2 : 0;
        if (screen && run_in(rng, block) - gain >= run_in(rng, block))
            continue;
        km_lab_decision d = judged(rng, BLOCKS, gain, MOST);
        c.runs += 2 * (double)(d.decided ? d.decided : d.pairs);
        if (d.verdict != KM_LAB_ACCEPTED)
            continue;
        c.claimed += d.gain;
        count(c, gain);
    }
}

void print(const char *rule, int ideas, int campaigns, const Campaign &c, const char *comma)
{
    double n = campaigns;

    printf("    {\"rule\": \"%s\", \"campaigns\": %d, \"ideas\": %d, \"true_gains\": %g, "
           "\"true_kept\": %.3f, "
           "\"false_kept\": %.3f, \"worse_kept\": %.3f, \"runs\": %.1f, \"gained\": %.6f, "
           "\"claimed\": %.6f}%s\n",
           rule, campaigns, ideas, ideas / 10.0, c.true_kept / n, c.false_kept / n,
           c.worse_kept / n, c.runs / n, c.gained / n, c.claimed / n, comma);
}

void campaigns(int trials)
{
    constexpr int IDEAS = 100;
    int n = std::max(trials / 100, 10);
    Campaign any, block, ours, screened;
    Rng rng(4);

    for (int i = 0; i < n; i++) {
        strict(rng, any, IDEAS, false);
        strict(rng, block, IDEAS, true);
        judge(rng, ours, IDEAS, false);
        judge(rng, screened, IDEAS, true);
    }
    printf("  \"campaigns\": [\n");
    print("less than the record, any host", IDEAS, n, any, ",");
    print("less than the record, one block", IDEAS, n, block, ",");
    print("judge", IDEAS, n, ours, ",");
    print("judge, of what was better in one pair before", IDEAS, n, screened, "");
    printf("  ]\n");
}

} // namespace

int main(int argc, char **argv)
{
    int trials = argc > 1 ? atoi(argv[1]) : 0;

    if (trials < 1) {
        fprintf(stderr, "usage: soak_judge TRIALS\n");
        return 2;
    }
    printf("{\n");
    one_idea(trials);
    one_run(trials);
    campaigns(trials);
    printf("}\n");
    return 0;
}
