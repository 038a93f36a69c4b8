#include "pkg/lock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"

/* --- order --- */

static int by_dependency(const void *x, const void *y)
{
    const km_lock_entry *a = x, *b = y;
    int order = strcmp(a->repo_id, b->repo_id);

    if (order || (a->revision && b->revision))
        return order ? order : strcmp(a->revision, b->revision);
    if (a->revision || b->revision)
        return a->revision ? 1 : -1;
    return (a->version > b->version) - (a->version < b->version);
}

static int by_path(const void *x, const void *y)
{
    return strcmp(((const km_lock_file *)x)->path, ((const km_lock_file *)y)->path);
}

void km_lock_sort(km_lock *lock)
{
    if (lock->count)
        qsort(lock->items, lock->count, sizeof *lock->items, by_dependency);
    for (size_t i = 0; i < lock->count; i++)
        if (lock->items[i].file_count)
            qsort(lock->items[i].files, lock->items[i].file_count, sizeof *lock->items[i].files,
                  by_path);
}

bool km_lock_same(const km_lock_entry *a, const km_lock_entry *b)
{
    return by_dependency(a, b) == 0;
}

const km_lock_entry *km_lock_find(const km_lock *lock, const char *repo_id, const char *revision)
{
    for (size_t i = 0; i < lock->count; i++) {
        const km_lock_entry *e = &lock->items[i];
        char version[24];
        snprintf(version, sizeof version, "v%" PRId64, e->version);
        if (strcmp(e->repo_id, repo_id) == 0 &&
            (!revision || strcmp(e->revision ? e->revision : version, revision) == 0))
            return e;
    }
    return NULL;
}

const km_lock_file *km_lock_file_find(const km_lock_entry *e, const char *path)
{
    const km_lock_file key = { .path = path };

    return e->file_count ? bsearch(&key, e->files, e->file_count, sizeof key, by_path) : NULL;
}

char *km_lock_label(km_arena *a, const km_lock_entry *e)
{
    return e->revision ? km_arena_printf(a, "%s revision '%s'", e->repo_id, e->revision)
                       : km_arena_printf(a, "%s version %" PRId64, e->repo_id, e->version);
}

/* --- reading --- */

static bool is_hex(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

int km_lock_dependency_read(km_arena *a, const json_t *o, const char *name, km_lock_entry *out,
                            km_err *err)
{
    const char *id = NULL, *revision = NULL;
    bool versioned = json_object_get(o, "version") != NULL;
    int rc = km_json_text(o, "repo-id", &id, name, err);

    if (rc == 0)
        rc = km_json_text_optional(o, "revision", &revision, name, err);
    if (rc == 0 && versioned == (revision != NULL))
        rc = km_fail_at(err, KM_EFORMAT, name, 0, 0,
                        "the dependency '%s' needs a 'version' or a 'revision', and not both", id);
    if (rc == 0 && versioned)
        rc = km_json_int(o, "version", &out->version, name, err);
    if (rc < 0)
        return rc;
    out->repo_id = km_arena_strdup(a, id);
    out->revision = revision ? km_arena_strdup(a, revision) : NULL;
    return out->repo_id && (!revision || out->revision) ? 0 : km_fail_nomem(err);
}

static int read_commit(const json_t *o, const char *name, km_lock_entry *out, km_err *err)
{
    const char *commit = NULL;

    if (km_json_text(o, "commit", &commit, name, err) < 0)
        return KM_EFORMAT;
    if (!is_hex(commit, KM_LOCK_COMMIT_BYTES - 1))
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "'%.80s' is no commit of 40 digits", commit);
    memcpy(out->commit, commit, KM_LOCK_COMMIT_BYTES);
    return 0;
}

static int read_lock(km_arena *a, const char *path, km_lock *out, km_err *err)
{
    json_t *root = NULL, *dependency, *lock;
    int rc = km_json_read(path, &root, err);

    if (rc == 0 && !json_is_array(root))
        rc = km_fail_at(err, KM_EFORMAT, path, 0, 0, "a lock is an array");
    if (rc == 0) {
        out->items = km_arena_array(a, json_array_size(root) + 1, sizeof *out->items);
        rc = out->items ? 0 : km_fail_nomem(err);
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(root); i++) {
        km_lock_entry *e = &out->items[out->count++];
        rc = km_json_object(json_array_get(root, i), "dependency", &dependency, path, err);
        if (rc == 0)
            rc = km_json_object(json_array_get(root, i), "lock", &lock, path, err);
        if (rc == 0)
            rc = km_lock_dependency_read(a, dependency, path, e, err);
        if (rc == 0)
            rc = read_commit(lock, path, e, err);
    }
    json_decref(root);
    return rc;
}

