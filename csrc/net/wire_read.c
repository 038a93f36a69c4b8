/* What a hub says, checked: every name, digest and number, before anything is made of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "net/wire.h"

static int wrong(const char *name, const char *what, const char *value, km_err *err)
{
    return km_fail_at(err, KM_EFORMAT, name, 0, 0, "the hub's answer has %s '%.128s'", what, value);
}

static int commit_member(const json_t *o, const char *key, char out[KM_OID_HEX_BYTES],
                         const char *name, km_err *err)
{
    const char *text;

    if (km_json_text(o, key, &text, name, err) < 0)
        return KM_EFORMAT;
    if (!km_is_commit(text))
        return wrong(name, "no id of 40 digits:", text, err);
    memcpy(out, text, KM_OID_HEX_BYTES);
    return 0;
}

/* A name that the hub made up must say so where it is read, not where it would be used. */
static int path_member(km_arena *a, const json_t *o, const char *key, const char **out,
                       const char *name, km_err *err)
{
    km_err why = KM_ERR_INIT;
    const char *text;

    if (km_json_text(o, key, &text, name, err) < 0)
        return KM_EFORMAT;
    if (strlen(text) != json_string_length(json_object_get(o, key)))
        return wrong(name, "a zero byte in the name", text, err);
    if (km_repo_path_check(text, &why) < 0)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0,
                          "the hub's answer has a name that no file may have: %s", why.message);
    *out = km_arena_strdup(a, text);
    return *out ? 0 : km_fail_nomem(err);
}

/* --- info --- */

int km_hub_info_read(km_arena *a, const json_t *doc, const char *name, km_hub_info *out,
                     km_err *err)
{
    json_t *siblings = NULL;
    size_t n;

    *out = (km_hub_info){ 0 };
    if (commit_member(doc, "sha", out->commit, name, err) < 0 ||
        km_json_array_optional(doc, "siblings", &siblings, name, err) < 0)
        return KM_EFORMAT;
    n = json_array_size(siblings);
    if (n > KM_HUB_FILES_MAX)
        return km_fail_at(err, KM_ELIMIT, name, 0, 0, "more than %d files", KM_HUB_FILES_MAX);
    out->files = km_arena_array(a, n + 1, sizeof *out->files);
    if (!out->files)
        return km_fail_nomem(err);
    for (; out->file_count < n; out->file_count++)
        if (path_member(a, json_array_get(siblings, out->file_count), "rfilename",
                        &out->files[out->file_count], name, err) < 0)
            return KM_EFORMAT;
    return 0;
}

/* --- refs --- */

static int read_refs(km_arena *a, const json_t *doc, const char *key, const char *name,
                     km_hub_ref **out, size_t *count, km_err *err)
{
    json_t *list = NULL;
    km_err why = KM_ERR_INIT;
    size_t n;

    if (km_json_array(doc, key, &list, name, err) < 0)
        return KM_EFORMAT;
    n = json_array_size(list);
    if (n > KM_HUB_REFS_MAX)
        return km_fail_at(err, KM_ELIMIT, name, 0, 0, "more than %d %s", KM_HUB_REFS_MAX, key);
    *out = km_arena_array(a, n + 1, sizeof **out);
    if (!*out)
        return km_fail_nomem(err);
    for (*count = 0; *count < n; ++*count) {
        const json_t *item = json_array_get(list, *count);
        km_hub_ref *ref = &(*out)[*count];
        const char *text;
        if (km_json_text(item, "name", &text, name, err) < 0 ||
            commit_member(item, "targetCommit", ref->commit, name, err) < 0)
            return KM_EFORMAT;
        if (km_revision_check(text, &why) < 0)
            return wrong(name, "a revision that may not be called so:", text, err);
        if (!(ref->name = km_arena_strdup(a, text)))
            return km_fail_nomem(err);
    }
    return 0;
}

int km_hub_refs_read(km_arena *a, const json_t *doc, const char *name, km_hub_refs *out,
                     km_err *err)
{
    int rc;

    *out = (km_hub_refs){ 0 };
    rc = read_refs(a, doc, "branches", name, &out->branches, &out->branch_count, err);
    if (rc == 0)
        rc = read_refs(a, doc, "tags", name, &out->tags, &out->tag_count, err);
    return rc;
}

