#include "pkg/test_record.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"

const char *const km_tested_names[] = { "not tested", "tested in part", "tests failed",
                                        "tests passed" };

/* ---- reading ---- */

/* A run's own word, or that of the document's environment. */
static const char *text_of(const json_t *run, const json_t *document, const char *key)
{
    const char *own = km_json_text_of(run, key);

    return *own ? own : km_json_text_of(json_object_get(document, "environment"), key);
}

static int count_of(const json_t *run, const char *key, int64_t *out, const char *path, km_err *err)
{
    *out = 0;
    if (km_json_int_optional(run, key, out, path, err) < 0)
        return err ? err->code : KM_EFORMAT;
    if (*out < 0)
        return km_fail(err, KM_EFORMAT, "'%s': '%s' is negative", path, key);
    return 0;
}

static const json_t *filled(const json_t *run, const char *key, bool object)
{
    const json_t *value = json_object_get(run, key);

    if (object ? json_object_size(value) : json_array_size(value))
        return value;
    return NULL;
}

static int add_run(km_test_runs *r, const json_t *run, const json_t *document, const char *path,
                   km_err *err)
{
    km_test_run *to = &r->items[r->count];

    if (r->count == KM_TEST_RUNS_MAX)
        return km_fail(err, KM_ELIMIT, "'%s': more than %d runs of tests", path, KM_TEST_RUNS_MAX);
    *to = (km_test_run){ .record = km_arena_strdup(&r->arena, path),
                         .target = km_json_text_of(run, "target"),
                         .date = text_of(run, document, "date"),
                         .cpu = text_of(run, document, "cpu"),
                         .gpu = km_json_text_of(run, "gpu"),
                         .driver = km_json_text_of(run, "driver"),
                         .system = text_of(run, document, "system"),
                         .python = km_json_text_of(run, "python"),
                         .torch = km_json_text_of(run, "torch"),
                         .package_sha256 = km_json_text_of(run, "package_sha256"),
                         .libraries = filled(run, "libraries", true),
                         .whole = json_is_true(json_object_get(run, "whole")),
                         .failures = filled(run, "failures", false),
                         .skips = filled(run, "skips", true),
                         .worst = filled(run, "worst", true),
                         .json = run };
    if (!to->record)
        return km_fail_nomem(err);
    if (count_of(run, "passed", &to->passed, path, err) < 0 ||
        count_of(run, "failed", &to->failed, path, err) < 0 ||
        count_of(run, "skipped", &to->skipped, path, err) < 0 ||
        count_of(run, "xfailed", &to->xfailed, path, err) < 0)
        return err ? err->code : KM_EFORMAT;
    r->count++;
    return 0;
}

static bool is_run(const json_t *value)
{
    return json_is_integer(json_object_get(value, "passed")) &&
           json_is_integer(json_object_get(value, "failed"));
}

/* A run; "runs", an array of them; or "parts", among which other things may be. */
static int add_document(km_test_runs *r, json_t *document, const char *path, km_err *err)
{
    json_t *runs = json_object_get(document, "runs"), *parts = json_object_get(document, "parts");
    json_t *run;
    const char *name;
    size_t i, before = r->count;

    if (is_run(document))
        return add_run(r, document, document, path, err);
    json_array_foreach(runs, i, run)
    {
        if (is_run(run) && add_run(r, run, document, path, err) < 0)
            return err ? err->code : KM_EFORMAT;
    }
    json_object_foreach(parts, name, run)
    {
        if (is_run(run) && add_run(r, run, document, path, err) < 0)
            return err ? err->code : KM_EFORMAT;
    }
    if (r->count == before)
        return km_fail(err, KM_EFORMAT, "'%s' is no record of tests: it has no run", path);
    return 0;
}

static int make_room(km_test_runs *r, km_err *err)
{
    if (!r->documents)
        r->documents = json_array();
    if (!r->items)
        r->items = km_arena_array(&r->arena, KM_TEST_RUNS_MAX, sizeof *r->items);
    return r->documents && r->items ? 0 : km_fail_nomem(err);
}

