/* cli/cmd_version.c: kernmill version. */
#include <stdio.h>

#include <kernmill/version.h>

#include "cli/command.h"
#include "pkg/torch_symbols.h"

static const km_opt options[] = { KM_OPT_END };

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_common *common = fields;
    char oldest[16], newest[16];

    (void)args;
    snprintf(oldest, sizeof oldest, "2.%d", KM_TORCH_MINOR_OLDEST);
    snprintf(newest, sizeof newest, "2.%d", KM_TORCH_MINOR_NEWEST);
    if (km_check_args(arg_count, 0, 0, err) < 0)
        return KM_EUSAGE;
    if (common->json)
        return km_print_json(json_pack("{s:i,s:s,s:s,s:i,s:[s,s]}", "schema", KM_JSON_SCHEMA,
                                       "kernmill", KM_VERSION, "sdk", KM_SDK_VERSION, "json_schema",
                                       KM_JSON_SCHEMA, "torch", oldest, newest),
                             err);
    printf("kernmill %s (SDK %s, torch %s to %s)\n", KM_VERSION, KM_SDK_VERSION, oldest, newest);
    return 0;
}

extern const km_command km_cmd_version;
const km_command km_cmd_version = {
    .name = "version",
    .help = "print the versions of the program and of the SDK",
    .args = "",
    .options = options,
    .fields_size = sizeof(km_common),
    .run = run,
};
