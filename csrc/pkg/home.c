#include "pkg/home.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"

#define NET_PROGRAM "libexec/kernmill/kernmill-net"

static int find_program(km_arena *a, km_home *h, km_err *err)
{
    char *program;

    if (km_path_real(a, "/proc/self/exe", &program, err) < 0)
        return KM_EENV;
    h->prefix = km_path_dir(a, km_path_dir(a, program));
    if (h->prefix && km_ends_with(program, "/" NET_PROGRAM)) {
        h->prefix = km_path_dir(a, h->prefix);
        program = h->prefix ? km_path_join(a, h->prefix, "bin/kernmill") : NULL;
    }
    h->program = program;
    h->net_program = h->prefix ? km_path_join(a, h->prefix, NET_PROGRAM) : NULL;
    return h->program && h->net_program ? 0 : km_fail_nomem(err);
}

static bool has_sdk(km_arena *a, const char *include)
{
    const char *header = include ? km_path_join(a, include, "kernmill/op.h") : NULL;

    return header && km_file_exists(header);
}

/* The source tree that the program was built in, or NULL. */
static const char *find_source_tree(km_arena *a, const char *from)
{
    for (const char *dir = from; dir && strcmp(dir, "/") != 0; dir = km_path_dir(a, dir))
        if (has_sdk(a, km_path_join(a, dir, "csrc/sdk")))
            return dir;
    return NULL;
}

static const char *find_python(km_arena *a, const km_home *h)
{
    const char *asked = getenv("KERNMILL_PYTHON"), *venv = getenv("VIRTUAL_ENV"), *path;

    if (asked && *asked)
        return km_path_program(a, asked);
    path = km_path_join(a, h->prefix, "bin/python3");
    if (h->installed && path && access(path, X_OK) == 0)
        return path;
    path = venv ? km_path_join(a, venv, "bin/python3") : NULL;
    if (path && access(path, X_OK) == 0)
        return path;
    return km_path_program(a, "python3");
}

int km_home_find(km_arena *a, km_home *out, km_err *err)
{
    const char *tree;

    *out = (km_home){ 0 };
    if (find_program(a, out, err) < 0)
        return KM_EENV;
    out->include = km_path_join(a, out->prefix, "include");
    out->templates = km_path_join(a, out->prefix, "share/kernmill/templates");
    out->skills = km_path_join(a, out->prefix, "share/kernmill/skills");
    out->bench_host = km_path_join(a, out->prefix, "share/kernmill/bench_host.py");
    out->profile_host = km_path_join(a, out->prefix, "share/kernmill/profile_host.py");
    out->bench_engine = km_path_join(a, out->prefix, "lib/kernmill/libkernmill_bench.so");
    out->installed = has_sdk(a, out->include);
    tree = out->installed ? NULL : find_source_tree(a, out->prefix);
    if (tree) {
        out->include = km_path_join(a, tree, "csrc/sdk");
        out->templates = km_path_join(a, tree, "templates");
        out->skills = km_path_join(a, tree, "skills");
        out->bench_host = km_path_join(a, tree, "csrc/python/bench_host.py");
        out->profile_host = km_path_join(a, tree, "csrc/python/profile_host.py");
        out->python_package = km_path_join(a, tree, "python");
    }
    if (!out->installed && !tree) {
        km_fail(err, KM_EENV, "the SDK headers are not beside '%s'", out->program);
        km_hint(err, "install the program whole (pip install ., or cmake --install BUILD --prefix "
                     "DIR), or build below the source tree");
        return KM_EENV;
    }
    out->python = find_python(a, out);
    return out->include && out->templates && out->skills ? 0 : km_fail_nomem(err);
}
