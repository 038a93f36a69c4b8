/* The table of commands: one row each, in the order in which one meets them. */
#include "cli/command.h"

extern const km_command km_cmd_init, km_cmd_check, km_cmd_plan, km_cmd_build, km_cmd_test,
    km_cmd_bench, km_cmd_compare, km_cmd_report, km_cmd_profile, km_cmd_pack, km_cmd_explain,
    km_cmd_search, km_cmd_publish, km_cmd_get, km_cmd_lock, km_cmd_verify, km_cmd_lab, km_cmd_skill,
    km_cmd_doctor, km_cmd_version, km_cmd_help, km_cmd_device_compile, km_cmd_probe,
    km_cmd_net_version;

const km_command *const km_commands[] = {
    &km_cmd_init,
    &km_cmd_check,
    &km_cmd_plan,
    &km_cmd_build,
    &km_cmd_test,
    &km_cmd_bench,
    &km_cmd_compare,
    &km_cmd_report,
    &km_cmd_profile,
    &km_cmd_pack,
    &km_cmd_explain,
    &km_cmd_search,
    &km_cmd_publish,
    &km_cmd_get,
    &km_cmd_lock,
    &km_cmd_verify,
    &km_cmd_lab,
    &km_cmd_skill,
    &km_cmd_doctor,
    &km_cmd_version,
    &km_cmd_help,
    &km_cmd_device_compile,
    &km_cmd_probe,
    &km_cmd_net_version,
    NULL,
};
