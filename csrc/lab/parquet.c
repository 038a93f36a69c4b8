#include "lab/parquet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/proc.h"
#include "core/str.h"

/* What python/kernmill/parquet.py ends with when there is no pyarrow; and we, without it itself. */
enum { NO_PYARROW = 3, NO_PACKAGE = 4 };

/* The working folder, which -c puts before all others, may hold files that are called as modules.
 */
static const char program[] = "import sys\n"
                              "sys.path[:] = [p for p in sys.path if p]\n"
                              "try:\n"
                              "    from kernmill.parquet import main\n"
                              "except ImportError:\n"
                              "    sys.exit(4)\n"
                              "sys.exit(main())\n";

/* A folder may be replaced when it is ours, or empty. */
static int check_place(km_arena *a, const char *dir, km_err *err)
{
    km_names names = { NULL, 0 };

    if (!km_dir_exists(dir)) {
        if (access(dir, F_OK) == 0)
            return km_fail(err, KM_EUSAGE, "'%s' is no folder", dir);
        return 0;
    }
    if (km_dir_list(a, dir, &names, err) < 0)
        return err->code;
    for (size_t i = 0; i < names.count; i++) {
        if (km_ends_with(names.names[i], ".parquet"))
            continue;
        km_fail(err, KM_EUSAGE, "'%s' holds '%s', and would be replaced", dir, names.names[i]);
        return km_hint(err, "name a folder of its own");
    }
    return 0;
}

static int without_python(const km_parquet_python *p, int exit_code, km_err *err)
{
    if (!p->python) {
        km_fail(err, KM_EENV, "no Python interpreter is found, and Parquet is written by pyarrow");
        return km_hint(err, "name one in KERNMILL_PYTHON");
    }
    if (exit_code == NO_PACKAGE) {
        km_fail(err, KM_EENV, "'%s' does not find kernmill's Python package", p->python);
        return km_hint(err, "%s -m pip install kernmill, or name another in KERNMILL_PYTHON",
                       p->python);
    }
    km_fail(err, KM_EENV, "'%s' has no pyarrow, which writes Parquet", p->python);
    return km_hint(err, "%s -m pip install pyarrow, or name another in KERNMILL_PYTHON", p->python);
}

static int run_python(km_arena *a, const km_parquet_python *p, const char *store, const char *dir,
                      km_err *err)
{
    const char *old = getenv("PYTHONPATH");
    const char *path = km_arena_printf(a, "PYTHONPATH=%s%s%s", p->package ? p->package : "",
                                       p->package && old && *old ? ":" : "", old ? old : "");
    const char *const argv[] = { p->python, "-c", program, store, dir, NULL };
    const char *const env[] = { path, NULL };
    km_proc proc = { .argv = argv, .env = env };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int rc;

    if (!p->python)
        return without_python(p, 0, err);
    rc = path ? km_proc_run(&proc, &r, err) : km_fail_nomem(err);
    if (rc == 0 && (r.exit_code == NO_PYARROW || r.exit_code == NO_PACKAGE))
        rc = without_python(p, r.exit_code, err);
    else if (rc == 0 && r.exit_code)
        rc = km_fail(err, KM_ECHILD, "'%s' wrote no Parquet (exit code %d):\n%s", p->python,
                     r.exit_code, r.err.data);
    km_proc_result_release(&r);
    return rc;
}

/* `fresh` gets the name; what had it is removed. */
static int take_place(const char *fresh, const char *dir, km_err *err)
{
    if (km_dir_exists(dir) && renameat2(AT_FDCWD, fresh, AT_FDCWD, dir, RENAME_EXCHANGE) == 0)
        return km_dir_remove(fresh, err);
    if (km_dir_exists(dir) && km_dir_remove(dir, err) < 0) /* no exchange on this file system */
        return err->code;
    if (rename(fresh, dir) < 0)
        return km_fail_errno(err, errno, "unable to rename '%s' to '%s'", fresh, dir);
    return 0;
}

/* A slash at the end would make a file beside it one below. */
static char *without_slash(km_arena *a, const char *dir)
{
    char *out = km_arena_strdup(a, dir);

    for (size_t n = out ? strlen(out) : 0; n > 1 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
    return out;
}

int km_parquet_export(km_lab *lab, const km_parquet_python *p, const char *dir, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *to = without_slash(&a, dir);
    const char *fresh = to ? km_arena_printf(&a, "%s.tmp.%ld", to, (long)getpid()) : NULL;
    const char *copy = fresh ? km_arena_printf(&a, "%s/lab.db", fresh) : NULL;
    int rc = copy ? check_place(&a, to, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_dir_remove(fresh, err); /* of a process that was killed */
    if (rc == 0)
        rc = km_dir_make(fresh, err);
    if (rc == 0)
        rc = km_db_backup(&lab->db, copy, err);
    if (rc == 0)
        rc = run_python(&a, p, copy, fresh, err);
    if (rc == 0)
        rc = km_dir_remove(copy, err);
    if (rc == 0)
        rc = take_place(fresh, to, err);
    if (rc < 0 && fresh)
        km_dir_remove(fresh, NULL);
    km_arena_release(&a);
    return rc;
}
