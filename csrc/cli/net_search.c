#include <stdio.h>
#include <string.h>

#include "cli/net.h"
#include "cli/system_options.h"
#include "cli/wrap.h"
#include "core/limits.h"
#include "hub/search.h"

#define LIMIT        20
#define NAME_COLUMNS 28

/* What has come so far. */
struct listing {
    km_arena *a;
    km_system system;
    json_t *kernels; /* NULL: text is printed as it comes */
    size_t count, unknown;
};

static int add_json(struct listing *l, const km_search_hit *h, km_err *err)
{
    static const char *const verdicts[] = { "fits", "does not fit", "unknown" };
    json_t *row = json_pack("{s:s,s:s?,s:s?,s:b,s:s,s:s?,s:I,s:s?}", "repository", h->id,
                            "revision", h->revision, "commit", *h->commit ? h->commit : NULL,
                            "trusted", h->trusted, "verdict", verdicts[h->verdict], "variant",
                            h->variant, "variants", (json_int_t)h->variant_count, "reason",
                            h->reason);

    return json_array_append_new(l->kernels, row) == 0 ? 0 : km_fail_nomem(err);
}

/* A name that does not fit into its column has a line of its own. */
static int print_row(struct listing *l, const km_search_hit *h, km_err *err)
{
    static const char marks[] = { '+', '-', '?' };
    const char *name = h->id;
    const char *mark, *text;

    if (strlen(name) > NAME_COLUMNS) {
        puts(name);
        name = "";
    }
    mark = km_arena_printf(l->a, "%-*s  %-4s  %c ", NAME_COLUMNS, name,
                           h->revision ? h->revision : "", marks[h->verdict]);
    if (h->variant && h->reason)
        text = km_arena_printf(l->a, "%s: %s", h->variant, h->reason);
    else
        text = h->variant ? h->variant : h->reason;
    if (!mark || !text)
        return km_fail_nomem(err);
    km_print_wrapped(mark, text);
    fflush(stdout);
    return 0;
}

static int found(void *context, const km_search_hit *hit, km_err *err)
{
    struct listing *l = context;

    if (!l->kernels && !l->count)
        km_print_wrapped("on ", km_system_text(l->a, &l->system));
    l->count++;
    l->unknown += hit->verdict == KM_HIT_UNKNOWN;
    return l->kernels ? add_json(l, hit, err) : print_row(l, hit, err);
}

static int make_request(const km_search_fields *f, const char *text, km_search_request *out,
                        km_err *err)
{
    *out = (km_search_request){ text, f->author, f->limit ? f->limit : LIMIT };
    if (out->limit < 1 || out->limit > KM_SEARCH_KERNELS_MAX)
        return km_fail(err, KM_EUSAGE, "--limit takes a number from 1 to %d",
                       KM_SEARCH_KERNELS_MAX);
    return 0;
}

static int print_end(const struct listing *l, km_search_fields *f, const km_search_request *q,
                     bool more, km_err *err)
{
    if (l->kernels)
        return km_print_json(json_pack("{s:i,s:s?,s:s?,s:o,s:b,s:O}", "schema", KM_JSON_SCHEMA,
                                       "text", q->text, "author", q->author, "system",
                                       km_cli_system_json(l->a, &l->system), "more", more,
                                       "kernels", l->kernels),
                             err);
    if (!l->count)
        km_term_note(&f->common.term, "the hub has no kernel of that name");
    if (more)
        km_term_note(&f->common.term, "there are more: --limit %ld shows them", 5 * q->limit);
    return 0;
}

static int search(km_arena *a, km_search_fields *f, const km_search_request *q, struct listing *l,
                  km_err *err)
{
    km_endpoint endpoint;
    km_http *http = NULL;
    bool more = false;
    int rc = km_cli_system(&f->system, &l->system, err);

    if (rc == 0)
        rc = km_endpoint_find(a, &endpoint, err);
    if (rc == 0)
        rc = km_endpoint_connect(&endpoint, "kernmill/" KM_VERSION, NULL, NULL, &http, err);
    if (rc == 0)
        rc = km_search(a, &endpoint, http, q, &l->system, found, l, &more, err);
    if (rc == 0)
        rc = print_end(l, f, q, more, err);
    km_http_free(http);
    return rc;
}

/* The rows stand as they are, so that this is no error of its own. */
static int exit_code(const struct listing *l, km_term *term)
{
    if (l->unknown)
        km_term_note(term, "the hub did not say what %zu of %zu kernels are", l->unknown, l->count);
    if (l->unknown)
        return KM_EXIT_IO;
    return l->count ? KM_EXIT_OK : KM_EXIT_NO;
}

int km_run_search(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_search_fields *f = fields;
    km_arena a = KM_ARENA_INIT;
    struct listing l = { .a = &a, .kernels = f->common.json ? json_array() : NULL };
    km_search_request request;
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = make_request(f, arg_count ? args[0] : NULL, &request, err);
    if (rc == 0)
        rc = search(&a, f, &request, &l, err);
    if (rc == 0)
        rc = exit_code(&l, &f->common.term);
    json_decref(l.kernels);
    km_arena_release(&a);
    return rc;
}