const char *km_hub_refs_find(const km_hub_refs *refs, const char *name)
{
    for (size_t i = 0; i < refs->branch_count; i++)
        if (strcmp(refs->branches[i].name, name) == 0)
            return refs->branches[i].commit;
    for (size_t i = 0; i < refs->tag_count; i++)
        if (strcmp(refs->tags[i].name, name) == 0)
            return refs->tags[i].commit;
    return NULL;
}

/* --- kernels --- */

int km_hub_kernels_read(km_arena *a, const json_t *doc, const char *name, km_hub_kernels *out,
                        km_err *err)
{
    km_repo repo;

    *out = (km_hub_kernels){ 0 };
    if (!json_is_array(doc))
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "the hub's answer is no list of kernels");
    if (json_array_size(doc) > KM_HUB_KERNELS_MAX)
        return km_fail_at(err, KM_ELIMIT, name, 0, 0, "more than %d kernels on a page",
                          KM_HUB_KERNELS_MAX);
    out->items = km_arena_array(a, json_array_size(doc) + 1, sizeof *out->items);
    if (!out->items)
        return km_fail_nomem(err);
    for (size_t i = 0; i < json_array_size(doc); i++) {
        const json_t *item = json_array_get(doc, i);
        const char *id;
        if (km_json_text(item, "id", &id, name, err) < 0)
            return KM_EFORMAT;
        if (km_repo_parse(a, id, KM_REPO_KERNEL, &repo, NULL) < 0)
            return wrong(name, "a repository that may not be called so:", id, err);
        out->items[out->count++] = (km_hub_kernel){ repo.id, json_is_true(json_object_get(
                                                                 item, "trustedPublisher")) };
    }
    return 0;
}

/* --- tree --- */

static int read_size(const json_t *o, const char *name, uint64_t *out, km_err *err)
{
    int64_t size;

    if (km_json_int(o, "size", &size, name, err) < 0)
        return KM_EFORMAT;
    if (size < 0 || (uint64_t)size > KM_HUB_FILE_BYTES_MAX)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "the hub's answer has a size of %" PRId64,
                          size);
    *out = (uint64_t)size;
    return 0;
}

static int read_lfs(const json_t *o, const char *name, km_hub_entry *e, km_err *err)
{
    json_t *lfs = NULL;
    const char *oid;
    uint64_t size = 0;

    if (km_json_object_optional(o, "lfs", &lfs, name, err) < 0)
        return KM_EFORMAT;
    if (!lfs)
        return 0;
    if (km_json_text(lfs, "oid", &oid, name, err) < 0 || read_size(lfs, name, &size, err) < 0)
        return KM_EFORMAT;
    if (km_starts_with(oid, "sha256:"))
        oid += strlen("sha256:");
    if (!km_is_sha256(oid))
        return wrong(name, "no SHA-256:", oid, err);
    if (size != e->size_bytes)
        return wrong(name, "two sizes of one file:", e->path, err);
    memcpy(e->sha256, oid, sizeof e->sha256);
    return 0;
}

static int read_entry(km_arena *a, const json_t *o, const char *sub, const char *name,
                      km_hub_entry *e, km_err *err)
{
    const char *type;
    size_t n = sub ? strlen(sub) : 0;

    if (km_json_text(o, "type", &type, name, err) < 0 ||
        path_member(a, o, "path", &e->path, name, err) < 0 ||
        commit_member(o, "oid", e->oid, name, err) < 0)
        return KM_EFORMAT;
    if (n && (strncmp(e->path, sub, n) != 0 || e->path[n] != '/'))
        return wrong(name, "a file that is not in the folder asked for:", e->path, err);
    e->is_folder = strcmp(type, "directory") == 0;
    if (e->is_folder)
        return 0;
    if (strcmp(type, "file") != 0)
        return wrong(name, "an entry of unknown type", type, err);
    if (read_size(o, name, &e->size_bytes, err) < 0)
        return KM_EFORMAT;
    return read_lfs(o, name, e, err);
}

static int by_path(const void *x, const void *y)
{
    return strcmp(((const km_hub_entry *)x)->path, ((const km_hub_entry *)y)->path);
}

const km_hub_entry *km_hub_tree_find(const km_hub_tree *t, const char *path)
{
    km_hub_entry key = { .path = path };

    return t->count ? bsearch(&key, t->entries, t->count, sizeof key, by_path) : NULL;
}

