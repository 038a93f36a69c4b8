#include "pkg/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "core/proc.h"
#include "formats/json.h"
#include "pkg/stage.h"
#include "record/environment.h"

#define ARGS_MAX 64

/* One set of files under test. */
struct target {
    const char *name;    /* "wheel", or the variant */
    const char *library; /* the staged file */
    const char *folder;  /* for KERNMILL_TEST_WHEEL or _HUB */
    bool hub;
};

static int check_python(const km_plan *p, km_err *err)
{
    const char *const argv[] = { p->home.python, "-c", "import pytest, torch", NULL };
    km_proc proc = { .argv = argv, .timeout_ms = 120000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int rc;

    if (!p->home.python) {
        km_fail(err, KM_EENV, "no Python interpreter is found for the tests");
        return km_hint(err, "name one in KERNMILL_PYTHON");
    }
    rc = km_proc_run(&proc, &r, err);
    if (rc == 0 && r.exit_code) {
        km_fail(err, KM_EENV, "'%s' cannot import pytest and torch", p->home.python);
        rc = km_hint(err, "%s -m pip install pytest torch, or name another in KERNMILL_PYTHON",
                     p->home.python);
    }
    km_proc_result_release(&r);
    return rc;
}

/* PYTHONPATH with our own Python package (in a source tree) and `first` before what is there. */
static const char *python_path(km_arena *a, const km_plan *p, const char *first)
{
    const char *old = getenv("PYTHONPATH");
    const char *ours = p->home.python_package;

    return km_arena_printf(a, "PYTHONPATH=%s%s%s%s%s", first ? first : "", first && ours ? ":" : "",
                           ours ? ours : "", old && *old ? ":" : "", old ? old : "");
}

static int fail_without_tests(const km_plan *p, const km_test_options *o, km_err *err)
{
    if (o->expression)
        return km_fail(err, KM_EUSAGE, "-k '%s' selects no test", o->expression);
    if (o->more && *o->more)
        return km_fail(err, KM_EUSAGE, "the arguments for pytest select no test");
    return km_fail(err, KM_EFORMAT, "there is no test in '%s/tests'", p->m->dir);
}

static int run_pytest(km_arena *a, const km_plan *p, const km_test_options *o,
                      const struct target *t, const char *record, km_err *err)
{
    const char *argv[ARGS_MAX], *env[8];
    km_proc proc = { .argv = argv, .env = env, .cwd = p->m->dir, .share_output = !p->o.quiet };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int n = 0, e = 0, rc;

    argv[n++] = p->home.python;
    argv[n++] = "-m";
    argv[n++] = "pytest";
    argv[n++] = "-q";
    argv[n++] = "-p";
    argv[n++] = "kernmill.pytest_plugin";
    argv[n++] = "-p";
    argv[n++] = "no:cacheprovider";
    if (o->expression) {
        argv[n++] = "-k";
        argv[n++] = o->expression;
    }
    for (const char *const *more = o->more; more && *more && n + 2 < ARGS_MAX; more++)
        argv[n++] = *more;
    argv[n++] = "tests";
    argv[n] = NULL;
    env[e++] = python_path(a, p, t->hub ? NULL : t->folder);
    env[e++] = km_arena_printf(a, "KERNMILL_TEST_KERNEL=%s", p->m->import_name);
    env[e++] = km_arena_printf(a, "KERNMILL_TEST_HUB=%s", t->hub ? t->folder : "");
    env[e++] = km_arena_printf(a, "KERNMILL_TEST_RECORD=%s", record);
    env[e++] = "PYTHONDONTWRITEBYTECODE=1";
    env[e] = NULL;
    rc = km_proc_run(&proc, &r, err);
    /* 1: tests failed, which the record tells; 5: there were none */
    if (rc == 0 && r.exit_code == 5)
        rc = fail_without_tests(p, o, err);
    else if (rc == 0 && r.exit_code > 1)
        rc = km_fail(err, KM_ECHILD, "pytest exited with %d on %s%s%s", r.exit_code, t->name,
                     p->o.quiet ? ":\n" : "",
                     p->o.quiet ? r.out.data + (r.out.length > 1500 ? r.out.length - 1500 : 0)
                                : "");
    km_proc_result_release(&r);
    return rc;
}

/* Runs one target and adds what the plugin wrote, with the file's hash, to `runs`. */
static int run_target(km_arena *a, const km_plan *p, const km_test_options *o,
                      const struct target *t, json_t *runs, int64_t *failed, km_err *err)
{
    const char *path = km_path_join(a, p->work_dir, "test-run.json");
    char hex[KM_SHA256_HEX_BYTES];
    json_t *run = NULL;
    km_sha256 hash;
    int64_t failures;
    int rc = path ? km_dir_remove(path, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_hash_file(t->library, &hash, err);
    if (rc == 0)
        rc = run_pytest(a, p, o, t, path, err);
    if (rc == 0)
        rc = km_json_read(path, &run, err);
    if (rc == 0)
        rc = km_json_int(run, "failed", &failures, path, err);
    if (rc == 0) {
        km_hash_hex(&hash, hex);
        json_object_set_new(run, "target", json_string(t->name));
        json_object_set_new(run, "sha256", json_string(hex));
        *failed += failures;
        rc = json_array_append(runs, run) == 0 ? 0 : km_fail_nomem(err);
    }
    json_decref(run);
    return rc;
}

static size_t list_targets(km_arena *a, const km_plan *p, bool wheel_only, struct target *out)
{
    const char *library = km_path_base(p->products[p->wheel_flavor].wheel_library);
    const char *wheel = km_stage_wheel_dir(a, p);
    size_t n = 0;

    out[n++] = (struct target){ "wheel",
                                km_arena_printf(a, "%s/%s/%s", wheel, p->m->import_name, library),
                                wheel, false };
    for (int f = 0; f < KM_FLAVOR_COUNT && !wheel_only; f++) {
        /* the folders of one flavor hold the same bytes: the first stands for them */
        const char *variant = p->products[f].built ? p->products[f].variants[0] : NULL;
        const char *dir = variant ? km_stage_hub_dir(a, p, variant) : NULL;
        if (dir)
            out[n++] = (struct target){ variant, km_path_join(a, dir, library), dir, true };
    }
    return n;
}

static int run_all(km_arena *a, const km_plan *p, const km_test_options *o, km_term *term,
                   json_t *runs, int64_t *failed, km_err *err)
{
    struct target targets[1 + KM_FLAVOR_COUNT];
    const char *tests = km_path_join(a, p->m->dir, "tests");
    size_t n;

    if (!tests)
        return km_fail_nomem(err);
    if (!km_dir_exists(tests))
        return km_fail(err, KM_EFORMAT, "the kernel has no tests: '%s' is not there", tests);
    if (check_python(p, err) < 0)
        return KM_EENV;
    n = list_targets(a, p, o->wheel_only, targets);
    for (size_t i = 0; i < n; i++) {
        km_term_note(term, "testing %s (%zu of %zu)", targets[i].name, i + 1, n);
        if (run_target(a, p, o, &targets[i], runs, failed, err) < 0)
            return err ? err->code : KM_ECHILD;
    }
    return 0;
}

int km_test(const km_plan *p, const km_test_options *o, km_term *term, json_t **record,
            int64_t *failed, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *path = km_path_join(&a, p->build_dir, "test-record.json");
    json_t *runs = json_array();
    int rc;

    *failed = 0;
    *record = json_pack("{s:i,s:o,s:s,s:I,s:o}", "schema", 1, "environment",
                        km_environment(KM_VERSION, p->m->dir), "kernel", p->m->name, "version",
                        (json_int_t)p->m->version, "runs", runs);
    rc = *record && path ? run_all(&a, p, o, term, runs, failed, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_json_write(path, *record, err);
    if (rc < 0) {
        json_decref(*record);
        *record = NULL;
    }
    km_arena_release(&a);
    return rc;
}
