/* The card's part on tests: only of runs on these very files. */
#include <string.h>

#include "core/file.h"
#include "formats/json.h"
#include "pkg/card.h"
#include "pkg/card_parts.h"

/* Whether one of the packages is what the run tested. Packages with the same files count once: the
 * folders for two versions of CUDA are equal. */
static bool is_ours(const km_card_files *f, const km_test_run *run)
{
    for (size_t i = 0; i < f->count; i++)
        if (km_test_run_is_of(run, &f->items[i].digest))
            return true;
    return false;
}

static void add_name(const km_card_package *package, km_str *out)
{
    km_str_printf(out, package->is_wheel ? "| %s |" : "| `%s` |", package->name);
}

static void add_machine(const km_test_run *run, km_str *out)
{
    km_str_add(out, " | ");
    km_card_add_cell(out, *run->gpu ? run->gpu : run->cpu);
    if (*run->gpu && *run->driver) {
        km_str_add(out, ", driver ");
        km_card_add_cell(out, run->driver);
    }
    km_str_add(out, *run->gpu ? "" : ", no GPU");
    km_str_add(out, " | torch ");
    km_card_add_cell(out, run->torch);
    km_str_add(out, ", Python ");
    km_card_add_cell(out, run->python);
    km_str_add(out, " | ");
    km_card_add_cell(out, run->date);
    km_str_add(out, " |\n");
}

static void add_runs(const km_card_files *f, km_str *out)
{
    km_str_add(out,
               "\n| files | verdict | passed | failed | skipped | machine | versions | date |\n"
               "|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < f->count; i++) {
        const km_card_package *package = &f->items[i];
        bool any = false;
        for (size_t j = 0; j < f->runs.count; j++) {
            const km_test_run *run = &f->runs.items[j];
            if (!km_test_run_is_of(run, &package->digest))
                continue;
            add_name(package, out);
            km_str_printf(out, " %s on these very files | %lld | %lld | %lld",
                          run->failed   ? "failed"
                          : !run->whole ? "a part passed"
                          : run->passed ? "passed"
                                        : "nothing ran",
                          (long long)run->passed, (long long)run->failed, (long long)run->skipped);
            add_machine(run, out);
            any = true;
        }
        if (!any) {
            add_name(package, out);
            km_str_add(out, " not tested | - | - | - | - | - | - |\n");
        }
    }
}

static bool ran_on_gpu(const km_card_files *f, const km_card_package *package)
{
    for (size_t i = 0; i < f->runs.count; i++)
        if (*f->runs.items[i].gpu && km_test_run_is_of(&f->runs.items[i], &package->digest))
            return true;
    return false;
}

/* A CUDA library can pass where there is no GPU: its kernels did not run then. Where others of the
 * packages did run on one, those that did not are named, unless nothing at all ran on them. */
static void add_gpu(const km_card_files *f, km_str *out)
{
    bool with_images = false, ran = false;

    for (size_t i = 0; i < f->count; i++) {
        with_images |= f->items[i].flavor == KM_FLAVOR_CUDA;
        ran |= ran_on_gpu(f, &f->items[i]);
    }
    if (with_images && !ran)
        km_str_add(out, "\n" KM_CARD_NOT_ON_GPU "\n");
    for (size_t i = 0; ran && i < f->count; i++) {
        const km_card_package *package = &f->items[i];
        if (package->flavor == KM_FLAVOR_CUDA && package->tested != KM_TESTED_NOT &&
            !ran_on_gpu(f, package))
            km_str_printf(out, "\n" KM_CARD_ONE_NOT_ON_GPU "\n", package->name);
    }
}

