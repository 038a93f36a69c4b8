#include "lab/apply.h"

#include <math.h>
#include <string.h>

#include "formats/json.h"
#include "lab/clock.h"
#include "lab/cost.h"
#include "lab/evidence.h"
#include "lab/queue.h"
#include "lab/search.h"
#include "lab/team.h"
#include "lab/workspace.h"

struct task {
    km_lab *lab;
    int64_t job, token, hypothesis;
    const char *kind;
    const json_t *body;
};

static int read_task(struct task *t, km_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = km_db_query(&t->lab->db, &s, err,
                         "SELECT kind, ifnull(hypothesis, 0) FROM jobs WHERE id = ?", "i", t->job);

    if (rc < 0)
        return rc;
    rc = km_db_step(&t->lab->db, s, err);
    if (rc == 1) {
        t->kind = km_db_text(&t->lab->arena, s, 0);
        t->hypothesis = sqlite3_column_int64(s, 1);
    }
    sqlite3_finalize(s);
    if (rc == 0)
        return km_fail(err, KM_EUSAGE, "there is no job %lld", (long long)t->job);
    return rc == 1 && !t->kind ? km_fail_nomem(err) : rc;
}

/* --- runs --- */

static int add_run(struct task *t, size_t pair, const char *arm, const json_t *from, size_t i,
                   km_err *err)
{
    const char *commit = json_string_value(
        json_object_get(t->body, i ? "candidate_commit" : "parent_commit"));
    const char *block = json_string_value(json_object_get(from, "block"));
    const json_t *value = json_object_get(from, arm);
    json_int_t amount = json_integer_value(json_array_get(json_object_get(from, "amount"), i));

    return km_db_run(
        &t->lab->db, NULL, err,
        "INSERT INTO runs (job, pair, arm, commit_id, seed, block, value, amount, wall_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?)",
        "iittitdii", t->job, (int64_t)pair, arm, commit ? commit : "",
        (int64_t)json_integer_value(json_object_get(from, "seed")), block ? block : "",
        json_is_number(value) ? json_number_value(value) : (double)NAN, (int64_t)amount,
        (int64_t)json_integer_value(json_array_get(json_object_get(from, "wall_ms"), i)));
}

static int add_runs(struct task *t, km_err *err)
{
    const json_t *pair;
    size_t k;
    int rc = 0;

    json_array_foreach(json_object_get(t->body, "pairs"), k, pair)
    {
        if (rc == 0)
            rc = add_run(t, k, "parent", pair, 0, err);
        if (rc == 0)
            rc = add_run(t, k, "candidate", pair, 1, err);
    }
    return rc;
}

/* --- kinds --- */

/* What the evaluator ended: 1. */
static int apply_end(struct task *t, km_err *err)
{
    static const char *const states[] = { "crashed", "timed_out", "invalid" };
    const json_t *ended = json_object_get(t->body, "ended");
    const char *state = json_string_value(json_object_get(ended, "state"));
    const char *reason = json_string_value(json_object_get(ended, "reason"));
    int rc = KM_EFORMAT;

    if (!ended)
        return 0;
    for (size_t i = 0; state && i < sizeof states / sizeof *states; i++)
        if (strcmp(states[i], state) == 0)
            rc = km_hypothesis_move(&t->lab->db, t->hypothesis, state, reason ? reason : "", err);
    if (rc == KM_EFORMAT)
        return km_fail(err, rc, "the result's 'ended' has no state that an evaluation can have");
    return rc < 0 ? rc : 1;
}

/* Where the lab measures, a result without pairs is none: its idea would wait for ever. */
static int check_pairs(struct task *t, km_err *err)
{
    km_lab_settings settings;
    int rc = km_lab_settings_read(&t->lab->arena, t->lab->root, &settings, err);

    if (rc < 0 || !settings.evaluate.given)
        return rc;
    return km_fail_at(err, KM_EFORMAT, "the result", 0, 0,
                      "'pairs' holds no pair of runs, and 'ended' is not there");
}

