#include "pkg/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/proc.h"
#include "formats/json.h"
#include "pkg/package_digest.h"
#include "pkg/stage.h"
#include "pkg/test_record.h"
#include "record/environment.h"

#define ARGS_MAX 64

/* One set of files under test. */
struct target {
    const char *name;    /* "wheel", or the variant */
    const char *package; /* the staged folder */
    const char *library; /* the file's name in it */
    const char *folder;  /* for PYTHONPATH or KERNMILL_TEST_HUB */
    bool hub;
};

/* What a command does, and what came out so far. */
struct session {
    km_arena *a;
    const km_plan *p;
    const km_test_options *o;
    km_term *term;
    json_t *record; /* the document; borrowed */
    int64_t failed;
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

/* A test that loaded the kernel from elsewhere says nothing of what was built. */
static int check_package(const struct target *t, const json_t *run, const km_package_digest *before,
                         km_err *err)
{
    const char *tested = km_json_text_of(run, "package_sha256");

    if (!*tested || strcmp(tested, before->sha256) == 0)
        return 0;
    km_fail(err, KM_ECHILD, "the tests of '%s' did not run on the files of '%s'", t->name,
            t->package);
    return km_hint(err, "another package of that name stands before it, or the files were changed "
                        "while the tests ran");
}

/* A part of the tests that passed takes nothing from what is known; everything else replaces it. */
static int keep_run(struct session *s, const struct target *t, json_t *run, km_err *err)
{
    const char *folder = km_path_join(s->a, s->p->build_dir, "tests");
    const char *path = folder ? km_arena_printf(s->a, "%s/%s.json", folder, t->name) : NULL;
    json_t *document = json_copy(s->record);
    int rc = document && path ? 0 : km_fail_nomem(err);

    if (rc == 0 && (json_is_true(json_object_get(run, "whole")) ||
                    json_integer_value(json_object_get(run, "failed")))) {
        json_object_set_new(document, "runs", json_pack("[O]", run));
        rc = km_dir_make(folder, err);
        if (rc == 0)
            rc = km_json_write(path, document, err);
    }
    json_decref(document);
    return rc;
}

/* Runs one target and adds what the plugin wrote, with the file's hash, to the record. */
static int run_target(struct session *s, const struct target *t, km_err *err)
{
    const char *path = km_path_join(s->a, s->p->work_dir, "test-run.json");
    km_package_digest package;
    json_t *run = NULL;
    int64_t failures = 0;
    int rc = path ? km_dir_remove(path, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_package_digest_read(s->a, t->package, &package, err);
    if (rc == 0)
        rc = run_pytest(s->a, s->p, s->o, t, path, err);
    if (rc == 0)
        rc = km_json_read(path, &run, err);
    if (rc == 0)
        rc = km_json_int(run, "failed", &failures, path, err);
    if (rc == 0)
        rc = check_package(t, run, &package, err);
    if (rc == 0) {
        json_object_set_new(run, "target", json_string(t->name));
        for (size_t i = 0; i < package.library_count; i++)
            if (strcmp(package.libraries[i].name, t->library) == 0)
                json_object_set_new(run, "sha256", json_string(package.libraries[i].sha256));
        s->failed += failures;
        rc = json_array_append(json_object_get(s->record, "runs"), run) == 0 ? 0
                                                                             : km_fail_nomem(err);
    }
    if (rc == 0)
        rc = keep_run(s, t, run, err);
    json_decref(run);
    return rc;
}

static size_t list_targets(km_arena *a, const km_plan *p, bool wheel_only, struct target *out)
{
    const char *library = km_path_base(p->products[p->wheel_flavor].wheel_library);
    const char *wheel = km_stage_wheel_dir(a, p);
    size_t n = 0;

    out[n++] = (struct target){ "wheel", km_path_join(a, wheel, p->m->import_name), library, wheel,
                                false };
    for (int f = 0; f < KM_FLAVOR_COUNT && !wheel_only; f++) {
        /* the folders of one flavor hold the same bytes: the first stands for them */
        const char *variant = p->products[f].built ? p->products[f].variants[0] : NULL;
        const char *dir = variant ? km_stage_hub_dir(a, p, variant) : NULL;
        if (dir)
            out[n++] = (struct target){ variant, dir, library, dir, true };
    }
    return n;
}

static int run_all(struct session *s, km_err *err)
{
    struct target targets[1 + KM_FLAVOR_COUNT];
    const char *tests = km_path_join(s->a, s->p->m->dir, "tests");
    size_t n;

    if (!tests)
        return km_fail_nomem(err);
    if (!km_dir_exists(tests))
        return km_fail(err, KM_EFORMAT, "the kernel has no tests: '%s' is not there", tests);
    if (check_python(s->p, err) < 0)
        return KM_EENV;
    n = list_targets(s->a, s->p, s->o->wheel_only, targets);
    for (size_t i = 0; i < n; i++) {
        km_term_note(s->term, "testing %s (%zu of %zu)", targets[i].name, i + 1, n);
        if (run_target(s, &targets[i], err) < 0)
            return err ? err->code : KM_ECHILD;
    }
    return 0;
}

int km_test(const km_plan *p, const km_test_options *o, km_term *term, json_t **record,
            int64_t *failed, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *path = km_path_join(&a, p->build_dir, "test-record.json");
    struct session s = { .a = &a, .p = p, .o = o, .term = term };
    int rc;

    *record = json_pack("{s:i,s:o,s:s,s:I,s:[]}", "schema", 1, "environment",
                        km_environment(KM_VERSION, p->m->dir), "kernel", p->m->name, "version",
                        (json_int_t)p->m->version, "runs");
    s.record = *record;
    rc = *record && path ? run_all(&s, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_json_write(path, *record, err);
    *failed = s.failed;
    if (rc < 0) {
        json_decref(*record);
        *record = NULL;
    }
    km_arena_release(&a);
    return rc;
}
