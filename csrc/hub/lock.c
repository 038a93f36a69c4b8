#include "hub/lock.h"

#include <inttypes.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"
#include "formats/toml.h"
#include "hub/choose.h"
#include "hub/commit.h"
#include "hub/fetch.h"
#include "pkg/package_digest.h"
#include "pkg/variant.h"

#define METADATA "/metadata.json"

struct locking {
    km_arena *a;
    const km_endpoint *e;
    km_wire wire;
    km_lock_result *out;
    size_t room; /* entries that out->lock has memory for */
};

/* A kernel whose dependencies are being locked, and who wants it. */
struct wanted {
    const struct wanted *by;
    km_lock_entry entry;
    km_repo repo;
    km_cache cache;
    km_hub_tree files;
};

static int lock_kernel(struct locking *l, const struct wanted *by, const km_lock_entry *dependency,
                       km_err *err);

/* --- files --- */

static bool is_in_lfs(const km_hub_entry *e)
{
    return *e->sha256 != '\0';
}

/* Lists what lies below build/, and downloads what has no SHA-256 in the list. */
static int fetch(struct locking *l, struct wanted *w, km_err *err)
{
    km_hub_tree small = { 0 };
    uint64_t downloaded = 0;
    size_t kept = 0;
    int rc = km_wire_tree(&l->wire, l->a, &w->repo, w->entry.commit, "build", true, &w->files, err);

    if (rc == KM_ENOENT)
        km_hint(err, "'%s' has no build/ at commit %s: it is no kernel", w->repo.id,
                w->entry.commit);
    if (rc == 0)
        rc = km_cache_init(&w->cache, l->a, l->e->cache, &w->repo, err);
    small.entries = rc == 0 ? km_arena_array(l->a, w->files.count + 1, sizeof *small.entries)
                            : NULL;
    if (rc == 0 && !small.entries)
        rc = km_fail_nomem(err);
    for (size_t i = 0; rc == 0 && i < w->files.count; i++) {
        const km_hub_entry *e = &w->files.entries[i];
        if (!km_fetch_wants(e))
            continue;
        if (!is_in_lfs(e) || km_ends_with(e->path, METADATA))
            small.entries[small.count++] = *e;
        w->files.entries[kept++] = *e;
    }
    w->files.count = kept;
    if (rc == 0)
        rc = km_fetch_files(&l->wire, &w->cache, &w->repo, w->entry.commit, &small, &downloaded,
                            err);
    l->out->downloaded_bytes += downloaded;
    return rc;
}

static int note_digests(struct locking *l, struct wanted *w, km_err *err)
{
    int rc = 0;

    w->entry.files = km_arena_array(l->a, w->files.count + 1, sizeof *w->entry.files);
    if (!w->entry.files)
        return km_fail_nomem(err);
    for (size_t i = 0; rc == 0 && i < w->files.count; i++) {
        const km_hub_entry *e = &w->files.entries[i];
        km_lock_file *file = &w->entry.files[w->entry.file_count++];
        file->path = e->path;
        file->size_bytes = e->size_bytes;
        rc = km_fetch_sha256(&w->cache, e, file->sha256, err);
    }
    return rc;
}

/* --- metadata.json --- */

static int disagree(const struct wanted *w, const char *path, const char *how, km_err *err)
{
    km_fail(err, KM_EFORMAT, "'%s' of %s at commit %s %s", path, w->repo.id, w->entry.commit, how);
    return km_hint(err, "whoever published it has to build and upload it again; nothing is locked");
}

/* `said` is digest.files of the variant whose files' paths start with `prefix`. */
static int compare(struct locking *l, const struct wanted *w, const char *prefix,
                   const json_t *said, km_err *err)
{
    char base64[KM_SHA256_BASE64_BYTES];
    size_t n = strlen(prefix);
    const json_t *value;
    const char *name;
    km_sha256 hash;

    for (size_t i = 0; i < w->entry.file_count; i++) {
        const km_lock_file *file = &w->entry.files[i];
        if (strncmp(file->path, prefix, n) != 0 || km_package_leaves_out(file->path + n))
            continue;
        name = json_string_value(json_object_get(said, file->path + n));
        if (!name)
            return disagree(w, file->path, "is not in its metadata.json", err);
        if (km_hash_from_hex(file->sha256, &hash) &&
            (km_hash_base64(&hash, base64), strcmp(name, base64) != 0))
            return disagree(w, file->path, "is not the file that its metadata.json describes", err);
    }
    json_object_foreach((json_t *)(uintptr_t)said, name, value)
    {
        const char *path = km_arena_printf(l->a, "%s%s", prefix, name);
        if (!path)
            return km_fail_nomem(err);
        if (!km_lock_file_find(&w->entry, path))
            return disagree(w, path, "is in its metadata.json, and not in the hub's list", err);
    }
    return 0;
}

