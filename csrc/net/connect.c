/* The half of net/endpoint.h that needs the network. */
#include <string.h>

#include "core/arena.h"
#include "net/endpoint.h"

int km_endpoint_connect(const km_endpoint *e, const char *user_agent, km_http_progress *progress,
                        void *progress_context, km_http **out, km_err *err)
{
    const char *libraries = km_http_libraries();
    km_arena a = KM_ARENA_INIT;
    km_http_options o = { .hub = e->url,
                          .token = e->token,
                          .offline = e->offline,
                          .progress = progress,
                          .progress_context = progress_context };
    int rc;

    o.user_agent = km_arena_printf(&a, "%s; %.*s", user_agent, (int)strcspn(libraries, " "),
                                   libraries);
    rc = o.user_agent ? km_http_new(out, &o, err) : km_fail_nomem(err);
    km_arena_release(&a);
    return rc;
}
