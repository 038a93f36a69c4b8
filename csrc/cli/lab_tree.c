/* kernmill lab evaluate, promote, champion: commits that are measured, and the one that all start
 * from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lab.h"
#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"
#include "lab/champion.h"
#include "lab/evaluate.h"

static int open_tree(km_lab *lab, km_workspace *w, const km_lab_fields *f, km_err *err)
{
    int rc = km_lab_open(lab, f->dir, err);

    if (rc == 0)
        rc = km_workspace_open(w, lab, err);
    if (rc == 0) {
        rc = km_fail(err, KM_EUSAGE, "'%s/lab.toml' has no [workspace]: ideas are no commits here",
                     lab->root);
        km_hint(err, "`kernmill help lab init` shows one");
    }
    return rc < 0 ? rc : 0;
}

/* --- evaluate --- */

/* In the folder of the run, when there is one. */
static int make_scratch(km_lab *lab, const char *run, char **out, km_err *err)
{
    if (!run)
        return km_dir_temporary(&lab->arena, "evaluate", out, err);
    *out = km_path_join(&lab->arena, run, "scratch");
    if (!*out)
        return km_fail_nomem(err);
    km_dir_remove(*out, NULL);
    return km_dir_make(*out, err);
}

static int run_evaluate(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const char *run = getenv("KERNMILL_RUN_DIR");
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *doc = NULL, *payload, *result = NULL;
    char *scratch = NULL;
    km_workspace w = { .lab = NULL };
    km_evaluation e;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = open_tree(&lab, &w, f, err);
    if (rc == 0 && !w.settings.evaluate.given)
        rc = km_fail(err, KM_EUSAGE, "'%s/lab.toml' has no [evaluate]", lab.root);
    if (rc == 0)
        rc = km_lab_read(f, &doc, err);
    if (rc == 0)
        rc = km_json_object(doc, "payload", &payload, km_lab_source(f), err);
    if (rc == 0)
        rc = km_evaluation_read(payload, &e, km_lab_source(f), err);
    if (rc == 0 && e.holdout && !w.settings.evaluate.holdout)
        rc = km_fail(err, KM_EUSAGE, "'%s/lab.toml': [evaluate] has no holdout", lab.root);
    if (rc == 0)
        rc = km_lab_find_programs(&lab, err);
    if (rc == 0)
        rc = make_scratch(&lab, run, &scratch, err);
    if (rc == 0)
        rc = km_evaluate(&w, &e, scratch, &result, err);
    if (scratch)
        km_dir_remove(scratch, NULL);
    if (rc == 0)
        rc = km_lab_hand_over(json_incref(result), err);
    json_decref(result);
    json_decref(doc);
    km_lab_close(&lab);
    return rc;
}

static const km_opt evaluate_options[] = { KM_LAB_OPT_DIR, KM_LAB_OPT_IN, KM_OPT_END };

extern const km_command km_cmd_lab_evaluate;
const km_command km_cmd_lab_evaluate = {
    .name = "lab evaluate",
    .help = "worker: run parent and candidate in turns, as lab.toml's [evaluate] says",
    .args = "",
    .more =
        "In: what `lab claim --kind evaluate` printed. Out: the pairs, as the job's result. Each "
        "run is in\n"
        "a tree of its own; protected files are hashed before and after; seeds and the order are "
        "not the\n"
        "program's; the metric comes from the evaluator's file (csrc/lab/evaluate.h).",
    .options = evaluate_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_evaluate,
};

/* --- promote --- */

static void note_branch(km_workspace *w, km_lab_fields *f)
{
    const char *late = NULL;
    km_err why = KM_ERR_INIT;

    if (km_champion_settle(w, &late, &why) < 0)
        late = why.message;
    if (late)
        km_term_note(&f->common.term, "%s", late);
}

static int answer(const km_lab_fields *f, int64_t id, const char *state, const char *text,
                  km_err *err)
{
    if (f->common.json)
        return km_print_json(json_pack("{s:i,s:I,s:s,s:s}", "schema", KM_JSON_SCHEMA, "hypothesis",
                                       (json_int_t)id, "state", state, "text", text),
                             err);
    printf("hypothesis %lld: %s\n", (long long)id, text);
    return 0;
}

/* What comes before: its parent must be the champion, and the holdout must have been looked at. 1:
 * not yet; *text says why. */
static int prepare(km_workspace *w, int64_t id, const char **text, km_err *err)
{
    bool moved, asked = false;
    int rc = km_workspace_rebase(w, id, &moved, err);

    *text = "the champion is another by now: its change is measured again, on that one";
    if (rc < 0 || moved)
        return rc < 0 ? rc : 1;
    *text = "asked for the holdout: `kernmill lab run` looks at it";
    rc = km_champion_ask_holdout(w, id, &asked, err);
    return rc < 0 ? rc : asked;
}

