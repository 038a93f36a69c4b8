#include "lab/settings.h"

#include <string.h>

#include "core/limits.h"
#include "core/path.h"
#include "lab/alert.h"
#include "lab/webhook.h"

#define AT(member) offsetof(km_lab_settings, member)

static const km_field lab_rows[] = {
    { "name", KM_FIELD_TEXT, AT(name), true },
    { "metric", KM_FIELD_TEXT, AT(metric), true },
    { "direction", KM_FIELD_TEXT, AT(direction), true },
    { "effect", KM_FIELD_REAL, AT(effect), false },
    KM_FIELD_END,
};

static const km_field budget_rows[] = {
    { "runs", KM_FIELD_INT, AT(budget[KM_BUDGET_RUNS]), false },
    { "gpu_seconds", KM_FIELD_INT, AT(budget[KM_BUDGET_GPU_SECONDS]), false },
    { "money", KM_FIELD_INT, AT(budget[KM_BUDGET_MONEY]), false },
    { "tokens", KM_FIELD_INT, AT(budget[KM_BUDGET_TOKENS]), false },
    KM_FIELD_END,
};

static const km_field workspace_rows[] = {
    { "repository", KM_FIELD_TEXT, AT(workspace.repository), false },
    { "change", KM_FIELD_PATHS, AT(workspace.change), true },
    { "branch", KM_FIELD_TEXT, AT(workspace.branch), false },
    { "scores", KM_FIELD_TEXT, AT(workspace.scores), false },
    { "allow", KM_FIELD_LIST, AT(workspace.allow), false },
    KM_FIELD_END,
};

static const km_field evaluate_rows[] = {
    { "build", KM_FIELD_TEXT, AT(evaluate.build), false },
    { "run", KM_FIELD_TEXT, AT(evaluate.run), false },
    { "evaluate", KM_FIELD_TEXT, AT(evaluate.evaluate), false },
    { "pair", KM_FIELD_TEXT, AT(evaluate.pair), false },
    { "holdout", KM_FIELD_TEXT, AT(evaluate.holdout), false },
    { "amount", KM_FIELD_TEXT, AT(evaluate.amount), false },
    { "limit", KM_FIELD_INT, AT(evaluate.limit_s), false },
    { "pairs", KM_FIELD_INT, AT(evaluate.pairs), false },
    { "pairs_max", KM_FIELD_INT, AT(evaluate.pairs_max), false },
    { "at_once", KM_FIELD_INT, AT(evaluate.at_once), false },
    KM_FIELD_END,
};

static const km_field roles_rows[] = {
    { "researcher", KM_FIELD_TEXT, AT(roles.researcher), false },
    { "planner", KM_FIELD_TEXT, AT(roles.planner), false },
    { "reviewer", KM_FIELD_TEXT, AT(roles.reviewer), false },
    { "worker", KM_FIELD_TEXT, AT(roles.worker), false },
    { "reporter", KM_FIELD_TEXT, AT(roles.reporter), false },
    { "limit", KM_FIELD_INT, AT(roles.limit_s), false },
    { "output_mb", KM_FIELD_INT, AT(roles.output_mb), false },
    KM_FIELD_END,
};

static const km_field search_rows[] = {
    { "file", KM_FIELD_TEXT, AT(search.file), true },
    { "method", KM_FIELD_TEXT, AT(search.method), false },
    { "count", KM_FIELD_INT, AT(search.count), false },
    { "seed", KM_FIELD_INT, AT(search.seed), false },
    { "space", KM_FIELD_TABLE, 0, true },
    KM_FIELD_END,
};

