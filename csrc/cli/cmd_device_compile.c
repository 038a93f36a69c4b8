/* cli/cmd_device_compile.c: kernmill device-compile: one .cu file to one image, as build.ninja asks
 * for it. Plumbing: its options may change. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "core/str.h"
#include "pkg/device.h"

typedef struct {
    km_common common;
    const char *arch, *output, *depfile;
    bool debug, nvcc;
} device_fields;

static const km_opt options[] = {
    KM_OPT_TEXT("arch", 'a', "ARCH", device_fields, arch, "one architecture: 90a, or 75ptx"),
    KM_OPT_TEXT("output", 'o', "FILE", device_fields, output, "the image to write"),
    KM_OPT_TEXT("depfile", 'M', "FILE", device_fields, depfile, "a dependency file for Ninja"),
    KM_OPT_FLAG("debug", 'g', device_fields, debug, "add line information"),
    KM_OPT_FLAG("nvcc", 0, device_fields, nvcc, "use nvcc instead of NVRTC"),
    KM_OPT_END,
};

/* The repeatable options come as arguments: -Ifolder, --flag=flag. */
static void sort_args(const char **args, size_t count, const char **dirs, const char **flags,
                      const char **source)
{
    size_t d = 0, n = 0;

    for (size_t i = 0; i < count; i++) {
        if (km_starts_with(args[i], "-I"))
            dirs[d++] = args[i] + 2;
        else if (km_starts_with(args[i], "--flag="))
            flags[n++] = args[i] + strlen("--flag=");
        else
            *source = args[i];
    }
}

static int compile(device_fields *f, const char **args, size_t arg_count, const char **lists,
                   km_err *err)
{
    const char **dirs = lists, **flags = lists + arg_count + 1, *source = NULL;
    km_device_job job = {
        .output = f->output, .depfile = f->depfile, .line_info = f->debug, .use_nvcc = f->nvcc
    };
    km_arena a = KM_ARENA_INIT;
    km_toolkit toolkit;
    km_archs archs;
    km_home home;
    bool cached;
    int rc;

    sort_args(args, arg_count, dirs, flags, &source);
    if (!source || !f->arch || !f->output)
        return km_fail(err, KM_EUSAGE, "a source, --arch and --output are needed");
    rc = km_archs_parse(f->arch, &archs, err);
    if (rc == 0 && (archs.count != 1 || archs.items[0].cubin == archs.items[0].ptx))
        rc = km_fail(err, KM_EUSAGE, "'%s' is not one image", f->arch);
    if (rc == 0)
        rc = km_home_find(&a, &home, err);
    if (rc == 0) {
        job.source = source;
        job.arch = archs.items[0];
        job.dirs = dirs;
        job.flags = flags;
        km_toolkit_find(&a, &home, &toolkit);
        rc = km_toolkit_check(&toolkit, f->nvcc, err);
    }
    if (rc == 0)
        rc = km_device_compile(&toolkit, &job, &cached, err);
    km_arena_release(&a);
    return rc;
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const char **lists = calloc(2 * (arg_count + 1), sizeof *lists);
    int rc = lists ? compile(fields, args, arg_count, lists, err) : km_fail_nomem(err);

    free(lists);
    return rc;
}

extern const km_command km_cmd_device_compile;
const km_command km_cmd_device_compile = {
    .name = "device-compile",
    .help = "compile one device file to one image",
    .args = "SOURCE [-IDIR] [--flag=FLAG]",
    .options = options,
    .fields_size = sizeof(device_fields),
    .hidden = true,
    .run = run,
};