static int read_file(km_arena *a, const char *path, const json_t *o, const char *name,
                     km_lock_file *out, km_err *err)
{
    const char *sha256 = NULL;
    int64_t size = 0;
    int rc = km_json_text(o, "sha256", &sha256, name, err);

    if (rc == 0)
        rc = km_json_int(o, "size", &size, name, err);
    if (rc == 0)
        rc = km_path_check_relative(path, err);
    if (rc == 0 && (!is_hex(sha256, KM_SHA256_HEX_BYTES - 1) || size < 0))
        rc = km_fail_at(err, KM_EFORMAT, name, 0, 0, "'%s' has no digest or size", path);
    if (rc < 0)
        return rc;
    *out = (km_lock_file){ .path = km_arena_strdup(a, path), .size_bytes = (uint64_t)size };
    memcpy(out->sha256, sha256, KM_SHA256_HEX_BYTES);
    return out->path ? 0 : km_fail_nomem(err);
}

static int read_files(km_arena *a, const json_t *o, const char *name, km_lock_entry *out,
                      km_err *err)
{
    json_t *files = NULL;
    const json_t *value;
    const char *path;
    int rc = km_json_object(o, "files", &files, name, err);

    if (rc < 0)
        return rc;
    out->files = km_arena_array(a, json_object_size(files) + 1, sizeof *out->files);
    if (!out->files)
        return km_fail_nomem(err);
    json_object_foreach(files, path, value)
    {
        rc = read_file(a, path, value, name, &out->files[out->file_count++], err);
        if (rc < 0)
            break;
    }
    return rc;
}

/* Of one member of "kernels" into the entry that it belongs to. */
static int take_digests(km_arena *a, const json_t *o, const char *name, km_lock *lock, km_err *err)
{
    km_lock_entry of = { 0 };
    int rc = km_lock_dependency_read(a, o, name, &of, err);

    if (rc == 0)
        rc = read_commit(o, name, &of, err);
    if (rc == 0)
        rc = read_files(a, o, name, &of, err);
    for (size_t i = 0; rc == 0 && i < lock->count; i++)
        if (km_lock_same(&lock->items[i], &of) && strcmp(lock->items[i].commit, of.commit) == 0)
            lock->items[i] = of;
    return rc;
}

/* Every entry of the lock must have got its files. */
static int check_pair(km_arena *a, const char *path, const km_lock *lock, km_err *err)
{
    for (size_t i = 0; i < lock->count; i++)
        if (!lock->items[i].files) {
            const char *label = km_lock_label(a, &lock->items[i]);
            km_fail(err, KM_EFORMAT, "'%s.digests.json' has no digests of %s at the commit of '%s'",
                    path, label ? label : "", path);
            return km_hint(err, "something else wrote one of them since: kernmill lock '%s'",
                           km_path_dir(a, path));
        }
    return 0;
}

static int read_digests(km_arena *a, const char *path, km_lock *lock, km_err *err)
{
    const char *name = km_arena_printf(a, "%s.digests.json", path);
    json_t *root = NULL, *kernels = NULL;
    int64_t schema = 0;
    int rc = name ? km_json_read(name, &root, err) : km_fail_nomem(err);

    if (rc == KM_ENOENT)
        km_hint(err, "the `kernels` client writes none: kernmill lock '%s'", km_path_dir(a, path));
    if (rc == 0)
        rc = km_json_int(root, "schema", &schema, name, err);
    if (rc == 0 && schema != KM_LOCK_DIGEST_SCHEMA) {
        rc = km_fail_at(err, KM_EFORMAT, name, 0, 0, "schema %" PRId64 " is not %d", schema,
                        KM_LOCK_DIGEST_SCHEMA);
        km_hint(err, "another version of kernmill wrote it: kernmill lock '%s'",
                km_path_dir(a, path));
    }
    if (rc == 0)
        rc = km_json_array(root, "kernels", &kernels, name, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(kernels); i++)
        rc = take_digests(a, json_array_get(kernels, i), name, lock, err);
    json_decref(root);
    return rc == 0 ? check_pair(a, path, lock, err) : rc;
}

