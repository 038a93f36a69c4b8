#include "hub/search.h"

#include <string.h>

#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "hub/choose.h"
#include "pkg/explain.h"

#define METADATA_BYTES_MAX (4u << 20)

/* One kernel of the page at hand. */
typedef struct {
    km_search_hit hit;
    km_repo repo;
    bool settled; /* the verdict stands */
    const char *url;
    json_t *pages[KM_HUB_PAGES_MAX / 100]; /* of the list of build/ */
    size_t page_count;
    km_explanation explanation;
    km_http_transfer transfer;
} item;

struct search {
    km_arena *list; /* the caller's: what lives as long as the search */
    km_arena page;  /* what a page's answers are made into */
    km_wire wire;
    const km_system *system;
    item items[KM_SEARCH_PAGE];
    size_t count, next;
    /* of this batch: reads an answer into its item; what it means that there is nothing, or NULL */
    int (*read)(struct search *s, item *i, const km_http_answer *answer, km_err *err);
    int (*missing)(struct search *s, item *i, km_err *err);
};

/* ---- verdicts ---- */

static int settle(struct search *s, item *i, km_hit_verdict verdict, const char *reason,
                  km_err *err)
{
    i->hit.verdict = verdict;
    i->hit.reason = reason ? km_arena_strdup(&s->page, reason) : NULL;
    i->settled = true;
    return i->hit.reason || !reason ? 0 : km_fail_nomem(err);
}

/* What the hub refuses is an answer; what it cannot say is none. */
static int settle_refusal(struct search *s, item *i, const km_err *why, km_err *err)
{
    bool refused = why->code == KM_ENOENT || why->code == KM_EENV;

    if (why->code == KM_ENOMEM)
        return km_fail_nomem(err);
    return settle(s, i, refused ? KM_HIT_DOES_NOT : KM_HIT_UNKNOWN, why->message, err);
}

static int settle_choice(struct search *s, item *i, km_err *err)
{
    const km_explanation *e = &i->explanation;
    const km_choice *c = e->count ? &e->choices[0] : NULL;
    const km_candidate *nearest;
    const char *obstacle;

    if (!c)
        return settle(s, i, KM_HIT_DOES_NOT, "it has no built variants", err);
    nearest = c->chosen ? c->chosen : c->fix_of ? c->fix_of : &c->items[0];
    obstacle = km_candidate_obstacle(nearest);
    i->hit.variant_count = c->count;
    if (c->chosen) {
        i->hit.variant = km_arena_strdup(&s->page, c->chosen->name);
        if (!i->hit.variant)
            return km_fail_nomem(err);
        return c->fits ? settle(s, i, KM_HIT_FITS, NULL, err)
                       : settle(s, i, KM_HIT_DOES_NOT, obstacle, err);
    }
    return settle(s, i, KM_HIT_DOES_NOT,
                  km_arena_printf(&s->page, "none of %zu variants; %s: %s", c->count, nearest->name,
                                  obstacle ? obstacle : "is not accepted"),
                  err);
}

/* ---- batches ---- */

static km_http_transfer *next(void *context, km_err *err)
{
    struct search *s = context;

    (void)err;
    while (s->next < s->count) {
        item *i = &s->items[s->next++];
        if (i->settled || !i->url)
            continue;
        i->transfer = (km_http_transfer){ .request = { .url = i->url,
                                                       .answer_bytes_max = METADATA_BYTES_MAX },
                                          .answer = KM_HTTP_ANSWER_INIT,
                                          .user = i };
        return &i->transfer;
    }
    return NULL;
}

static int done(void *context, km_http_transfer *t, km_err *err)
{
    struct search *s = context;
    item *i = t->user;
    km_err why = t->err;
    int rc = why.code;

    i->url = NULL;
    if (rc == 0)
        rc = km_http_expect(&t->answer, 200, &why);
    if (rc == 0)
        rc = s->read(s, i, &t->answer, &why);
    if (rc == KM_ENOENT && s->missing)
        rc = s->missing(s, i, err);
    else if (rc < 0)
        rc = settle_refusal(s, i, &why, err);
    km_http_answer_release(&t->answer);
    return rc;
}

