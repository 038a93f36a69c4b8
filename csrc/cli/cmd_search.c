/* cli/cmd_search.c: kernmill search [TEXT]: the kernels of a hub, and which fit a machine. */
#include "cli/net.h"
#include "cli/system_options.h"

static const km_opt options[] = {
    KM_OPT_INT("limit", 'n', "N", km_search_fields, limit, "at most so many kernels (default: 20)"),
    KM_OPT_TEXT("author", 0, "NAME", km_search_fields, author,
                "of this user or organisation alone"),
    KM_SYSTEM_OPTION_ROWS(km_search_fields),
    KM_OPT_END,
};

extern const km_command km_cmd_search;
const km_command km_cmd_search = {
    .name = "search",
    .help = "list the kernels of the Hub, and say which fit a machine",
    .args = "[TEXT]",
    .more = "TEXT is a part of the name; without one, all kernels. Beside each stands its newest "
            "version\n"
            "and the variant that the `kernels` client would load here (+), or the first reason "
            "why it\n"
            "loads none, or why that one does not work (-); '?' where the hub does not say. Only "
            "names\n"
            "and metadata.json are read: what is in the libraries, `kernmill explain` says after "
            "`kernmill\n"
            "get`. Without options the machine is this one, as for `kernmill explain`. Exit 1: no "
            "kernel\n"
            "has such a name.",
    .options = options,
    .fields_size = sizeof(km_search_fields),
    .run = KM_NET_RUN(km_run_search),
};
