#include <stdio.h>

#include "cli/net.h"
#include "net/http.h"

int km_run_net_version(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_common *common = fields;

    (void)args;
    if (km_check_args(arg_count, 0, 0, err) < 0)
        return KM_EUSAGE;
    if (common->json)
        return km_print_json(
            json_pack("{s:i,s:s}", "schema", KM_JSON_SCHEMA, "libraries", km_http_libraries()),
            err);
    puts(km_http_libraries());
    return 0;
}