/* Older ones, and other builders', may have no digest. */
static int check_digest(struct locking *l, const struct wanted *w, const char *prefix,
                        const json_t *metadata, const char *path, km_err *err)
{
    const char *algorithm = NULL;
    json_t *digest = NULL, *files = NULL;
    int rc = km_json_object_optional(metadata, "digest", &digest, path, err);

    if (rc < 0 || !digest)
        return rc;
    rc = km_json_text(digest, "algorithm", &algorithm, path, err);
    if (rc == 0)
        rc = km_json_object(digest, "files", &files, path, err);
    return rc == 0 && strcmp(algorithm, "sha256") == 0 ? compare(l, w, prefix, files, err) : rc;
}

static int lock_depends(struct locking *l, const struct wanted *w, const json_t *metadata,
                        const char *path, km_err *err)
{
    json_t *depends = NULL;
    int rc = km_json_array_optional(metadata, "kernel-depends", &depends, path, err);

    for (size_t i = 0; rc == 0 && i < json_array_size(depends); i++) {
        km_lock_entry dependency = { 0 };
        rc = km_lock_dependency_read(l->a, json_array_get(depends, i), path, &dependency, err);
        if (rc == 0)
            rc = lock_kernel(l, w, &dependency, err);
    }
    return rc;
}

/* One variant, of whose files the paths start with `prefix`: "build/<variant>/". */
static int read_variant(struct locking *l, const struct wanted *w, const char *prefix, km_err *err)
{
    const char *path = km_arena_printf(l->a, "%smetadata.json", prefix), *blob, *shown;
    const km_hub_entry *e = path ? km_hub_tree_find(&w->files, path) : NULL;
    json_t *metadata = NULL;
    char *text = NULL;
    size_t size = 0;
    int rc;

    if (!path)
        return km_fail_nomem(err);
    if (!e)
        return disagree(w, path, "is not there, and every variant must have it", err);
    blob = km_arena_printf(l->a, "%s/blobs/%s", w->cache.repo, km_hub_entry_etag(e));
    shown = km_arena_printf(l->a, "%s@%.12s:%s", w->repo.id, w->entry.commit, path);
    if (!blob || !shown)
        return km_fail_nomem(err);
    rc = km_file_read(l->a, blob, KM_JSON_BYTES_MAX, &text, &size, err);
    if (rc == 0)
        rc = km_json_parse(text, size, shown, &metadata, err);
    if (rc == 0)
        rc = check_digest(l, w, prefix, metadata, shown, err);
    if (rc == 0)
        rc = lock_depends(l, w, metadata, shown, err);
    json_decref(metadata);
    return rc;
}

/* Folders whose name is no variant's are passed over, as the client does. */
static int read_variants(struct locking *l, const struct wanted *w, km_err *err)
{
    const char *last = "";
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < w->files.count; i++) {
        const char *path = w->files.entries[i].path, *name = path + strlen("build/");
        size_t n = strcspn(name, "/");
        km_variant v;
        char *prefix;
        if (!name[n] || (strncmp(path, last, strlen(last)) == 0 && *last))
            continue;
        prefix = km_arena_strndup(l->a, path, strlen("build/") + n + 1);
        name = km_arena_strndup(l->a, name, n);
        if (!prefix || !name)
            return km_fail_nomem(err);
        last = prefix;
        if (km_variant_parse(name, &v, NULL) == 0)
            rc = read_variant(l, w, prefix, err);
    }
    return rc;
}

/* --- kernels --- */

static int check_circle(km_arena *a, const struct wanted *w, km_err *err)
{
    size_t depth = 0;

    for (const struct wanted *x = w->by; x; x = x->by) {
        if (km_lock_same(&x->entry, &w->entry))
            return km_fail(
                err, KM_EFORMAT,
                "kernels depend on each other in a circle: %s needs itself, by way of %s",
                km_lock_label(a, &w->entry), km_lock_label(a, &w->by->entry));
        if (++depth > KM_LOCK_DEPTH_MAX)
            return km_fail(err, KM_ELIMIT, "kernels depend on each other %d deep",
                           KM_LOCK_DEPTH_MAX);
    }
    return 0;
}

static int find_commit(struct locking *l, struct wanted *w, km_err *err)
{
    const char *revision = w->entry.revision, *name;

    if (!revision)
        revision = km_arena_printf(l->a, "v%" PRId64, w->entry.version);
    if (!revision)
        return km_fail_nomem(err);
    if (km_revision_check(revision, err) < 0)
        return KM_EFORMAT;
    return km_commit_find(&l->wire, l->a, &w->repo, revision, &name, w->entry.commit, err);
}

