/* kernmill lab propose, review, plan, decide: what is worked on, and which ideas. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lab.h"
#include "core/limits.h"
#include "formats/json.h"
#include "lab/hypothesis.h"
#include "lab/proposal.h"
#include "lab/workspace.h"

/* --- propose --- */

static const char *const proposal_keys[] = { "key",    "title",  "text",     "payload", "author",
                                             "source", "parent", "priority", NULL };
static const char *const review_keys[] = { "verdict", "reviewer", "text", NULL };
static const char *const plan_keys[] = { "kind", "payload", NULL };
static const char *const decide_keys[] = { "state", "reason", NULL };

/* A parent is a commit of the repository. */
static int check_parent(km_lab *lab, const char *parent, const char *name, km_err *err)
{
    char *spec = km_arena_printf(&lab->arena, "%s^{commit}", parent);
    km_workspace w;
    int rc = *parent ? km_workspace_open(&w, lab, err) : 0;

    if (rc <= 0)
        return rc;
    rc = spec ? km_git_run(&w.git, err, KM_GIT("rev-parse", "--verify", "-q", spec))
              : km_fail_nomem(err);
    return rc == KM_ECHILD ? km_fail_at(err, KM_EFORMAT, name, 0, 0,
                                        "the repository has no commit '%.64s' for a parent", parent)
                           : rc;
}

static int run_propose(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *doc = NULL;
    km_proposal p;
    int64_t id = 0;
    bool made = false;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_lab_read(f, &doc, err);
    if (rc == 0)
        rc = km_json_check_keys(doc, proposal_keys, km_lab_source(f), err);
    if (rc == 0)
        rc = km_proposal_read(&lab.arena, doc, km_lab_source(f), &p, err);
    if (rc == 0)
        rc = check_parent(&lab, p.parent, km_lab_source(f), err);
    if (rc == 0)
        rc = km_hypothesis_propose(&lab.db, lab.campaign, &p, &id, &made, err);
    if (rc == 0)
        rc = km_print_json(json_pack("{s:i,s:I,s:b}", "schema", KM_JSON_SCHEMA, "hypothesis",
                                     (json_int_t)id, "made", made),
                           err);
    json_decref(doc);
    km_lab_close(&lab);
    return rc;
}

static const km_opt input_options[] = { KM_LAB_OPT_DIR, KM_LAB_OPT_IN, KM_OPT_END };

extern const km_command km_cmd_lab_propose;
const km_command km_cmd_lab_propose = {
    .name = "lab propose",
    .help = "researcher: hand in an idea",
    .args = "",
    .more = "In: {\"key\", \"title\"} and, if wanted, \"text\", \"payload\" (any JSON, for the "
            "worker),\n"
            "\"author\", \"source\", \"parent\" (a commit), \"priority\". The same key again is "
            "the same\n"
            "idea. Out: {\"hypothesis\": its number, \"made\": whether it is new}.",
    .options = input_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_propose,
};

/* --- review --- */

static int review(km_lab *lab, int64_t id, const json_t *doc, const char *name, km_err *err)
{
    const char *verdict, *reviewer = "", *text = "";

    if (km_json_check_keys(doc, review_keys, name, err) < 0 ||
        km_json_text(doc, "verdict", &verdict, name, err) < 0 ||
        km_json_text_optional(doc, "reviewer", &reviewer, name, err) < 0 ||
        km_json_text_optional(doc, "text", &text, name, err) < 0)
        return KM_EFORMAT;
    if (strcmp(verdict, "approve") != 0 && strcmp(verdict, "reject") != 0)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0,
                          "'verdict' is \"approve\" or \"reject\", not \"%.64s\"", verdict);
    return km_hypothesis_review(&lab->db, id, reviewer, *verdict == 'a', text, err);
}

/* --- plan --- */

