/* The requests. What their answers mean stands in wire_read.c. */
#include "net/wire.h"

#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "formats/json.h"
#include "net/url.h"

static const char *const api_names[] = { "kernels", "models" };
static const char *const web_prefixes[] = { "kernels/", "" };

static char *keep(km_arena *a, km_str *s)
{
    char *text = s->failed ? NULL : km_arena_strdup(a, s->data);

    km_str_release(s);
    return text;
}

char *km_wire_api_url(const km_wire *w, km_arena *a, const km_repo *repo, const char *what,
                      const char *revision, const char *sub)
{
    km_str s = KM_STR_INIT;

    km_str_printf(&s, "%s/api/%s/%s", w->endpoint, api_names[repo->type], repo->id);
    if (what)
        km_str_printf(&s, "/%s", what);
    if (what && revision) {
        km_str_add_char(&s, '/');
        km_url_escape(&s, revision, false);
    }
    if (what && revision && sub) {
        km_str_add_char(&s, '/');
        km_url_escape(&s, sub, false);
    }
    return keep(a, &s);
}

char *km_wire_file_url(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                       const char *path)
{
    km_str s = KM_STR_INIT;

    km_str_printf(&s, "%s/%s%s/resolve/", w->endpoint, web_prefixes[repo->type], repo->id);
    km_url_escape(&s, revision, false);
    km_str_add_char(&s, '/');
    km_url_escape(&s, path, true);
    return keep(a, &s);
}

/* One answer, parsed. *next: the page that follows, in the arena, or NULL. */
static int get_json(const km_wire *w, km_arena *a, const char *url, json_t **out, const char **next,
                    km_err *err)
{
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    km_http_request request = { .url = url };
    int rc = url ? km_http_send(w->http, &request, &answer, err) : km_fail_nomem(err);

    *out = NULL;
    *next = NULL;
    if (rc == 0)
        rc = km_http_expect(&answer, 200, err);
    if (rc == 0)
        rc = km_json_parse(answer.body.data, answer.body.length, answer.url, out, err);
    if (rc == 0 && answer.next && !(*next = km_arena_strdup(a, answer.next)))
        rc = km_fail_nomem(err);
    km_http_answer_release(&answer);
    return rc;
}

char *km_wire_search_url(const km_wire *w, km_arena *a, const char *text, const char *author,
                         long per_page)
{
    km_str s = KM_STR_INIT;

    km_str_printf(&s, "%s/api/kernels?limit=%ld", w->endpoint, per_page);
    if (text) {
        km_str_add(&s, "&search=");
        km_url_escape(&s, text, false);
    }
    if (author) {
        km_str_add(&s, "&author=");
        km_url_escape(&s, author, false);
    }
    return keep(a, &s);
}

int km_wire_kernels(const km_wire *w, km_arena *a, const char *url, km_hub_kernels *out,
                    km_err *err)
{
    const char *next;
    json_t *doc = NULL;
    int rc = get_json(w, a, url, &doc, &next, err);

    if (rc == 0)
        rc = km_hub_kernels_read(a, doc, "the list of kernels", out, err);
    if (rc == 0)
        out->next = next;
    json_decref(doc);
    return rc;
}

int km_wire_info(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                 km_hub_info *out, km_err *err)
{
    const char *url = km_wire_api_url(w, a, repo, revision ? "revision" : NULL, revision, NULL);
    const char *next;
    json_t *doc = NULL;
    int rc = get_json(w, a, url, &doc, &next, err);

    if (rc == 0)
        rc = km_hub_info_read(a, doc, url, out, err);
    json_decref(doc);
    return rc;
}

int km_wire_refs(const km_wire *w, km_arena *a, const km_repo *repo, km_hub_refs *out, km_err *err)
{
    const char *url = km_wire_api_url(w, a, repo, "refs", NULL, NULL), *next;
    json_t *doc = NULL;
    int rc = get_json(w, a, url, &doc, &next, err);

    if (rc == 0)
        rc = km_hub_refs_read(a, doc, url, out, err);
    json_decref(doc);
    return rc;
}

int km_wire_tree(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                 const char *sub, bool recursive, km_hub_tree *out, km_err *err)
{
    const char *name = km_wire_api_url(w, a, repo, "tree", revision, sub), *next;
    json_t **pages = calloc(KM_HUB_PAGES_MAX, sizeof(json_t *));
    size_t count = 0;
    int rc = name && pages ? 0 : km_fail_nomem(err);

    next = rc == 0 ? km_arena_printf(a, "%s?recursive=%s&expand=false", name,
                                     recursive ? "true" : "false")
                   : NULL;
    while (rc == 0 && next) {
        if (count == KM_HUB_PAGES_MAX)
            rc = km_fail(err, KM_ELIMIT, "%s: more than %d pages", name, KM_HUB_PAGES_MAX);
        else
            rc = get_json(w, a, next, &pages[count], &next, err);
        count += rc == 0;
    }
    if (rc == 0)
        rc = km_hub_tree_read(a, pages, count, sub, name, out, err);
    for (size_t i = 0; i < count; i++)
        json_decref(pages[i]);
    free(pages);
    return rc;
}

int km_wire_resolve(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                    const char *path, km_hub_file *out, km_err *err)
{
    static const char *const headers[] = { "Accept-Encoding: identity", NULL };
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    km_http_request request = { .method = KM_HTTP_HEAD,
                                .url = km_wire_file_url(w, a, repo, revision, path),
                                .headers = headers,
                                .stay = true };
    int rc = request.url ? km_http_send(w->http, &request, &answer, err) : km_fail_nomem(err);

    if (rc == 0 && !answer.location)
        rc = km_http_expect(&answer, 200, err);
    if (rc == 0)
        rc = km_hub_file_read(a, &answer, out, err);
    km_http_answer_release(&answer);
    return rc;
}
