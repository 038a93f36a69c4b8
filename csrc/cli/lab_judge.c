/* kernmill lab judge: is the candidate better than its parent, or was it luck? */
#include "cli/lab.h"
#include "formats/json.h"
#include "lab/evidence.h"

static int judge_input(const km_lab_fields *f, km_lab_decision *d, km_err *err)
{
    const char *name = km_lab_source(f);
    json_t *doc = NULL, *pairs;
    km_lab_evidence evidence;
    km_lab_rule rule;
    int rc = km_lab_read(f, &doc, err);

    if (rc == 0)
        rc = km_lab_rule_read(doc, &rule, name, err);
    if (rc == 0)
        rc = km_json_array(doc, "pairs", &pairs, name, err);
    if (rc == 0)
        rc = km_lab_evidence_read(pairs, &evidence, err);
    if (rc == 0)
        rc = km_lab_judge(&rule, evidence.pairs, evidence.count, d, err);
    json_decref(doc);
    return rc;
}

static int judge_hypothesis(const km_lab_fields *f, const char *text, int64_t *id,
                            km_lab_decision *d, km_err *err)
{
    km_lab lab = KM_LAB_INIT;
    int rc = km_lab_id(text, id, err);

    if (rc == 0 && f->in)
        rc = km_fail(err, KM_EUSAGE, "a hypothesis is judged by its results, not by --in");
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_lab_judge_hypothesis(&lab, *id, d, err);
    km_lab_close(&lab);
    return rc;
}

static int run_judge(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_lab_fields *f = fields;
    km_lab_decision d;
    json_t *doc;
    int64_t id = 0;
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = arg_count ? judge_hypothesis(f, args[0], &id, &d, err) : judge_input(f, &d, err);
    if (rc < 0)
        return rc;
    doc = json_pack("{s:i}", "schema", KM_JSON_SCHEMA);
    if (id)
        json_object_set_new(doc, "hypothesis", json_integer((json_int_t)id));
    if (json_object_update_new(doc, km_lab_decision_json(&d)) < 0) {
        json_decref(doc);
        return km_fail_nomem(err);
    }
    rc = km_print_json(doc, err);
    return rc == 0 && d.verdict != KM_LAB_ACCEPTED ? KM_EXIT_NO : rc;
}

static const km_opt judge_options[] = { KM_LAB_OPT_DIR, KM_LAB_OPT_IN, KM_OPT_END };

extern const km_command km_cmd_lab_judge;
const km_command km_cmd_lab_judge = {
    .name = "lab judge",
    .help = "accept or reject by pairs of runs, with stated error rates",
    .args = "[HYPOTHESIS]",
    .more =
        "Of a hypothesis: by the pairs in its jobs' results, whose verdict becomes its state; "
        "without\n"
        "one, in: {\"direction\": \"lower\" or \"higher\", \"pairs\": [{\"parent\", "
        "\"candidate\", \"block\"}]}\n"
        "and, if wanted, \"effect\", \"alpha\", \"beta\", and of a pair \"amount\": [N, N], what "
        "was evaluated.\n"
        "A pair is a run of each, in turns, in one block: the same hardware, driver and image. "
        "Look after\n"
        "each pair: what has no effect is accepted in alpha (1 %) of all cases at most. Out: "
        "{\"verdict\":\n"
        "accepted, rejected, undecided or invalid, \"gain\", \"interval\", \"n\", \"sd\", "
        "\"more_pairs\",\n"
        "\"reason\"}; exit code 1 unless accepted. At 1 % it takes eight pairs or more to accept.",
    .options = judge_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_judge,
};