/* Asks for the url of every item that has one, and of those that get another by its answer. */
static int ask(struct search *s,
               int (*read)(struct search *, item *, const km_http_answer *, km_err *),
               int (*missing)(struct search *, item *, km_err *), km_err *err)
{
    const km_http_batch batch = { s, next, done };
    bool again = true;
    int rc = 0;

    s->read = read;
    s->missing = missing;
    while (rc == 0 && again) {
        s->next = 0;
        rc = km_http_run(s->wire.http, &batch, err);
        again = false;
        for (size_t i = 0; i < s->count; i++)
            again |= s->items[i].url && !s->items[i].settled;
    }
    return rc;
}

/* ---- what is asked, in turn ---- */

static int read_refs(struct search *s, item *i, const km_http_answer *answer, km_err *err)
{
    json_t *doc = NULL;
    km_hub_refs refs;
    const char *commit;
    int rc = km_json_parse(answer->body.data, answer->body.length, answer->url, &doc, err);

    if (rc == 0)
        rc = km_hub_refs_read(&s->page, doc, answer->url, &refs, err);
    json_decref(doc);
    if (rc < 0)
        return rc;
    i->hit.revision = km_choose_version(&refs);
    commit = km_hub_refs_find(&refs, i->hit.revision);
    if (!commit)
        return km_fail(err, KM_ENOENT, "it has no version, and no branch 'main'");
    memcpy(i->hit.commit, commit, KM_OID_HEX_BYTES);
    return 0;
}

static int read_folders(struct search *s, item *i, const km_http_answer *answer, km_err *err)
{
    json_t *doc = NULL;
    int rc = km_json_parse(answer->body.data, answer->body.length, answer->url, &doc, err);

    if (rc < 0)
        return rc;
    if (i->page_count == sizeof i->pages / sizeof *i->pages) {
        json_decref(doc);
        return km_fail(err, KM_ELIMIT, "build/ has more entries than any kernel needs");
    }
    i->pages[i->page_count++] = doc;
    i->url = answer->next ? km_arena_strdup(&s->page, answer->next) : NULL;
    return answer->next && !i->url ? km_fail_nomem(err) : 0;
}

static int no_folders(struct search *s, item *i, km_err *err)
{
    return settle(s, i, KM_HIT_DOES_NOT, "it has no built variants", err);
}

/* The names choose. */
static int judge_names(struct search *s, item *i, km_err *err)
{
    km_err why = KM_ERR_INIT;
    const char **names;
    km_hub_tree tree;
    size_t count = 0;
    int rc = km_hub_tree_read(&s->page, i->pages, i->page_count, "build", i->hit.id, &tree, &why);

    if (rc < 0)
        return settle_refusal(s, i, &why, err);
    names = km_arena_array(&s->page, tree.count + 1, sizeof *names);
    if (!names)
        return km_fail_nomem(err);
    for (size_t k = 0; k < tree.count; k++)
        if (tree.entries[k].is_folder)
            names[count++] = km_path_base(tree.entries[k].path);
    rc = km_explain_names(&i->explanation, i->hit.id, names, count, s->system, &why);
    if (rc < 0)
        return settle_refusal(s, i, &why, err);
    if (!i->explanation.count || !i->explanation.choices[0].chosen)
        return settle_choice(s, i, err);
    return 0;
}

static int read_metadata(struct search *s, item *i, const km_http_answer *answer, km_err *err)
{
    int rc = km_explain_metadata(&i->explanation, answer->body.data, answer->body.length, s->system,
                                 err);

    return rc == 0 ? settle_choice(s, i, err) : rc;
}

static int no_metadata(struct search *s, item *i, km_err *err)
{
    i->hit.variant = km_arena_strdup(&s->page, i->explanation.choices[0].chosen->name);
    i->hit.variant_count = i->explanation.choices[0].count;
    if (!i->hit.variant)
        return km_fail_nomem(err);
    return settle(s, i, KM_HIT_DOES_NOT, "it has no metadata.json, which the client needs", err);
}

/* ---- a page ---- */