/* More pairs when nothing is decided and more may be had, and nobody else says who gets them. */
static int ask_again(struct task *t, const km_lab_decision *d, km_err *err)
{
    km_workspace w;
    km_idea idea = { 0 };
    int64_t left;
    int rc = km_workspace_open(&w, t->lab, err);

    if (rc <= 0 || km_search_halves(&w.settings))
        return rc < 0 ? rc : 0;
    left = w.settings.evaluate.pairs_max - (int64_t)d->pairs;
    rc = km_hypothesis_read(&t->lab->db, &t->lab->arena, t->hypothesis, &idea, err);
    if (rc < 0 || !*idea.commit || left < 1)
        return rc;
    if (left > w.settings.evaluate.pairs)
        left = w.settings.evaluate.pairs;
    return km_workspace_ask(&w, &idea, "evaluate", left, err);
}

/* An end, too, is only the end of the commit that was measured. */
static int check_commits(struct task *t, km_err *err)
{
    km_idea idea = { 0 };
    int rc = km_hypothesis_read(&t->lab->db, &t->lab->arena, t->hypothesis, &idea, err);

    if (rc < 0 || !*idea.commit || km_lab_evidence_is_of(t->body, &idea, true))
        return rc;
    return km_fail(err, KM_EUSAGE, "the result does not name the commits of hypothesis %lld",
                   (long long)t->hypothesis);
}