int km_lock_read(km_arena *a, const char *path, km_lock *out, km_err *err)
{
    int rc;

    *out = (km_lock){ 0 };
    rc = read_lock(a, path, out, err);
    if (rc == 0)
        rc = read_digests(a, path, out, err);
    if (rc == 0)
        km_lock_sort(out);
    return rc;
}

/* --- writing --- */

static json_t *dependency_json(const km_lock_entry *e)
{
    return e->revision
               ? json_pack("{s:s,s:s}", "repo-id", e->repo_id, "revision", e->revision)
               : json_pack("{s:s,s:I}", "repo-id", e->repo_id, "version", (json_int_t)e->version);
}

static json_t *digests_json(const km_lock *lock)
{
    json_t *kernels = json_array();

    for (size_t i = 0; i < lock->count; i++) {
        const km_lock_entry *e = &lock->items[i];
        json_t *o = dependency_json(e), *files = json_object();
        json_object_set_new(o, "commit", json_string(e->commit));
        for (size_t k = 0; k < e->file_count; k++)
            json_object_set_new(files, e->files[k].path,
                                json_pack("{s:s,s:I}", "sha256", e->files[k].sha256, "size",
                                          (json_int_t)e->files[k].size_bytes));
        json_object_set_new(o, "files", files);
        json_array_append_new(kernels, o);
    }
    return json_pack("{s:i,s:o}", "schema", KM_LOCK_DIGEST_SCHEMA, "kernels", kernels);
}

static int write_lock(const char *path, const km_lock *lock, km_err *err)
{
    json_t *root = json_array();
    char *text;
    int rc;

    for (size_t i = 0; i < lock->count; i++)
        json_array_append_new(root, json_pack("{s:o,s:{s:s}}", "dependency",
                                              dependency_json(&lock->items[i]), "lock", "commit",
                                              lock->items[i].commit));
    text = json_dumps(root, JSON_INDENT(2));
    rc = text ? km_file_update(path, text, strlen(text), 0666, err) : km_fail_nomem(err);
    free(text);
    json_decref(root);
    return rc;
}

int km_lock_write(const char *path, const km_lock *lock, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *name = km_arena_printf(&a, "%s.digests.json", path);
    json_t *digests = digests_json(lock);
    int rc = name && digests ? km_json_write(name, digests, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = write_lock(path, lock, err);
    json_decref(digests);
    km_arena_release(&a);
    return rc;
}

/* --- comparing --- */

static const km_lock_entry *find_same(const km_lock *lock, const km_lock_entry *e)
{
    for (size_t i = 0; lock && i < lock->count; i++)
        if (km_lock_same(&lock->items[i], e))
            return &lock->items[i];
    return NULL;
}

static bool same_files(const km_lock_entry *a, const km_lock_entry *b)
{
    bool same = a->file_count == b->file_count;

    for (size_t i = 0; same && i < a->file_count; i++)
        same = strcmp(a->files[i].path, b->files[i].path) == 0 &&
               strcmp(a->files[i].sha256, b->files[i].sha256) == 0 &&
               a->files[i].size_bytes == b->files[i].size_bytes;
    return same;
}

int km_lock_compare(km_str *lines, const km_lock *before, const km_lock *now, km_err *err)
{
    km_arena a = KM_ARENA_INIT;

    for (size_t i = 0; i < now->count; i++) {
        const km_lock_entry *e = &now->items[i], *old = find_same(before, e);
        const char *label = km_lock_label(&a, e);
        if (!old)
            km_str_printf(lines, "%s: locked at %s\n", label, e->commit);
        else if (strcmp(old->commit, e->commit) != 0)
            km_str_printf(lines, "%s: from %s to %s\n", label, old->commit, e->commit);
        else if (!same_files(old, e))
            km_str_printf(lines, "%s: other digests of %s\n", label, e->commit);
    }
    for (size_t i = 0; before && i < before->count; i++)
        if (!find_same(now, &before->items[i]))
            km_str_printf(lines, "%s: no longer needed\n", km_lock_label(&a, &before->items[i]));
    km_arena_release(&a);
    return km_str_check(lines, err);
}