static int read_file(km_test_runs *r, const char *path, km_err *err)
{
    size_t before = r->count;
    json_t *document = NULL;
    int rc = km_json_read(path, &document, err);

    if (rc == 0 && json_array_append(r->documents, document) < 0)
        rc = km_fail_nomem(err);
    if (rc == 0)
        rc = add_document(r, document, path, err);
    if (rc < 0)
        r->count = before;
    json_decref(document);
    return rc;
}

static int read_folder(km_test_runs *r, const char *folder, km_err *err)
{
    km_names names;
    int rc = km_dir_list(&r->arena, folder, &names, err);

    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *path = km_path_join(&r->arena, folder, names.names[i]);
        km_err why = KM_ERR_INIT;
        if (!path)
            return km_fail_nomem(err);
        if (!km_ends_with(path, ".json") || !km_file_exists(path))
            continue;
        rc = read_file(r, path, &why);
        if (rc == KM_EFORMAT)
            rc = 0;
        else if (rc < 0 && err)
            *err = why;
    }
    return rc;
}

int km_test_runs_read(km_test_runs *r, const char *path, km_err *err)
{
    int rc = make_room(r, err);

    if (rc < 0)
        return rc;
    return km_dir_exists(path) ? read_folder(r, path, err) : read_file(r, path, err);
}

int km_test_runs_read_build(km_test_runs *r, const char *build_dir, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *tests = km_path_join(&a, build_dir, "tests");
    int rc = tests ? 0 : km_fail_nomem(err);

    if (rc == 0 && km_dir_exists(tests))
        rc = km_test_runs_read(r, tests, err);
    km_arena_release(&a);
    return rc;
}

void km_test_runs_release(km_test_runs *r)
{
    json_decref(r->documents);
    km_arena_release(&r->arena);
    *r = (km_test_runs)KM_TEST_RUNS_INIT;
}

/* ---- asking ---- */

bool km_test_run_is_of(const km_test_run *run, const km_package_digest *package)
{
    if (strcmp(run->package_sha256, package->sha256) != 0)
        return false;
    for (size_t i = 0; i < package->library_count; i++) {
        const km_package_library *library = &package->libraries[i];
        if (strcmp(km_json_text_of(run->libraries, library->name), library->sha256) != 0)
            return false;
    }
    return true;
}

static km_tested verdict(const km_test_run *run)
{
    if (run->failed)
        return KM_TESTED_FAILED;
    if (!run->passed)
        return KM_TESTED_NOT;
    return run->whole ? KM_TESTED_PASSED : KM_TESTED_PART;
}

/* Whether a later run on the same files and the same machine passed where `failed` did not. */
static bool is_outdone(const km_test_runs *r, const km_test_run *failed,
                       const km_package_digest *package)
{
    for (size_t i = 0; i < r->count; i++) {
        const km_test_run *run = &r->items[i];
        if (verdict(run) == KM_TESTED_PASSED && km_test_run_is_of(run, package) &&
            strcmp(run->date, failed->date) > 0 && strcmp(run->cpu, failed->cpu) == 0 &&
            strcmp(run->gpu, failed->gpu) == 0 && strcmp(run->python, failed->python) == 0 &&
            strcmp(run->torch, failed->torch) == 0)
            return true;
    }
    return false;
}

km_tested km_test_runs_ask(const km_test_runs *r, const km_package_digest *package,
                           const km_test_run **which)
{
    /* the greater decides: a failure over a pass over a part */
    static const int rank[] = {
        [KM_TESTED_NOT] = 0, [KM_TESTED_PART] = 1, [KM_TESTED_PASSED] = 2, [KM_TESTED_FAILED] = 3
    };
    const km_test_run *best = NULL;
    km_tested answer = KM_TESTED_NOT;

    for (size_t i = 0; i < r->count; i++) {
        const km_test_run *run = &r->items[i];
        km_tested one = verdict(run);
        if (one == KM_TESTED_NOT || !km_test_run_is_of(run, package) ||
            (one == KM_TESTED_FAILED && is_outdone(r, run, package)))
            continue;
        if (!best || rank[one] > rank[answer] ||
            (one == answer && strcmp(run->date, best->date) > 0)) {
            best = run;
            answer = one;
        }
    }
    if (which)
        *which = best;
    return answer;
}
