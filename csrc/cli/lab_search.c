/* kernmill lab suggest, edit: a researcher for numbers, and a worker without an agent. */
#include <stdlib.h>

#include "cli/lab.h"
#include "core/path.h"
#include "formats/json.h"
#include "lab/edit.h"
#include "lab/search.h"

/* What a role is told: the job, as `lab claim` prints it. Where `lab run` has started us, a prompt
 * may stand before it on standard input; its file has the job alone. */
static int read_job(km_lab_fields *f, km_lab *lab, km_lab_settings *s, json_t **job,
                    json_t **payload, km_err *err)
{
    const char *run = getenv("KERNMILL_RUN_DIR");
    int rc = km_lab_open(lab, f->dir, err);

    if (rc == 0)
        rc = km_lab_settings_read(&lab->arena, lab->root, s, err);
    if (rc == 0 && !f->in && run && *run && !(f->in = km_path_join(&lab->arena, run, "job.json")))
        rc = km_fail_nomem(err);
    if (rc == 0)
        rc = km_lab_read(f, job, err);
    return rc == 0 ? km_json_object(*job, "payload", payload, km_lab_source(f), err) : rc;
}

static int run_suggest(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *job = NULL, *payload = NULL, *ideas = NULL;
    km_lab_settings s;
    int64_t wanted = 1;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = read_job(f, &lab, &s, &job, &payload, err);
    if (rc == 0)
        rc = km_json_int_optional(payload, "wanted", &wanted, km_lab_source(f), err);
    if (rc == 0)
        rc = km_search_suggest(&lab, &s, wanted, &ideas, err);
    if (rc == 0)
        rc = km_lab_hand_over(json_pack("{s:O}", "ideas", ideas), err);
    json_decref(ideas);
    json_decref(job);
    km_lab_close(&lab);
    return rc;
}

static const km_opt options[] = { KM_LAB_OPT_DIR, KM_LAB_OPT_IN, KM_OPT_END };

extern const km_command km_cmd_lab_suggest;
const km_command km_cmd_lab_suggest = {
    .name = "lab suggest",
    .help = "researcher without an agent: the next combinations of lab.toml's [search]",
    .args = "",
    .more = "In: a \"research\" job: {\"payload\": {\"wanted\": how many}}. Out: {\"ideas\"}; none "
            "when all were\nproposed.",
    .options = options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_suggest,
};

/* What an idea's payload spells out, or its numbers. *said: what was done. */
static int edit(const km_lab_settings *s, const char *tree, const json_t *payload, json_t **said,
                const char *name, km_err *err)
{
    json_t *params = NULL, *list = NULL;
    int rc = km_json_array_optional(payload, "replace", &list, name, err);

    *said = NULL;
    if (rc == 0 && list) {
        rc = km_edit_replace(tree, list, err);
        *said = json_pack("{s:O}", "replace", list);
        return rc;
    }
    if (rc == 0)
        rc = km_json_object(payload, "params", &params, name, err);
    if (rc == 0)
        rc = km_search_edit(s, tree, params, err);
    if (rc == 0)
        *said = json_pack("{s:O}", "params", params);
    return rc;
}

static int run_edit(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *job = NULL, *payload = NULL, *said = NULL;
    const char *tree = NULL;
    km_lab_settings s;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = read_job(f, &lab, &s, &job, &payload, err);
    if (rc == 0)
        rc = km_json_text(job, "workspace", &tree, km_lab_source(f), err);
    if (rc == 0)
        rc = edit(&s, tree, payload, &said, km_lab_source(f), err);
    if (rc == 0)
        rc = km_lab_hand_over(json_incref(said), err);
    json_decref(said);
    json_decref(job);
    km_lab_close(&lab);
    return rc;
}

extern const km_command km_cmd_lab_edit;
const km_command km_cmd_lab_edit = {
    .name = "lab edit",
    .help = "worker without an agent: make the change that an idea spells out, or its numbers",
    .args = "",
    .more =
        "In: a \"work\" job. Its payload is {\"replace\": [{\"file\", \"old\", \"new\"}]}: the one "
        "place where old\n"
        "stands in the file becomes new; or {\"params\"}, which `lab suggest` had, for the "
        "file of [search].\nOut: the payload.",
    .options = options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_edit,
};