static int apply_evaluate(struct task *t, km_err *err)
{
    km_lab_decision d;
    int rc = check_commits(t, err);

    if (rc == 0)
        rc = add_runs(t, err);
    if (rc == 0)
        rc = apply_end(t, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (!json_array_size(json_object_get(t->body, "pairs")))
        return check_pairs(t, err);
    rc = km_lab_judge_hypothesis(t->lab, t->hypothesis, &d, err);
    if (rc == 0 && d.verdict == KM_LAB_UNDECIDED)
        rc = ask_again(t, &d, err);
    return rc;
}

/* Worse on the holdout: the mean of the gains is below nothing by more than its own error. */
static bool holds_out(const km_lab_evidence *e, bool higher)
{
    km_lab_runs gains = { 0, 0, 0 };

    for (size_t i = 0; i < e->count; i++)
        km_lab_runs_add(&gains, (e->pairs[i].candidate - e->pairs[i].parent) * (higher ? 1 : -1));
    if (gains.n < 2)
        return gains.n == 1 && gains.mean >= 0;
    return gains.mean + km_lab_runs_sd(&gains) / sqrt((double)gains.n) >= 0;
}

/* The use of the holdout, and what follows of it. */
static int write_holdout(struct task *t, const km_lab_decision *d, bool passed, km_err *err)
{
    const char *state = d->verdict == KM_LAB_INVALID ? "invalid" : "rejected";
    const char *why = d->verdict == KM_LAB_INVALID ? d->reason : "worse on the holdout";
    int rc = km_db_run(&t->lab->db, NULL, err,
                       "INSERT INTO holdouts (hypothesis, parent, candidate, passed, created_us)"
                       " VALUES (?, ?, ?, ?, ?)",
                       "iddii", t->hypothesis, d->parent.mean, d->candidate.mean, (int64_t)passed,
                       km_clock_us());

    if (rc == 0 && !passed && !json_object_get(t->body, "ended"))
        rc = km_hypothesis_move(&t->lab->db, t->hypothesis, state, why, err);
    return rc;
}

/* Its pairs must be as comparable as any others. */
static int judge_holdout(struct task *t, bool ended, km_err *err)
{
    km_lab_evidence e;
    km_lab_decision d = { .verdict = KM_LAB_INVALID };
    km_lab_rule rule;
    int rc = km_lab_rule_of(t->lab, &rule, err);

    if (rc == 0)
        rc = km_lab_evidence_read(json_object_get(t->body, "pairs"), &e, err);
    if (rc == 0 && !ended && e.count < KM_LAB_JUDGE_PAIRS)
        rc = km_fail(err, KM_EFORMAT, "the holdout was looked at with %zu pairs; %d are asked for",
                     e.count, KM_LAB_JUDGE_PAIRS);
    if (rc == 0)
        rc = km_lab_judge(&rule, e.pairs, e.count, &d, err);
    if (rc < 0)
        return rc;
    return write_holdout(t, &d, !ended && d.verdict != KM_LAB_INVALID && holds_out(&e, rule.higher),
                         err);
}

/* Of other commits than the idea has by now, it is no use of the holdout for it. */
static int apply_holdout(struct task *t, km_err *err)
{
    km_idea idea = { 0 };
    int rc = km_hypothesis_read(&t->lab->db, &t->lab->arena, t->hypothesis, &idea, err);

    if (rc < 0 || !km_lab_evidence_is_of(t->body, &idea, true))
        return rc;
    rc = apply_end(t, err);
    return rc < 0 ? rc : judge_holdout(t, rc, err);
}

/* --- all --- */

/* A work's tree is taken before the transaction: git knows none, and what it has made stays. 1:
 * *taken is it. */
static int take(struct task *t, km_workspace *w, km_taken *taken, km_err *err)
{
    int rc;

    if (strcmp(t->kind, "work") != 0 || !t->hypothesis)
        return 0;
    rc = km_queue_holds(&t->lab->db, t->job, t->token, err);
    if (rc > 0)
        rc = km_workspace_open(w, t->lab, err);
    if (rc <= 0)
        return rc;
    rc = km_workspace_take(w, &(km_worker_id){ t->hypothesis, t->job, t->token }, taken, err);
    return rc < 0 ? rc : 1;
}

static int apply(struct task *t, km_workspace *w, const km_taken *taken, km_err *err)
{
    int rc;

    if (taken)
        return km_workspace_record(w, t->hypothesis, taken, err);
    if (strcmp(t->kind, "evaluate") == 0 && t->hypothesis)
        return apply_evaluate(t, err);
    if (strcmp(t->kind, "holdout") == 0 && t->hypothesis)
        return apply_holdout(t, err);
    rc = km_team_apply(t->lab, t->job, t->hypothesis, t->kind, t->body, err);
    return rc < 0 ? rc : 0;
}

/* What it has cost, while the lease is its own. */
static int spend(struct task *t, km_err *err)
{
    int rc = km_queue_holds(&t->lab->db, t->job, t->token, err);

    return rc > 0 ? km_lab_spend_cost(&t->lab->db, t->lab->campaign, t->job, t->token, t->body, err)
                  : rc;
}

/* The transaction. */
static int complete(struct task *t, km_workspace *w, const km_taken *taken, const char *body,
                    km_err *err)
{
    bool own;
    int rc = km_db_enter(&t->lab->db, &own, err), done;

    if (rc == 0)
        rc = spend(t, err);
    if (rc == 0)
        rc = km_queue_complete(&t->lab->db, t->job, t->token, body, err);
    if (rc > 0) {
        done = apply(t, w, taken, err);
        rc = done < 0 ? done : 1;
    }
    return km_db_leave(&t->lab->db, own, rc, err);
}

int km_apply(km_lab *lab, int64_t job, int64_t token, const char *body, km_err *err)
{
    struct task t = { .lab = lab, .job = job, .token = token };
    km_workspace w;
    km_taken taken;
    json_t *doc = NULL;
    int rc = read_task(&t, err), has_tree = 0;

    if (rc > 0)
        rc = km_json_parse(body, strlen(body), "the result", &doc, err);
    t.body = doc;
    if (rc == 0)
        rc = has_tree = take(&t, &w, &taken, err);
    if (rc >= 0)
        rc = complete(&t, &w, has_tree ? &taken : NULL, body, err);
    if (rc > 0 && has_tree) /* what is left of it, `lab run` sweeps away */
        km_workspace_drop(&w, &(km_worker_id){ t.hypothesis, job, token }, NULL);
    if (rc == 0)
        rc = km_queue_has(&lab->db, job, token, body, err);
    json_decref(doc);
    return rc;
}

int km_apply_cost(km_lab *lab, int64_t job, int64_t token, const char *body, km_err *err)
{
    struct task t = { .lab = lab, .job = job, .token = token };
    json_t *doc = NULL;
    bool own;
    int rc = km_json_parse(body, strlen(body), "the result", &doc, err);

    t.body = doc;
    if (rc == 0)
        rc = km_db_enter(&lab->db, &own, err);
    if (rc == 0)
        rc = km_db_leave(&lab->db, own, spend(&t, err), err);
    json_decref(doc);
    return rc;
}
