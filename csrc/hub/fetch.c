#include "hub/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/str.h"

typedef enum { PENDING, BUSY, FLYING, HERE } item_state;

/* A content that one or more of the files have. */
typedef struct {
    const km_hub_entry *entry;
    item_state state;
    bool again; /* was wrong once, after going on from an earlier run */
    uint64_t began_bytes;
    km_cache_blob blob;
    km_http_file file;
    km_http_transfer transfer;
} item;

struct fetch {
    const km_wire *w;
    const km_cache *c;
    const km_repo *repo;
    const char *commit;
    item *items;
    size_t count, next;
    uint64_t downloaded_bytes;
};

/* The download is over, by now or by an earlier run: is it what was announced? */
static int settle(item *i, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc = km_cache_blob_finish(&i->blob, &why);

    km_cache_blob_release(&i->blob);
    if (rc == KM_EFORMAT && i->began_bytes && !i->again) { /* the first half may be to blame */
        i->again = true;
        i->state = PENDING;
        return 0;
    }
    if (rc < 0) {
        km_fail(err, rc, "'%s': %s", i->entry->path, why.message);
        return *why.hint ? km_hint(err, "%s", why.hint) : rc;
    }
    i->state = HERE;
    return 0;
}

/* 1: it is to be asked for; 0: not now; negative: failed. */
static int begin(struct fetch *f, item *i, bool wait, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc = km_cache_blob_begin(f->c, km_hub_entry_etag(i->entry), i->entry->size_bytes, wait,
                                 &i->blob, &why);

    if (rc == KM_ETIME && !wait) {
        i->state = BUSY;
        return 0;
    }
    if (rc < 0) {
        if (err)
            *err = why;
        return rc;
    }
    if (i->blob.fd < 0) {
        km_cache_blob_release(&i->blob);
        i->state = HERE;
        return 0;
    }
    i->began_bytes = i->blob.have_bytes;
    if (i->blob.have_bytes == i->entry->size_bytes)
        return settle(i, err);
    i->file = (km_http_file){ i->blob.fd, i->blob.have_bytes, i->entry->size_bytes };
    i->transfer = (km_http_transfer){
        .request = { .url = km_wire_file_url(f->w, f->c->arena, f->repo, f->commit, i->entry->path),
                     .file = &i->file },
        .answer = KM_HTTP_ANSWER_INIT,
        .user = i,
    };
    i->state = FLYING;
    return i->transfer.request.url ? 1 : km_fail_nomem(err);
}

static km_http_transfer *next(void *context, km_err *err)
{
    struct fetch *f = context;

    while (f->next < f->count) {
        item *i = &f->items[f->next++];
        int rc = i->state == PENDING ? begin(f, i, false, err) : 0;
        if (rc != 0)
            return rc > 0 ? &i->transfer : NULL;
    }
    return NULL;
}

static int done(void *context, km_http_transfer *t, km_err *err)
{
    struct fetch *f = context;
    item *i = t->user;
    int rc = t->err.code;

    if (rc < 0 && err)
        *err = t->err;
    if (rc == 0 && t->answer.status != 206)
        rc = km_http_expect(&t->answer, 200, err);
    if (i->file.have_bytes > i->began_bytes)
        f->downloaded_bytes += i->file.have_bytes - i->began_bytes;
    km_http_answer_release(&t->answer);
    return rc == 0 ? settle(i, err) : rc;
}

static item *find(struct fetch *f, item_state state)
{
    for (size_t k = 0; k < f->count; k++)
        if (f->items[k].state == state)
            return &f->items[k];
    return NULL;
}

/* Then the others go on, and this one: whoever held the lock may have left the work to us. */
static int wait_for(struct fetch *f, item *busy, km_err *err)
{
    km_cache_blob b;
    int rc = km_cache_blob_begin(f->c, km_hub_entry_etag(busy->entry), busy->entry->size_bytes,
                                 true, &b, err);

    if (rc < 0)
        return rc;
    km_cache_blob_release(&b);
    for (size_t k = 0; k < f->count; k++)
        if (f->items[k].state == BUSY)
            f->items[k].state = PENDING;
    return 0;
}

static int run(struct fetch *f, km_err *err)
{
    const km_http_batch batch = { f, next, done };
    item *busy;
    int rc = 0;

    while (rc == 0) {
        if (find(f, PENDING)) {
            f->next = 0;
            rc = km_http_run(f->w->http, &batch, err);
            continue;
        }
        busy = find(f, BUSY);
        if (!busy)
            break;
        rc = wait_for(f, busy, err);
    }
    return rc;
}

static int by_etag(const void *x, const void *y)
{
    const item *a = x, *b = y;

    return strcmp(km_hub_entry_etag(a->entry), km_hub_entry_etag(b->entry));
}

/* One item a content, however many files have it. */
static size_t collect(item *items, const km_hub_tree *files)
{
    size_t n = 0, kept = 0;

    for (size_t k = 0; k < files->count; k++)
        if (!files->entries[k].is_folder)
            items[n++] = (item){ .entry = &files->entries[k], .blob = KM_CACHE_BLOB_INIT };
    qsort(items, n, sizeof *items, by_etag);
    for (size_t k = 0; k < n; k++)
        if (!kept || by_etag(&items[kept - 1], &items[k]) != 0)
            items[kept++] = items[k];
    return kept;
}

bool km_fetch_wants(const km_hub_entry *e)
{
    return !e->is_folder && !km_ends_with(e->path, ".pyc") && !strstr(e->path, "/__pycache__/");
}

int km_fetch_sha256(const km_cache *c, const km_hub_entry *e, char out[KM_SHA256_HEX_BYTES],
                    km_err *err)
{
    const char *blob;
    int fd, rc;

    if (*e->sha256) {
        memcpy(out, e->sha256, KM_SHA256_HEX_BYTES);
        return 0;
    }
    blob = km_arena_printf(c->arena, "%s/blobs/%s", c->repo, km_hub_entry_etag(e));
    fd = blob ? open(blob, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return blob ? km_fail_errno(err, errno, "unable to open '%s'", blob) : km_fail_nomem(err);
    rc = km_hash_fd(fd, KM_DIGEST_SHA256, out, err);
    close(fd);
    return rc;
}

int km_fetch_files(const km_wire *w, const km_cache *c, const km_repo *repo, const char *commit,
                   const km_hub_tree *files, uint64_t *downloaded_bytes, km_err *err)
{
    struct fetch f = { .w = w, .c = c, .repo = repo, .commit = commit };
    int rc;

    f.items = calloc(files->count + 1, sizeof *f.items);
    if (!f.items)
        return km_fail_nomem(err);
    f.count = collect(f.items, files);
    rc = run(&f, err);
    for (size_t k = 0; k < f.count; k++) {
        km_http_answer_release(&f.items[k].transfer.answer);
        km_cache_blob_release(&f.items[k].blob);
    }
    free(f.items);
    *downloaded_bytes = f.downloaded_bytes;
    return rc;
}
