#include "bench/packages.h"

#include <string.h>

#include "core/proc.h"

/* Runs a script, which prints a line for each of the `count` words it is given and `first`, which
 * it knows; an empty line is NULL. */
static int ask(km_arena *a, const char *python, const char *script, const char *const *words,
               size_t count, size_t first, const char **answers, km_err *err)
{
    const char **argv = km_arena_array(a, count + 4, sizeof *argv);
    km_proc p = { .argv = argv, .timeout_ms = 60000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    const char *line;
    int rc;

    if (!argv)
        return km_fail_nomem(err);
    argv[0] = python;
    argv[1] = "-c";
    argv[2] = script;
    for (size_t i = 0; i < count; i++)
        argv[3 + i] = words[i];
    rc = km_proc_check(&p, &r, err);
    line = r.out.data;
    for (size_t i = 0; rc == 0 && i < count + first; i++) {
        size_t n = strcspn(line, "\n");
        answers[i] = n ? km_arena_strndup(a, line, n) : NULL;
        line += n + (line[n] == '\n');
    }
    km_proc_result_release(&r);
    return rc;
}

int km_packages_find(km_arena *a, const char *python, const char *const *names, size_t count,
                     const char **folders, km_err *err)
{
    static const char script[] =
        "import importlib.util, sys\n"
        "def folder(name):\n"
        "    try: spec = importlib.util.find_spec(name)\n"
        "    except (ImportError, ValueError): return ''\n"
        "    return next(iter(spec.submodule_search_locations or []), '') if spec else ''\n"
        "for name in ['torch', *sys.argv[1:]]: print(folder(name))\n";

    if (ask(a, python, script, names, count, 1, folders, err) < 0)
        return err->code;
    if (folders[0])
        return 0;
    km_fail(err, KM_EENV, "'%s' has no torch", python);
    return km_hint(err, "pip install 'torch>=2.10', or name another Python in KERNMILL_PYTHON");
}

int km_packages_versions(km_arena *a, const char *python, const char *const *names, size_t count,
                         const char **versions, km_err *err)
{
    static const char script[] = "import sys\n"
                                 "from importlib.metadata import PackageNotFoundError, version\n"
                                 "for name in sys.argv[1:]:\n"
                                 "    try: print(version(name))\n"
                                 "    except PackageNotFoundError: print()\n";

    return ask(a, python, script, names, count, 0, versions, err);
}