static int add_entry(struct locking *l, const km_lock_entry *entry, km_err *err)
{
    km_lock *lock = &l->out->lock;

    if (!lock->items) {
        lock->items = km_arena_array(l->a, KM_LOCK_KERNELS_MAX, sizeof *lock->items);
        if (!lock->items)
            return km_fail_nomem(err);
    }
    if (lock->count == KM_LOCK_KERNELS_MAX)
        return km_fail(err, KM_ELIMIT, "more than %d kernels", KM_LOCK_KERNELS_MAX);
    lock->items[lock->count++] = *entry;
    return 0;
}

static int lock_kernel(struct locking *l, const struct wanted *by, const km_lock_entry *dependency,
                       km_err *err)
{
    struct wanted w = { .by = by, .entry = *dependency };
    int rc;

    for (size_t i = 0; i < l->out->lock.count; i++)
        if (km_lock_same(&l->out->lock.items[i], dependency))
            return 0;
    rc = check_circle(l->a, &w, err);
    if (rc == 0)
        rc = km_repo_parse(l->a, dependency->repo_id, KM_REPO_KERNEL, &w.repo, err);
    if (rc == 0)
        rc = find_commit(l, &w, err);
    if (rc == 0)
        rc = fetch(l, &w, err);
    if (rc == 0)
        rc = note_digests(l, &w, err);
    if (rc == 0)
        rc = read_variants(l, &w, err);
    return rc == 0 ? add_entry(l, &w.entry, err) : rc;
}

/* --- the project --- */

static int no_dependencies(const char *path, const km_toml *at, km_err *err)
{
    km_fail_at(err, KM_EFORMAT, path, at ? at->line : 0, at ? at->column : 0,
               "there is no kernel in [tool.kernels.dependencies]");
    return km_hint(err, "name the kernels there, as \"owner/name\" = 1, the version");
}

static int lock_project(struct locking *l, const char *path, km_err *err)
{
    const km_toml *table;
    km_toml *doc;
    int rc = km_toml_read(l->a, path, &doc, err);

    if (rc < 0)
        return rc;
    table = km_toml_get(km_toml_get(km_toml_get(doc, "tool"), "kernels"), "dependencies");
    if (!table || table->kind != KM_TOML_TABLE || !table->table.count)
        return no_dependencies(path, table, err);
    for (size_t i = 0; rc == 0 && i < table->table.count; i++) {
        const km_toml_entry *e = &table->table.entries[i];
        km_lock_entry dependency = { .repo_id = e->key };
        if (e->value->kind != KM_TOML_INT || e->value->integer < 0) {
            km_fail_at(err, KM_EFORMAT, path, e->value->line, e->value->column,
                       "'%s' is no version", e->key);
            return km_hint(err, "write the number of a version branch: \"%s\" = 1", e->key);
        }
        dependency.version = e->value->integer;
        rc = lock_kernel(l, NULL, &dependency, err);
    }
    return rc;
}

/* What was locked before; a lock that cannot be read, or lacks its digests, is none. */
static int compare_with_file(struct locking *l, km_err *err)
{
    km_err why = KM_ERR_INIT;
    km_lock before;
    int rc = km_lock_read(l->a, l->out->path, &before, &why);

    if (rc == KM_ENOMEM || rc == KM_EIO) {
        if (err)
            *err = why;
        return rc;
    }
    if (rc < 0 && km_file_exists(l->out->path))
        km_str_printf(&l->out->changes, "%s%s%s\n", why.place, *why.place ? ": " : "", why.message);
    return km_lock_compare(&l->out->changes, rc < 0 ? NULL : &before, &l->out->lock, err);
}

int km_lock_make(km_arena *a, const km_endpoint *e, km_http *http, const char *dir, bool check,
                 km_lock_result *out, km_err *err)
{
    struct locking l = { .a = a, .e = e, .wire = { http, e->url }, .out = out };
    const char *project = km_path_join(a, dir, "pyproject.toml");
    int rc;

    *out = (km_lock_result){ .path = km_path_join(a, dir, KM_LOCK_NAME), .changes = KM_STR_INIT };
    rc = project && out->path ? lock_project(&l, project, err) : km_fail_nomem(err);
    if (rc < 0)
        return rc;
    km_lock_sort(&out->lock);
    rc = compare_with_file(&l, err);
    return rc == 0 && !check ? km_lock_write(out->path, &out->lock, err) : rc;
}

void km_lock_result_release(km_lock_result *r)
{
    km_str_release(&r->changes);
}