static const km_field executor_rows[] = {
    { "name", KM_FIELD_TEXT, AT(executor.name), true },
    { "kinds", KM_FIELD_LIST, AT(executor.kinds), false },
    { "command", KM_FIELD_TEXT, AT(executor.command), false },
    { "slots", KM_FIELD_INT, AT(executor.slots), false },
    { "folder", KM_FIELD_TEXT, AT(executor.folder), false },
    { "output_mb", KM_FIELD_INT, AT(executor.output_mb), false },
    { "cpu_seconds", KM_FIELD_INT, AT(executor.cpu_seconds), false },
    { "memory_mb", KM_FIELD_INT, AT(executor.memory_mb), false },
    { "gpus", KM_FIELD_LIST, AT(executor.gpus), false },
    { "poll", KM_FIELD_REAL, AT(executor.poll_s), false },
    { "partition", KM_FIELD_TEXT, AT(executor.partition), false },
    { "account", KM_FIELD_TEXT, AT(executor.account), false },
    { "time", KM_FIELD_TEXT, AT(executor.time), false },
    { "gres", KM_FIELD_TEXT, AT(executor.gres), false },
    { "args", KM_FIELD_LIST, AT(executor.args), false },
    { "array", KM_FIELD_INT, AT(executor.array), false },
    { "namespace", KM_FIELD_TEXT, AT(executor.name_space), false },
    { "flavor", KM_FIELD_TEXT, AT(executor.flavor), false },
    { "image", KM_FIELD_TEXT, AT(executor.image), false },
    { "timeout", KM_FIELD_TEXT, AT(executor.timeout), false },
    { "volumes", KM_FIELD_LIST, AT(executor.volumes), false },
    { "secrets", KM_FIELD_LIST, AT(executor.secrets), false },
    KM_FIELD_END,
};

static const km_field alerts_rows[] = {
    { "webhook", KM_FIELD_TEXT, AT(alerts.webhook), false },
    { "level", KM_FIELD_TEXT, AT(alerts.level), false },
    { "form", KM_FIELD_TEXT, AT(alerts.form), false },
    KM_FIELD_END,
};

static const struct {
    const char *name;
    const km_field *rows;
} tables[] = {
    { "lab", lab_rows },           { "budget", budget_rows },     { "workspace", workspace_rows },
    { "evaluate", evaluate_rows }, { "roles", roles_rows },       { "search", search_rows },
    { "alerts", alerts_rows },     { "executor", executor_rows },
};

static const km_field file_rows[] = {
    { "lab", KM_FIELD_TABLE, 0, true },
    { "budget", KM_FIELD_TABLE, 0, false },
    { "workspace", KM_FIELD_TABLE, 0, false },
    { "evaluate", KM_FIELD_TABLE, 0, false },
    { "roles", KM_FIELD_TABLE, 0, false },
    { "search", KM_FIELD_TABLE, 0, false },
    { "alerts", KM_FIELD_TABLE, 0, false },
    { "executor", KM_FIELD_TABLE, 0, false },
    KM_FIELD_END,
};

static void set_defaults(km_lab_settings *s)
{
    *s = (km_lab_settings){ .workspace = { .repository = ".", .scores = "research" },
                            .evaluate = { .limit_s = 600, .pairs = 8, .pairs_max = 32 },
                            .roles.output_mb = 256,
                            .search = { .method = "sweep", .seed = 1 },
                            .executor = { .name = "local", .output_mb = 1024, .poll_s = 5 },
                            .alerts.level = "warn" };
    for (int i = 0; i < KM_BUDGET_KINDS; i++)
        s->budget[i] = -1;
}

static int check(const km_lab_settings *s, const char *path, km_err *err)
{
    if (strcmp(s->direction, "lower") != 0 && strcmp(s->direction, "higher") != 0)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "direction is \"lower\" or \"higher\", not \"%s\"", s->direction);
    if (!s->evaluate.limit_s || s->evaluate.limit_s > KM_LAB_LIMIT_S_MAX)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0, "[evaluate] limit is 1 to %d seconds",
                          KM_LAB_LIMIT_S_MAX);
    if (!s->evaluate.pairs || s->evaluate.pairs > s->evaluate.pairs_max ||
        s->evaluate.pairs_max > KM_LAB_PAIRS_MAX)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "[evaluate] pairs is 1 to pairs_max, which is at most %d",
                          KM_LAB_PAIRS_MAX);
    for (size_t i = 0; i < s->workspace.change.count; i++)
        if (strcmp(s->workspace.change.items[i], ".") == 0)
            return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                              "[workspace] change: \".\" is everything, what measures too; name "
                              "the files and folders that may change");
    if (km_path_check_relative(s->workspace.scores, err) < 0)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "[workspace] scores is a folder in the repository, not \"%s\"",
                          s->workspace.scores);
    if (s->evaluate.given && !s->evaluate.evaluate == !s->evaluate.pair)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "[evaluate] has one of 'evaluate' and 'pair'");
    if (s->evaluate.pair && s->evaluate.run)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "[evaluate] pair runs both itself: 'run' is for 'evaluate'");
    if (s->evaluate.given && !s->workspace.given)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "[evaluate] measures commits: [workspace] is missing");
    if (km_alert_level(s->alerts.level) < 0)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "[alerts] level is \"info\", \"warn\" or \"error\", not \"%s\"",
                          s->alerts.level);
    if (km_webhook_form_of(s->alerts.form, "") < 0)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "[alerts] form is \"plain\", \"slack\" or \"discord\", not \"%s\"",
                          s->alerts.form);
    return 0;
}

