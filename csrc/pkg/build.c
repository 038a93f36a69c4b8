#include "pkg/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/proc.h"
#include "pkg/entries.h"
#include "pkg/generate.h"
#include "pkg/ninja.h"
#include "pkg/probe.h"
#include "pkg/stage.h"
#include "pkg/stale.h"

/* The same for every build, as zig wants it: glibc's stubs take seconds to make. */
static const char *zig_cache(km_arena *a, const char *variable)
{
    const char *set = getenv(variable), *root = getenv("KERNMILL_CACHE"), *home = getenv("HOME");

    if (set && *set)
        return km_arena_printf(a, "%s=%s", variable, set);
    if (root && *root)
        return km_arena_printf(a, "%s=%s/zig", variable, root);
    return km_arena_printf(a, "%s=%s/.cache/kernmill/zig", variable, home && *home ? home : "/tmp");
}

static int run_ninja(km_arena *a, const km_plan *p, const char *file, km_err *err)
{
    const char *argv[12];
    const char *env[] = { "NINJA_STATUS=[%f/%t] ", zig_cache(a, "ZIG_GLOBAL_CACHE_DIR"),
                          zig_cache(a, "ZIG_LOCAL_CACHE_DIR"), NULL };
    km_proc proc = { .argv = argv, .env = env, .cwd = p->m->dir, .share_output = !p->o.quiet };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int n = 0, rc;

    if (!env[1] || !env[2])
        return km_fail_nomem(err);
    argv[n++] = "ninja";
    argv[n++] = "-f";
    argv[n++] = file;
    if (p->o.jobs) {
        argv[n++] = "-j";
        argv[n++] = km_arena_printf(a, "%ld", p->o.jobs);
    }
    if (p->o.verbose)
        argv[n++] = "-v";
    argv[n] = NULL;
    rc = p->o.quiet ? km_proc_check(&proc, &r, err) : km_proc_run(&proc, &r, err);
    if (rc == 0 && r.exit_code)
        rc = km_fail(err, KM_ECHILD, "the build failed; the compiler's messages are above");
    else if (rc == KM_EENV)
        km_hint(err, "apt install ninja-build, or pip install ninja");
    km_proc_result_release(&r);
    return rc;
}

/* Its time says when a build last had something to do: what is younger was not compiled
 * (pkg/stale.h). */
static int write_compile_commands(km_arena *a, const km_plan *p, const char *file,
                                  const struct timespec *began, km_err *err)
{
    const char *const argv[] = { "ninja", "-f", file, "-t", "compdb", "cc", NULL };
    const char *path = km_path_join(a, p->build_dir, KM_BUILD_MARK);
    const struct timespec times[] = { *began, *began };
    km_proc proc = { .argv = argv, .cwd = p->m->dir };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int rc = path ? km_proc_check(&proc, &r, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_file_update(path, r.out.data, r.out.length, 0666, err);
    km_proc_result_release(&r);
    if (rc == 0 && km_stale_source(a, p->m->dir) && utimensat(AT_FDCWD, path, times, 0) < 0)
        return km_fail_errno(err, errno, "unable to date '%s'", path);
    return rc;
}

/* Loads what was linked; the objects of a flavor's two libraries are the same. */
static int probe_products(km_arena *a, const km_plan *p, km_err *err)
{
    const char *const *schemas;
    size_t count;
    int rc = 0;

    for (int f = 0; f < KM_FLAVOR_COUNT && rc == 0; f++) {
        if (!p->products[f].built)
            continue;
        rc = km_probe(a, p, p->products[f].wheel_library, &schemas, &count, err);
        if (rc == 0)
            rc = km_probe_card(p->m, schemas, count, err);
    }
    return rc;
}

static int build_locked(km_arena *a, const km_plan *p, km_err *err)
{
    const char *file = km_path_join(a, p->work_dir, "build.ninja");
    struct timespec began;
    int rc = file ? km_generate_sources(p, err) : km_fail_nomem(err);

    clock_gettime(CLOCK_REALTIME, &began);
    if (rc == 0)
        rc = km_ninja_write(p, err);
    if (rc == 0)
        rc = run_ninja(a, p, file, err);
    if (rc == 0)
        rc = km_entries_check(p, err);
    if (rc == 0 && !p->is_cross)
        rc = probe_products(a, p, err);
    if (rc == 0 && !p->is_cross)
        rc = write_compile_commands(a, p, file, &began, err);
    if (rc == 0)
        rc = km_stage(p, err);
    if (rc == 0 && !p->is_cross && km_stage_is_editable(p))
        rc = km_stage_editable(p, err);
    return rc;
}

/* One build at a time in a folder. */
static int lock_folder(km_arena *a, const km_plan *p, km_err *err)
{
    const char *path = km_path_join(a, p->work_dir, "lock");
    int lock = path ? km_file_lock(path, false, NULL) : km_fail_nomem(err);

    if (lock >= 0 || !path)
        return lock;
    if (lock == KM_ETIME && !p->o.quiet)
        fprintf(stderr, "waiting for another kernmill that builds in '%s'\n", p->build_dir);
    return km_file_lock(path, true, err);
}

int km_build(const km_plan *p, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    int lock = lock_folder(&a, p, err);
    int rc = lock < 0 ? lock : build_locked(&a, p, err);

    if (lock >= 0)
        close(lock);
    km_arena_release(&a);
    return rc;
}
