#include "lab/evidence.h"

#include <math.h>
#include <string.h>

#include "formats/json.h"
#include "lab/clock.h"
#include "lab/hypothesis.h"

/* --- in --- */

static int read_number(const json_t *doc, const char *key, double *out, const char *name,
                       km_err *err)
{
    const json_t *value = json_object_get(doc, key);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_number(value))
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "'%s' must be a number", key);
    *out = json_number_value(value);
    return 0;
}

int km_lab_rule_read(const json_t *doc, km_lab_rule *out, const char *name, km_err *err)
{
    const char *direction;

    *out = (km_lab_rule){ false, 0, KM_LAB_JUDGE_ALPHA, KM_LAB_JUDGE_BETA };
    if (km_json_text(doc, "direction", &direction, name, err) < 0 ||
        read_number(doc, "effect", &out->effect, name, err) < 0 ||
        read_number(doc, "alpha", &out->alpha, name, err) < 0 ||
        read_number(doc, "beta", &out->beta, name, err) < 0)
        return KM_EFORMAT;
    out->higher = strcmp(direction, "higher") == 0;
    if (!out->higher && strcmp(direction, "lower") != 0)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0,
                          "'direction' is \"lower\" or \"higher\", not \"%.64s\"", direction);
    return 0;
}

static double metric_of(const json_t *pair, const char *key)
{
    const json_t *value = json_object_get(pair, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void read_amount(const json_t *pair, int64_t out[2])
{
    const json_t *amount = json_object_get(pair, "amount");

    for (size_t i = 0; i < 2; i++) {
        const json_t *n = json_array_get(amount, i);
        if (!amount)
            out[i] = -1;
        else
            out[i] = json_is_integer(n) && json_integer_value(n) > 0 ? json_integer_value(n) : 0;
    }
}

int km_lab_evidence_read(const json_t *pairs, km_lab_evidence *out, km_err *err)
{
    size_t n = json_array_size(pairs);

    if (n > KM_LAB_PAIRS_MAX)
        return km_fail(err, KM_ELIMIT, "%zu pairs; the limit is %d", n, KM_LAB_PAIRS_MAX);
    for (out->count = 0; out->count < n; out->count++) {
        const json_t *from = json_array_get(pairs, out->count);
        km_lab_pair *p = &out->pairs[out->count];
        p->parent = metric_of(from, "parent");
        p->candidate = metric_of(from, "candidate");
        p->block = json_string_value(json_object_get(from, "block"));
        read_amount(from, p->amount);
    }
    return 0;
}

/* --- out --- */

static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *runs_json(const km_lab_runs *runs)
{
    return json_pack("{s:I,s:o,s:o}", "n", (json_int_t)runs->n, "mean",
                     runs->n ? real(runs->mean) : json_null(), "sd", real(km_lab_runs_sd(runs)));
}

json_t *km_lab_decision_json(const km_lab_decision *d)
{
    return json_pack("{s:s,s:o,s:[o,o],s:I,s:o,s:o,s:o,s:s,s:o,s:o}", "verdict",
                     km_lab_verdict_names[d->verdict], "gain", real(d->gain), "interval",
                     real(d->low), real(d->high), "n", (json_int_t)d->pairs, "decided",
                     d->decided ? json_integer((json_int_t)d->decided) : json_null(), "sd",
                     real(d->sd), "more_pairs",
                     d->more_known ? json_integer((json_int_t)d->more_pairs) : json_null(),
                     "reason", d->reason, "parent", runs_json(&d->parent), "candidate",
                     runs_json(&d->candidate));
}

/* --- a hypothesis --- */

int km_lab_rule_of(km_lab *lab, km_lab_rule *out, km_err *err)
{
    json_t *settings;
    int rc = km_lab_kept(lab, &settings, err);

    if (rc == 0)
        rc = km_lab_rule_read(settings, out, "the campaign's settings", err);
    json_decref(settings);
    return rc;
}

bool km_lab_evidence_is_of(const json_t *doc, const km_idea *idea, bool said)
{
    const char *parent = json_string_value(json_object_get(doc, "parent_commit"));
    const char *candidate = json_string_value(json_object_get(doc, "candidate_commit"));

    if (said && (!parent || !candidate))
        return false;
    return (!parent || strcmp(parent, idea->parent) == 0) &&
           (!candidate || strcmp(candidate, idea->commit) == 0);
}

/* Whether a result is of these commits, and no use of the holdout. */
static bool counts(const json_t *doc, const km_idea *idea, bool said)
{
    return !json_is_true(json_object_get(doc, "holdout")) && km_lab_evidence_is_of(doc, idea, said);
}

/* A list of pairs for each result. */
static int add_result(json_t *lists, const km_idea *idea, bool said, const char *body, km_err *err)
{
    json_t *doc = json_loads(body, JSON_DECODE_ANY, NULL), *more = json_object_get(doc, "pairs");
    int rc = 0;

    if (!counts(doc, idea, said))
        ;
    else if (json_array_size(more))
        rc = json_array_append(lists, more);
    else if ((more && !json_is_array(more)) || json_object_get(doc, "parent") ||
             json_object_get(doc, "candidate"))
        rc = json_array_append_new(lists, json_pack("[O]", doc));
    json_decref(doc);
    return rc == 0 ? 0 : km_fail_nomem(err);
}

/* "" when it says none: the judge has a word for that. */
static const char *block_of(const json_t *list)
{
    const char *block = json_string_value(json_object_get(json_array_get(list, 0), "block"));

    return block ? block : "";
}

/* Results of one block, that of most pairs, the first of equals: a new kernel, driver or card
 * between two results makes no pair worse, but they cannot be put together. A new reference. */
static json_t *of_one_block(const json_t *lists)
{
    size_t i, k, most = 0;
    const char *best = "";
    json_t *list, *other, *pairs = json_array();

    json_array_foreach(lists, i, list)
    {
        size_t count = 0;
        json_array_foreach(lists, k, other)
        {
            count += strcmp(block_of(list), block_of(other)) == 0 ? json_array_size(other) : 0;
        }
        best = count > most ? block_of(list) : best;
        most = count > most ? count : most;
    }
    json_array_foreach(lists, i, list)
    {
        if (strcmp(block_of(list), best) == 0)
            json_array_extend(pairs, list);
    }
    return pairs;
}

/* Results of jobs of which pairs are the very purpose; where the lab measures the idea's commit, of
 * no others: who works on an idea, or reviews it, does not say how good it is. */
#define JOBS_THAT_MEASURE                                                                          \
    " AND jobs.kind NOT IN ('holdout', 'research', 'review', 'plan', 'report')"                    \
    " AND (jobs.kind = 'evaluate' OR NOT ?2)"

/* *measured: the lab itself does it. */
static int is_measured(km_lab *lab, const km_idea *idea, int64_t *measured, km_err *err)
{
    return km_db_int(&lab->db, measured, 0, err,
                     "SELECT ?2 <> '' AND EXISTS (SELECT 1 FROM jobs WHERE hypothesis = ?1"
                     " AND kind = 'evaluate')",
                     "it", idea->id, idea->commit);
}

/* *out is the caller's, also on error. */
static int pairs_of(km_lab *lab, int64_t id, json_t **out, km_err *err)
{
    json_t *lists = json_array();
    int64_t measured = 0;
    sqlite3_stmt *s;
    km_idea idea;
    int rc = km_hypothesis_read(&lab->db, &lab->arena, id, &idea, err);

    *out = NULL;
    if (rc == 0)
        rc = is_measured(lab, &idea, &measured, err);
    if (rc == 0)
        rc = km_db_query(&lab->db, &s, err,
                         "SELECT results.body FROM results JOIN jobs ON jobs.id = results.job"
                         " WHERE jobs.hypothesis = ?1" JOBS_THAT_MEASURE " ORDER BY jobs.id",
                         "ii", id, measured);
    if (rc < 0) {
        json_decref(lists);
        return rc;
    }
    while ((rc = km_db_step(&lab->db, s, err)) == 1)
        if (add_result(lists, &idea, measured, (const char *)sqlite3_column_text(s, 0), err) < 0)
            break;
    sqlite3_finalize(s);
    *out = of_one_block(lists);
    json_decref(lists);
    if (rc == 1)
        return KM_ENOMEM;
    if (rc == 0 && !json_array_size(*out))
        return km_fail(err, KM_EUSAGE, "no result of hypothesis %lld holds pairs", (long long)id);
    return rc;
}

/* What is not known is no number, and SQLite makes NULL of those. */
static double known(double value)
{
    return isfinite(value) ? value : (double)NAN;
}

static int write_decision(km_lab *lab, int64_t id, const km_lab_decision *d, km_err *err)
{
    return km_db_run(
        &lab->db, NULL, err,
        "INSERT INTO decisions (hypothesis, verdict, reason, pairs, gain, low, high,"
        " sd, more_pairs, created_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, -1), ?)",
        "ittiddddii", id, km_lab_verdict_names[d->verdict], d->reason, (int64_t)d->pairs,
        known(d->gain), known(d->low), known(d->high), known(d->sd),
        d->more_known ? (int64_t)d->more_pairs : -1, km_clock_us());
}

static int write_verdict(km_lab *lab, int64_t id, const km_lab_decision *d, km_err *err)
{
    int64_t stays = 0;
    int rc = write_decision(lab, id, d, err);

    if (rc == 0 && d->verdict == KM_LAB_UNDECIDED)
        rc = km_db_int(&lab->db, &stays, 0, err,
                       "SELECT state = 'undecided' FROM hypotheses WHERE id = ?", "i", id);
    if (rc < 0 || stays)
        return rc;
    return km_hypothesis_move(&lab->db, id, km_lab_verdict_names[d->verdict], d->reason, err);
}

int km_lab_judge_hypothesis(km_lab *lab, int64_t id, km_lab_decision *out, km_err *err)
{
    km_lab_evidence evidence;
    json_t *pairs = NULL;
    km_lab_rule rule;
    bool own;
    int rc = km_db_enter(&lab->db, &own, err);

    if (rc == 0)
        rc = km_lab_rule_of(lab, &rule, err);
    if (rc == 0)
        rc = pairs_of(lab, id, &pairs, err);
    if (rc == 0)
        rc = km_lab_evidence_read(pairs, &evidence, err);
    if (rc == 0)
        rc = km_lab_judge(&rule, evidence.pairs, evidence.count, out, err);
    if (rc == 0)
        rc = write_verdict(lab, id, out, err);
    json_decref(pairs);
    return km_db_leave(&lab->db, own, rc, err);
}
