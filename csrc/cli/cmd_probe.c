/* cli/cmd_probe.c: kernmill probe: loads a library and prints what it registers, for the build.
 * Plumbing: its output may change. */
#include "cli/command.h"
#include "pkg/probe.h"

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    (void)fields;
    if (km_check_args(arg_count, 1, 1, err) < 0)
        return KM_EUSAGE;
    return km_probe_load(args[0], err);
}

extern const km_command km_cmd_probe;
const km_command km_cmd_probe = {
    .name = "probe",
    .help = "load a library beside stand-ins for torch, and print what it registers",
    .args = "LIBRARY",
    .fields_size = sizeof(km_common),
    .hidden = true,
    .run = run,
};