static int set_urls(struct search *s, int step, km_err *err)
{
    for (size_t k = 0; k < s->count; k++) {
        item *i = &s->items[k];
        const char *path;
        if (i->settled)
            continue;
        if (step == 0)
            i->url = km_wire_api_url(&s->wire, &s->page, &i->repo, "refs", NULL, NULL);
        if (step == 1)
            i->url = km_wire_api_url(&s->wire, &s->page, &i->repo, "tree", i->hit.commit, "build");
        if (step == 2) {
            path = km_arena_printf(&s->page, "build/%s/metadata.json",
                                   i->explanation.choices[0].chosen->name);
            i->url = path ? km_wire_file_url(&s->wire, &s->page, &i->repo, i->hit.commit, path)
                          : NULL;
        }
        if (!i->url)
            return km_fail_nomem(err);
    }
    return 0;
}

static int judge_page(struct search *s, km_err *err)
{
    int rc = set_urls(s, 0, err);

    if (rc == 0)
        rc = ask(s, read_refs, NULL, err);
    if (rc == 0)
        rc = set_urls(s, 1, err);
    if (rc == 0)
        rc = ask(s, read_folders, no_folders, err);
    for (size_t k = 0; rc == 0 && k < s->count; k++)
        if (!s->items[k].settled)
            rc = judge_names(s, &s->items[k], err);
    if (rc == 0)
        rc = set_urls(s, 2, err);
    if (rc == 0)
        rc = ask(s, read_metadata, no_metadata, err);
    return rc;
}

static void clear_page(struct search *s)
{
    for (size_t k = 0; k < s->count; k++) {
        item *i = &s->items[k];
        for (size_t n = 0; n < i->page_count; n++)
            json_decref(i->pages[n]);
        km_http_answer_release(&i->transfer.answer);
        km_explanation_release(&i->explanation);
    }
    s->count = 0;
    km_arena_release(&s->page);
}

/* Of what is listed, as many as are asked about together. */
static int do_page(struct search *s, const km_hub_kernel *kernels, size_t count,
                   km_search_found *found, void *context, km_err *err)
{
    int rc;

    s->count = count;
    for (size_t k = 0; k < count; k++)
        s->items[k] = (item){ .hit = { .id = kernels[k].id, .trusted = kernels[k].trusted },
                              .repo = { KM_REPO_KERNEL, kernels[k].id },
                              .transfer = { .answer = KM_HTTP_ANSWER_INIT } };
    rc = judge_page(s, err);
    for (size_t k = 0; rc == 0 && k < count; k++)
        rc = found(context, &s->items[k].hit, err);
    clear_page(s);
    return rc;
}

/* ---- the list ---- */

static int do_list(struct search *s, const char *url, long limit, km_search_found *found,
                   void *context, bool *more, km_err *err)
{
    km_hub_kernels page;
    size_t pages = 0;
    int rc = 0;

    *more = false;
    while (rc == 0 && url) {
        if (pages++ == KM_HUB_PAGES_MAX)
            return km_fail(err, KM_ELIMIT, "the list of kernels has more than %d pages",
                           KM_HUB_PAGES_MAX);
        rc = km_wire_kernels(&s->wire, s->list, url, &page, err);
        for (size_t at = 0; rc == 0 && at < page.count && limit > 0;) {
            size_t n = page.count - at < KM_SEARCH_PAGE ? page.count - at : KM_SEARCH_PAGE;
            n = (long)n < limit ? n : (size_t)limit;
            rc = do_page(s, &page.items[at], n, found, context, err);
            at += n;
            limit -= (long)n;
            *more = limit == 0 && (at < page.count || page.next);
        }
        url = rc == 0 && limit > 0 ? page.next : NULL;
    }
    return rc;
}

int km_search(km_arena *a, const km_endpoint *e, km_http *http, const km_search_request *request,
              const km_system *system, km_search_found *found, void *context, bool *more,
              km_err *err)
{
    struct search *s = km_arena_alloc(a, sizeof *s);
    const char *url;

    if (!s)
        return km_fail_nomem(err);
    *s = (struct search){ .list = a, .wire = { http, e->url }, .system = system };
    if (e->offline) {
        km_fail(err, KM_EENV, "HF_HUB_OFFLINE is set, and what a hub has only the hub can say");
        return km_hint(err, "unset HF_HUB_OFFLINE; of what was got, 'kernmill explain' says what "
                            "fits");
    }
    url = km_wire_search_url(&s->wire, a, request->text, request->author,
                             request->limit < KM_SEARCH_PAGE ? request->limit : KM_SEARCH_PAGE);
    if (!url)
        return km_fail_nomem(err);
    return do_list(s, url, request->limit, found, context, more, err);
}
