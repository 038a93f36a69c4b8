/* lab/evidence.h: what the judge is told and what he says, as JSON, and the judgement of a
 * hypothesis of the store. */
#ifndef KERNMILL_LAB_EVIDENCE_H
#define KERNMILL_LAB_EVIDENCE_H

#include <jansson.h>

#include "core/limits.h"
#include "lab/hypothesis.h"
#include "lab/judge.h"
#include "lab/lab.h"

typedef struct {
    km_lab_pair pairs[KM_LAB_PAIRS_MAX];
    size_t count;
} km_lab_evidence;

/* {"direction": "lower" or "higher", "effect", "alpha", "beta"}; the last three may be missing: 0
 * and the rates of lab/judge.h. Errors: KM_EFORMAT; `name` is what they call the document. */
int km_lab_rule_read(const json_t *doc, km_lab_rule *out, const char *name, km_err *err);

/* [{"parent", "candidate", "block", "amount": [of the parent, of the candidate]}], amount if
 * wanted. What is no number, no text or missing is the judge's to find invalid, with its pair. *out
 * borrows from `pairs`. Errors: KM_ELIMIT. */
int km_lab_evidence_read(const json_t *pairs, km_lab_evidence *out, km_err *err);

/* {"verdict", "gain", "interval", "n", "decided", "sd", "more_pairs", "reason", "parent",
 * "candidate"}; null is what is not known. New reference; NULL: out of memory. */
json_t *km_lab_decision_json(const km_lab_decision *d);

/* The campaign's rule: its direction and effect. */
int km_lab_rule_of(km_lab *lab, km_lab_rule *out, km_err *err);

/* Whether a result is of the idea's commit and its parent, as far as it names them, by
 * "parent_commit" and "candidate_commit". `said`: it must. */
bool km_lab_evidence_is_of(const json_t *doc, const km_idea *idea, bool said);

/* Judges hypothesis `id` by what its jobs gave, in the order of the jobs: of each result the
 * "pairs", or it is a pair itself, by "parent" and "candidate"; other results are none of the
 * judge's. Where the lab measures the idea's commit (it has an "evaluate" job), only what such jobs
 * gave counts, and only if it names the two commits: a worker's own numbers are his opinion; those
 * of a role, or of the holdout, never count. Direction and effect are the campaign's. Its new state
 * is the verdict, with the reason, in one transaction; what was undecided and is so again stays.
 * Errors: KM_EUSAGE when there are no pairs, or it cannot have that state now; those above. */
int km_lab_judge_hypothesis(km_lab *lab, int64_t id, km_lab_decision *out, km_err *err);

#endif