/* What failed and what was skipped in any run, each once. */
static void add_outcomes(const km_card_files *f, km_str *out)
{
    json_t *failed = json_object(), *skipped = json_object();
    const char *name;
    json_t *value;
    size_t k;

    for (size_t i = 0; i < f->runs.count; i++) {
        const km_test_run *run = &f->runs.items[i];
        if (!is_ours(f, run))
            continue;
        json_array_foreach(run->failures, k, value) json_object_set_new(
            failed, json_string_value(value) ? json_string_value(value) : "?", json_true());
        json_object_update(skipped, (json_t *)(uintptr_t)run->skips);
    }
    km_str_printf(out, "\nFailed:%s", json_object_size(failed) ? "\n" : " nothing.");
    json_object_foreach(failed, name, value)
    {
        km_str_add(out, "\n- ");
        km_card_add_cell(out, name);
    }
    km_str_printf(out, "\n\nSkipped:%s", json_object_size(skipped) ? "\n" : " nothing.");
    json_object_foreach(skipped, name, value)
    {
        km_str_add(out, "\n- ");
        km_card_add_cell(out, name);
        km_str_printf(out, ": %lld", (long long)json_integer_value(value));
    }
    km_str_add(out, "\n");
    json_decref(failed);
    json_decref(skipped);
}

/* "nan" and "inf", which are texts, are worse than any number. */
static void keep_worse(json_t *worst, const json_t *run)
{
    json_t *value;
    const char *metric;

    json_object_foreach((json_t *)(uintptr_t)run, metric, value)
    {
        const json_t *before = json_object_get(worst, metric);
        if (json_is_string(value) ||
            (json_is_number(value) && !json_is_string(before) &&
             (!before || json_number_value(before) < json_number_value(value))))
            json_object_set(worst, metric, value);
    }
}

static void add_worst(const km_card_files *f, km_str *out)
{
    json_t *worst = json_object(), *value;
    const char *metric;

    for (size_t i = 0; i < f->runs.count; i++)
        if (is_ours(f, &f->runs.items[i]))
            keep_worse(worst, f->runs.items[i].worst);
    if (json_object_size(worst))
        km_str_add(out, "\n| largest error of all cases and runs | |\n|---|---|\n");
    else
        km_str_add(out, "\nErrors: not measured.\n");
    json_object_foreach(worst, metric, value)
    {
        km_str_add(out, "| ");
        km_card_add_cell(out, metric);
        if (json_is_string(value)) {
            km_str_add(out, " | ");
            km_card_add_cell(out, json_string_value(value));
            km_str_add(out, " |\n");
        } else {
            km_str_printf(out, " | %.4g |\n", json_number_value(value));
        }
    }
    json_decref(worst);
}

size_t km_card_own_runs(const km_card_files *f)
{
    size_t ours = 0;

    for (size_t i = 0; i < f->runs.count; i++)
        ours += is_ours(f, &f->runs.items[i]);
    return ours;
}

void km_card_add_tests(km_card_files *f, km_str *out)
{
    size_t ours = km_card_own_runs(f);

    km_str_add(out, "\n## Tests\n");
    if (!ours)
        km_str_add(out, "\n" KM_CARD_NOT_TESTED "\n");
    if (ours) {
        km_str_add(out,
                   "\nThe kernel's own tests, on the files that are packed here: their SHA-256 "
                   "and those of the libraries that ran\nare in the record, `tests.json`.\n");
        add_runs(f, out);
        add_gpu(f, out);
        add_outcomes(f, out);
        add_worst(f, out);
    }
    if (f->runs.count > ours)
        km_str_printf(out, "\n%zu more runs were on other files and are left out.\n",
                      f->runs.count - ours);
}

int km_card_write_tests(const km_card_files *f, const char *path, km_err *err)
{
    const km_manifest *m = f->plans[0].m;
    json_t *runs = json_array(), *document;
    int rc = 0;

    for (size_t i = 0; i < f->runs.count; i++)
        if (is_ours(f, &f->runs.items[i]))
            json_array_append(runs, (json_t *)(uintptr_t)f->runs.items[i].json);
    if (!json_array_size(runs)) {
        json_decref(runs);
        return km_dir_remove(path, err);
    }
    document = json_pack("{s:i,s:s,s:I,s:o}", "schema", 1, "kernel", m->name, "version",
                         (json_int_t)m->version, "runs", runs);
    rc = document ? km_json_write(path, document, err) : km_fail_nomem(err);
    json_decref(document);
    return rc;
}