static int check_executor(const km_lab_settings *s, const char *path, km_err *err)
{
    static const char *const names[] = { "local", "slurm", "hf-jobs", NULL };
    size_t known = 0;

    while (names[known] && strcmp(names[known], s->executor.name) != 0)
        known++;
    if (!names[known]) {
        km_fail_at(err, KM_EFORMAT, path, 0, 0, "there is no executor '%s'", s->executor.name);
        return km_fields_hint_names(names, err);
    }
    if (!s->executor.output_mb || s->executor.poll_s < 0.1)
        return km_fail_at(err, KM_EFORMAT, path, 0, 0,
                          "[executor] output_mb is 1 or more, poll 0.1");
    if (s->executor.folder && *s->executor.folder != '/')
        return km_fail_at(err, KM_EFORMAT, path, 0, 0, "[executor] folder is no whole path: '%s'",
                          s->executor.folder);
    return 0;
}

static int check_search(km_arena *a, const km_lab_settings *s, const char *path, km_err *err)
{
    static const char *const methods[] = { "sweep", "random", "halving", NULL };
    const km_toml *space = s->search.space;
    km_fields f = { a, path, "[search]" };
    size_t known = 0;

    while (methods[known] && strcmp(methods[known], s->search.method) != 0)
        known++;
    if (!methods[known]) {
        km_fields_fail(&f, space, err, "there is no method '%s'", s->search.method);
        return km_fields_hint_names(methods, err);
    }
    if (!space->table.count)
        return km_fields_fail(&f, space, err, "[search.space] is empty");
    for (size_t i = 0; i < space->table.count; i++) {
        const km_toml_entry *e = &space->table.entries[i];
        if (e->value->kind != KM_TOML_ARRAY || !e->value->array.count)
            return km_fields_fail(&f, e->value, err, "'%s' is no list of values", e->key);
    }
    return 0;
}

static int read_table(km_arena *a, const char *path, const km_toml *doc, size_t i,
                      km_lab_settings *out, km_err *err)
{
    const km_toml *table = km_toml_get(doc, tables[i].name);
    char *shown = km_arena_printf(a, "[%s]", tables[i].name);
    km_fields f = { a, path, shown };

    if (!shown)
        return km_fail_nomem(err);
    return table ? km_fields_read(&f, table, tables[i].rows, out, err) : 0;
}

int km_lab_settings_read(km_arena *a, const char *root, km_lab_settings *out, km_err *err)
{
    char *path = km_path_join(a, root, "lab.toml");
    km_fields f = { a, path, "" };
    km_toml *doc = NULL;
    int rc = path ? km_toml_read(a, path, &doc, err) : km_fail_nomem(err);

    set_defaults(out);
    if (rc == 0)
        rc = km_fields_read(&f, doc, file_rows, NULL, err);
    for (size_t i = 0; rc == 0 && i < sizeof tables / sizeof *tables; i++)
        rc = read_table(a, path, doc, i, out, err);
    if (rc < 0)
        return rc;
    out->workspace.given = km_toml_get(doc, "workspace") != NULL;
    out->evaluate.given = km_toml_get(doc, "evaluate") != NULL;
    out->roles.given = km_toml_get(doc, "roles") != NULL;
    out->search.space = km_toml_get(km_toml_get(doc, "search"), "space");
    out->search.given = out->search.space != NULL;
    out->executor.given = km_toml_get(doc, "executor") != NULL;
    rc = check(out, path, err);
    if (rc == 0)
        rc = check_executor(out, path, err);
    return rc == 0 && out->search.given ? check_search(a, out, path, err) : rc;
}