static int plan(km_lab *lab, int64_t id, const json_t *doc, const char *name, km_err *err)
{
    const char *kind = "work";
    const json_t *own = json_object_get(doc, "payload");
    char *payload = own ? json_dumps(own, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    int64_t job;
    int rc = km_json_check_keys(doc, plan_keys, name, err);

    if (rc == 0)
        rc = km_json_text_optional(doc, "kind", &kind, name, err);
    if (rc == 0 && own && !payload)
        rc = km_fail_nomem(err);
    if (rc == 0)
        rc = km_hypothesis_queue(&lab->db, id, kind, payload, &job, err);
    free(payload);
    return rc;
}

/* --- decide --- */

static int decide(km_lab *lab, int64_t id, const json_t *doc, const char *name, km_err *err)
{
    const char *state, *reason = "";

    if (km_json_check_keys(doc, decide_keys, name, err) < 0 ||
        km_json_text(doc, "state", &state, name, err) < 0 ||
        km_json_text_optional(doc, "reason", &reason, name, err) < 0)
        return KM_EFORMAT;
    return km_hypothesis_move(&lab->db, id, state, reason, err);
}

/* --- what the three share: a hypothesis by number, a document about it --- */

static int print_state(km_lab *lab, int64_t id, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err, "SELECT state FROM hypotheses WHERE id = ?", "i", id);

    if (rc < 0)
        return rc;
    rc = km_db_step(&lab->db, s, err);
    if (rc == 1)
        rc = km_print_json(json_pack("{s:i,s:I,s:s}", "schema", KM_JSON_SCHEMA, "hypothesis",
                                     (json_int_t)id, "state",
                                     (const char *)sqlite3_column_text(s, 0)),
                           err);
    sqlite3_finalize(s);
    return rc;
}

static int run_on(km_lab_fields *f, const char **args, size_t arg_count,
                  int (*act)(km_lab *, int64_t, const json_t *, const char *, km_err *),
                  km_err *err)
{
    km_lab lab = KM_LAB_INIT;
    json_t *doc = NULL;
    int64_t id;
    int rc = km_check_args(arg_count, 1, 1, err);

    if (rc == 0)
        rc = km_lab_id(args[0], &id, err);
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_lab_read(f, &doc, err);
    if (rc == 0)
        rc = act(&lab, id, doc, km_lab_source(f), err);
    if (rc == 0)
        rc = print_state(&lab, id, err);
    json_decref(doc);
    km_lab_close(&lab);
    return rc;
}

static int run_review(void *fields, const char **args, size_t arg_count, km_err *err)
{
    return run_on(fields, args, arg_count, review, err);
}

static int run_plan(void *fields, const char **args, size_t arg_count, km_err *err)
{
    return run_on(fields, args, arg_count, plan, err);
}

static int run_decide(void *fields, const char **args, size_t arg_count, km_err *err)
{
    return run_on(fields, args, arg_count, decide, err);
}

extern const km_command km_cmd_lab_review;
const km_command km_cmd_lab_review = {
    .name = "lab review",
    .help = "reviewer: approve or reject an idea",
    .args = "HYPOTHESIS",
    .more = "In: {\"verdict\": \"approve\" or \"reject\"} and, if wanted, \"reviewer\", \"text\".",
    .options = input_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_review,
};

extern const km_command km_cmd_lab_plan;
const km_command km_cmd_lab_plan = {
    .name = "lab plan",
    .help = "planner: put an approved idea into the queue, or one that failed again",
    .args = "HYPOTHESIS",
    .more = "In: {} and, if wanted, \"kind\" (default \"work\") and \"payload\" (default: the "
            "idea's own).",
    .options = input_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_plan,
};

extern const km_command km_cmd_lab_decide;
const km_command km_cmd_lab_decide = {
    .name = "lab decide",
    .help = "say what became of an idea that was worked on",
    .args = "HYPOTHESIS",
    .more = "In: {\"state\"} and, if wanted, \"reason\". After its work an idea is evaluating; "
            "then accepted,\n"
            "rejected, undecided (it may be planned again), invalid, duplicate or stale; accepted, "
            "then\n"
            "promoted. Other ways there are none.",
    .options = input_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_decide,
};
