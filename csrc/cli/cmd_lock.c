/* cli/cmd_lock.c: kernmill lock DIR: the commits and digests of the kernels that a project needs.
 */
#include "cli/net.h"

static const km_opt options[] = {
    KM_OPT_FLAG("check", 0, km_lock_fields, check, "write nothing; exit code 1 when it would"),
    KM_OPT_END,
};

extern const km_command km_cmd_lock;
const km_command km_cmd_lock = {
    .name = "lock",
    .help = "write kernels.lock, with the digests of every file, for a project's kernels",
    .args = "[DIR]",
    .more =
        "Reads [tool.kernels.dependencies] of DIR/pyproject.toml (\"owner/name\" = 1) and asks the "
        "hub\n"
        "for the commits, also of what these depend on. kernels.lock is the `kernels` client's;\n"
        "kernels.lock.digests.json beside it is what `get --lock` and `verify --lock` hold every\n"
        "file against. What the hub lists is believed, once; no publisher is checked.",
    .options = options,
    .fields_size = sizeof(km_lock_fields),
    .run = KM_NET_RUN(km_run_lock),
};