/* Said twice, it is one promotion. 1: not yet; *text says how it is. */
static int promote(km_workspace *w, int64_t id, const char **text, km_err *err)
{
    km_champion c;
    int rc = km_champion_read(w->lab, &c, err);
    bool is = rc > 0 && c.hypothesis == id;

    if (rc >= 0 && !is)
        rc = prepare(w, id, text, err);
    if (rc == 0)
        rc = km_champion_promote(w, id, err);
    if (rc == 0 || is)
        *text = "it is the champion";
    return is ? 0 : rc;
}

static int run_promote(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    const char *text = "";
    km_workspace w = { 0 };
    int64_t id = 0;
    int rc = km_check_args(arg_count, 1, 1, err), waits = 0;

    if (rc == 0)
        rc = km_lab_id(args[0], &id, err);
    if (rc == 0)
        rc = open_tree(&lab, &w, f, err);
    if (rc == 0)
        waits = promote(&w, id, &text, err);
    if (rc == 0 && waits >= 0)
        rc = answer(f, id, waits ? "waiting" : "promoted", text, err);
    if (rc == 0 && waits == 0)
        note_branch(&w, f);
    km_lab_close(&lab);
    return rc < 0 || waits < 0 ? (rc < 0 ? rc : waits) : waits ? KM_EXIT_NO : 0;
}

static const km_opt dir_options[] = { KM_LAB_OPT_DIR, KM_OPT_END };

extern const km_command km_cmd_lab_promote;
const km_command km_cmd_lab_promote = {
    .name = "lab promote",
    .help = "make an accepted idea the champion, if its parent still is",
    .args = "HYPOTHESIS",
    .more = "It must have been accepted, approved by a reviewer, and, where [evaluate] has a "
            "holdout, not be\n"
            "worse there. Of two promotions at once one wins. Exit code 1: not yet; its change is "
            "put on the\n"
            "new champion, or the holdout is asked for, and `lab run` does the rest.",
    .options = dir_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_promote,
};

/* --- champion --- */

static int print_champion(km_workspace *w, const km_champion *c, const km_lab_fields *f,
                          km_err *err)
{
    const char *block;
    km_lab_runs runs;
    double sd;
    int rc = km_champion_runs(w->lab, c, &runs, &block, err);

    if (rc < 0)
        return rc;
    sd = km_lab_runs_sd(&runs);
    if (f->common.json)
        return km_print_json(
            json_pack("{s:i,s:s,s:o,s:s,s:I,s:o,s:o,s:s}", "schema", KM_JSON_SCHEMA, "commit",
                      c->commit, "hypothesis",
                      c->hypothesis ? json_integer((json_int_t)c->hypothesis) : json_null(),
                      "metric", w->settings.metric, "n", (json_int_t)runs.n, "mean",
                      runs.n ? km_json_real(runs.mean) : json_null(), "sd",
                      runs.n > 1 ? km_json_real(sd) : json_null(), "block", block),
            err);
    printf("%.12s, ", c->commit);
    if (c->hypothesis)
        printf("hypothesis %lld", (long long)c->hypothesis);
    else
        printf("the baseline");
    if (runs.n > 1)
        printf(": %s %.6g, SD %.3g of %lld runs on %s\n", w->settings.metric, runs.mean, sd,
               (long long)runs.n, block);
    else
        printf(": not measured yet\n");
    return 0;
}

static int run_champion(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    km_workspace w = { 0 };
    km_champion c = { 0, 0, NULL };
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = open_tree(&lab, &w, f, err);
    if (rc == 0)
        rc = km_champion_read(&lab, &c, err);
    if (rc == 0)
        rc = km_fail(err, KM_EUSAGE, "the lab has no champion: `kernmill lab init`");
    if (rc > 0)
        rc = print_champion(&w, &c, f, err);
    if (rc == 0)
        note_branch(&w, f);
    km_lab_close(&lab);
    return rc;
}

extern const km_command km_cmd_lab_champion;
const km_command km_cmd_lab_champion = {
    .name = "lab champion",
    .help = "the commit that all ideas start from, and what all its runs say of it",
    .args = "",
    .more = "Its mean is of every run there was, as a candidate and as a parent: never its best.",
    .options = dir_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_champion,
};

/* --- sweep --- */

static int run_sweep(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    km_workspace w = { 0 };
    int64_t count = 0;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = open_tree(&lab, &w, f, err);
    if (rc == 0)
        rc = km_workspace_sweep(&w, &count, err);
    if (rc == 0 && f->common.json)
        rc = km_print_json(
            json_pack("{s:i,s:I}", "schema", KM_JSON_SCHEMA, "kept", (json_int_t)count), err);
    else if (rc == 0)
        printf("%lld kept\n", (long long)count);
    km_lab_close(&lab);
    return rc;
}

extern const km_command km_cmd_lab_sweep;
const km_command km_cmd_lab_sweep = {
    .name = "lab sweep",
    .help = "keep what lost workers left in their trees, and remove the trees",
    .args = "",
    .more = "Each becomes a commit under refs/lab/<hypothesis>.<job>.<token>. `lab run` does it, "
            "too.",
    .options = dir_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_sweep,
};
