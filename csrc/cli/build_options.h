/* cli/build_options.h: the options that every command which builds takes, and how it starts: read
 * the manifest, make the plan, build. */
#ifndef KERNMILL_CLI_BUILD_OPTIONS_H
#define KERNMILL_CLI_BUILD_OPTIONS_H

#include "cli/command.h"
#include "pkg/manifest.h"
#include "pkg/plan.h"

typedef struct {
    km_common common;
    const char *archs, *compiler, *build_dir;
    long jobs;
    bool cpu_only, debug, verbose;
} km_build_fields;

#define KM_BUILD_OPTION_ROWS(type)                                                                 \
    KM_OPT_TEXT("arch", 'a', "LIST", type, build.archs,                                            \
                "GPU architectures, for example 80,90a,75+PTX"),                                   \
        KM_OPT_FLAG("cpu", 0, type, build.cpu_only,                                                \
                    "build no CUDA flavor; one built before goes"),                                \
        KM_OPT_INT("jobs", 'j', "N", type, build.jobs, "how many compilers at once"),              \
        KM_OPT_FLAG("debug", 'g', type, build.debug, "add line information, optimise less"),       \
        KM_OPT_TEXT("compiler", 0, "NAME", type, build.compiler,                                   \
                    "device compiler: nvrtc (default) or nvcc"),                                   \
        KM_OPT_TEXT("build-dir", 0, "DIR", type, build.build_dir,                                  \
                    "where to build instead of REPOSITORY/build"),                                 \
        KM_OPT_FLAG("verbose", 'v', type, build.verbose, "print every command")

/* Reads `path` (NULL: the working folder), plans and builds. On success the caller releases both;
 * on error both are released. */
int km_cli_build(const km_build_fields *f, const char *path, km_manifest *m, km_plan *p,
                 km_err *err);

/* What was built, for --json. */
json_t *km_cli_describe(const km_plan *p);

#endif
