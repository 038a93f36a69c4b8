#include "pkg/build.h"

#include <stdio.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/proc.h"
#include "formats/cubin.h"
#include "pkg/generate.h"
#include "pkg/ninja.h"
#include "pkg/stage.h"

static int run_ninja(km_arena *a, const km_plan *p, const char *file, km_err *err)
{
    const char *argv[12], *env[] = { "NINJA_STATUS=[%f/%t] ", NULL };
    km_proc proc = { .argv = argv, .env = env, .cwd = p->m->dir, .share_output = !p->o.quiet };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int n = 0, rc;

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

static int write_compile_commands(km_arena *a, const km_plan *p, const char *file, km_err *err)
{
    const char *const argv[] = { "ninja", "-f", file, "-t", "compdb", "cc", NULL };
    const char *path = km_path_join(a, p->build_dir, "compile_commands.json");
    km_proc proc = { .argv = argv, .cwd = p->m->dir };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int rc = path ? km_proc_check(&proc, &r, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_file_update(path, r.out.data, r.out.length, 0666, err);
    km_proc_result_release(&r);
    return rc;
}

/* The entry points of the plan's device files, by the first machine-code image of each. */
static int count_entries(km_arena *a, const km_plan *p, size_t *total, km_err *err)
{
    *total = 0;
    for (size_t i = 0; i < p->device_count; i++) {
        const km_plan_device *d = &p->devices[i];
        size_t j = 0, size, count;
        char name[8], *data;
        const char *path;
        while (j < d->archs.count && !d->archs.items[j].cubin)
            j++;
        if (j == d->archs.count)
            continue;
        km_arch_name(&d->archs.items[j], name);
        path = km_arena_printf(a, "%s/image/%s.%s.cubin", p->work_dir, d->stem, name);
        if (!path || km_file_read(a, path, KM_FILE_BYTES_MAX, &data, &size, err) < 0 ||
            km_cubin_count_entries(data, size, path, &count, err) < 0)
            return err ? err->code : KM_EIO;
        *total += count;
    }
    return 0;
}

/* Every entry point costs load time and size on each architecture: card.toml says how many there
 * may be. */
static int check_budget(km_arena *a, const km_plan *p, km_err *err)
{
    int64_t budget = p->m->card.entry_points;
    size_t count;

    if (!budget)
        return 0;
    if (count_entries(a, p, &count, err) < 0)
        return err ? err->code : KM_EIO;
    if (count <= (size_t)budget)
        return 0;
    km_fail(err, KM_EFORMAT, "the library has %zu entry points; card.toml allows %lld", count,
            (long long)budget);
    return km_hint(err, "merge kernels, or raise 'entry-points' in card.toml");
}

static int build_locked(km_arena *a, const km_plan *p, km_err *err)
{
    const char *file = km_path_join(a, p->work_dir, "build.ninja");
    int rc = file ? km_generate_sources(p, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_ninja_write(p, err);
    if (rc == 0)
        rc = run_ninja(a, p, file, err);
    if (rc == 0)
        rc = check_budget(a, p, err);
    if (rc == 0)
        rc = write_compile_commands(a, p, file, err);
    if (rc == 0)
        rc = km_stage(p, err);
    return rc;
}

int km_build(const km_plan *p, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *path = km_path_join(&a, p->work_dir, "lock");
    int lock = path ? km_file_lock(path, err) : km_fail_nomem(err);
    int rc = lock < 0 ? lock : build_locked(&a, p, err);

    if (lock >= 0)
        close(lock);
    km_arena_release(&a);
    return rc;
}