/* No name twice, and no file that is also the folder of another. */
static int check_tree(const km_hub_tree *t, const char *name, km_err *err)
{
    char folder[KM_HUB_PATH_BYTES_MAX + 1];

    for (size_t i = 0; i < t->count; i++) {
        const char *path = t->entries[i].path;
        if (i && strcmp(path, t->entries[i - 1].path) == 0)
            return wrong(name, "one name twice:", path, err);
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
            const km_hub_entry *e;
            memcpy(folder, path, (size_t)(slash - path));
            folder[slash - path] = '\0';
            e = km_hub_tree_find(t, folder);
            if (e && !e->is_folder)
                return wrong(name, "a file that is also a folder:", folder, err);
        }
    }
    return 0;
}

int km_hub_tree_read(km_arena *a, json_t *const *pages, size_t page_count, const char *sub,
                     const char *name, km_hub_tree *out, km_err *err)
{
    size_t total = 0;

    *out = (km_hub_tree){ 0 };
    for (size_t i = 0; i < page_count; i++) {
        if (!json_is_array(pages[i]))
            return km_fail_at(err, KM_EFORMAT, name, 0, 0, "the hub's answer is no list of files");
        total += json_array_size(pages[i]);
    }
    if (total > KM_HUB_FILES_MAX)
        return km_fail_at(err, KM_ELIMIT, name, 0, 0, "more than %d files", KM_HUB_FILES_MAX);
    out->entries = km_arena_array(a, total + 1, sizeof *out->entries);
    if (!out->entries)
        return km_fail_nomem(err);
    for (size_t i = 0; i < page_count; i++)
        for (size_t k = 0; k < json_array_size(pages[i]); k++) {
            int rc = read_entry(a, json_array_get(pages[i], k), sub, name,
                                &out->entries[out->count], err);
            if (rc < 0)
                return rc;
            out->count++;
        }
    qsort(out->entries, out->count, sizeof *out->entries, by_path);
    return check_tree(out, name, err);
}

const char *km_hub_entry_etag(const km_hub_entry *e)
{
    return *e->sha256 ? e->sha256 : e->oid;
}

/* --- one file --- */

/* Without W/ and quotes, it is the name of a blob. */
static int read_etag(const km_http_answer *answer, char out[KM_ETAG_HEX_BYTES], km_err *err)
{
    const char *etag = km_http_header_of(answer, "x-linked-etag");
    size_t n;

    if (!etag)
        etag = km_http_header_of(answer, "etag");
    if (!etag)
        return km_fail(err, KM_EFORMAT, "%s: the answer has no ETag", answer->url);
    if (km_starts_with(etag, "W/"))
        etag += 2;
    n = strlen(etag);
    if (n >= 2 && etag[0] == '"' && etag[n - 1] == '"') {
        etag++;
        n -= 2;
    }
    if (n < KM_ETAG_HEX_BYTES) {
        memcpy(out, etag, n);
        out[n] = '\0';
    }
    if (n >= KM_ETAG_HEX_BYTES || (!km_is_commit(out) && !km_is_sha256(out)))
        return km_fail(err, KM_EFORMAT, "%s: the ETag '%.80s' is no digest", answer->url, etag);
    return 0;
}

int km_hub_file_read(km_arena *a, const km_http_answer *answer, km_hub_file *out, km_err *err)
{
    const char *commit = km_http_header_of(answer, "x-repo-commit");
    const char *size = km_http_header_of(answer, "x-linked-size");
    char *end;

    *out = (km_hub_file){ .size_bytes = KM_HTTP_SIZE_UNKNOWN };
    if (!commit || !km_is_commit(commit))
        return km_fail(err, KM_EFORMAT, "%s: the answer names no commit (X-Repo-Commit)",
                       answer->url);
    memcpy(out->commit, commit, KM_OID_HEX_BYTES);
    if (read_etag(answer, out->etag, err) < 0)
        return KM_EFORMAT;
    if (!size && !answer->location)
        size = km_http_header_of(answer, "content-length");
    if (size) {
        errno = 0;
        out->size_bytes = strtoull(size, &end, 10);
        if (errno || end == size || *end || *size == '-' || out->size_bytes > KM_HUB_FILE_BYTES_MAX)
            return km_fail(err, KM_EFORMAT, "%s: the size '%.64s' is none", answer->url, size);
    }
    if (answer->location && !(out->location = km_arena_strdup(a, answer->location)))
        return km_fail_nomem(err);
    return 0;
}
