/* pkg/home.h: where the program's own files are: the SDK headers, the templates, and the Python
 * that goes with it. An installed program finds them beside itself, one in a build folder finds
 * them in the source tree around it. */
#ifndef KERNMILL_PKG_HOME_H
#define KERNMILL_PKG_HOME_H

#include <stdbool.h>

#include "core/arena.h"
#include "core/err.h"

typedef struct {
    const char *program;                   /* kernmill, absolute; also when asked by kernmill-net */
    const char *net_program;               /* what it executes for commands with the network */
    const char *prefix;                    /* the folder above its bin/ */
    const char *include;                   /* holds kernmill/op.h */
    const char *templates;                 /* holds what `init` copies */
    const char *skills;                    /* a folder each, for `skill` */
    const char *bench_host, *bench_engine; /* what `bench` starts Python with */
    const char *profile_host;              /* what `profile` runs a script in */
    const char *python; /* the interpreter for tests: KERNMILL_PYTHON, the one beside the program,
                           the active virtual environment's, or python3 of PATH; NULL: none */
    const char *python_package; /* the folder that holds kernmill's own Python package, in a source
                                   tree; NULL when installed: Python finds it by itself */
    bool installed;             /* not in a source tree */
} km_home;

/* Errors: KM_EENV when the installation is incomplete. */
int km_home_find(km_arena *a, km_home *out, km_err *err);

#endif
