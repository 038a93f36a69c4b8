/* cli/build_options.h: the options that every command which builds takes, and how it starts: read
 * the manifest, make the plan, build. */
#ifndef KERNMILL_CLI_BUILD_OPTIONS_H
#define KERNMILL_CLI_BUILD_OPTIONS_H

#include "cli/command.h"
#include "pkg/manifest.h"
#include "pkg/plan.h"

typedef struct {
    km_common common;
    const char *archs, *compiler, *build_dir, *hosts;
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

/* Of commands that write files and run none of them. */
#define KM_HOST_OPTION_ROW(type)                                                                   \
    KM_OPT_TEXT("host", 0, "LIST", type, build.hosts,                                              \
                "processors: x86_64, aarch64, or both; another than this one's by zig")

/* A kernel, and a plan for each processor that was asked for. */
typedef struct {
    km_manifest m;
    km_plan plans[KM_HOSTS_MAX];
    size_t count;
} km_cli_built;

/* Reads `path` (NULL: the working folder), plans and builds. The caller releases in every case. */
int km_cli_build(km_cli_built *b, const km_build_fields *f, const char *path, km_err *err);

void km_cli_built_release(km_cli_built *b);

/* What was built, for --json: the first plan, and "others" where there are more. */
json_t *km_cli_describe(const km_cli_built *b);

#endif
