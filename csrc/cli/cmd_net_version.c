/* cli/cmd_net_version.c: kernmill net-version: the libraries that the network goes through, for
 * reports of bugs. */
#include "cli/net.h"

extern const km_command km_cmd_net_version;
const km_command km_cmd_net_version = {
    .name = "net-version",
    .help = "say which libraries the network goes through",
    .args = "",
    .fields_size = sizeof(km_common),
    .hidden = true,
    .run = KM_NET_RUN(km_run_net_version),
};
