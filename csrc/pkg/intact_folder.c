/* One variant's folder: against metadata.json, against the names of the cache's blobs, and against
 * a lock. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "pkg/intact_internal.h"
#include "pkg/package_digest.h"

#define METADATA   "metadata.json"
#define GIT_DIGITS 40

struct file {
    const char *name, *path;
    char sha256[KM_SHA256_HEX_BYTES]; /* "": it could not be read, and that is told already */
    char blob[KM_SHA256_HEX_BYTES];   /* of the cache, that it is a link to; or "" */
    uint64_t size_bytes;
};

struct folder {
    km_intact *v;
    km_arena *a;
    const char *dir, *variant;
    char *repo_id, *commit; /* where in a cache it lies; NULL: in none */
    struct file *files;     /* sorted by name, bytecode left out */
    size_t count;
    json_t *said; /* digest.files of metadata.json; NULL: there is none, which is told */
};

/* --- where it lies --- */

/* ".../kernels--owner--name/snapshots/{commit}/build/{variant}" */
static int find_place(struct folder *f, km_err *err)
{
    char *real, *part[4], *name;

    if (km_path_real(f->a, f->dir, &real, err) < 0)
        return err ? err->code : KM_EIO;
    f->variant = km_path_base(real);
    real = km_path_dir(f->a, real);
    for (size_t i = 0; real && i < 4; i++) { /* build, commit, snapshots, repository */
        part[i] = km_arena_strdup(f->a, km_path_base(real));
        real = km_path_dir(f->a, real);
    }
    if (!real || !part[3])
        return km_fail_nomem(err);
    name = km_starts_with(part[3], "kernels--") ? strstr(part[3] + strlen("kernels--"), "--")
                                                : NULL;
    if (!name || strcmp(part[0], "build") != 0 || strcmp(part[2], "snapshots") != 0)
        return 0;
    f->commit = part[1];
    f->repo_id = km_arena_printf(f->a, "%.*s/%s", (int)(name - part[3] - (long)strlen("kernels--")),
                                 part[3] + strlen("kernels--"), name + 2);
    return f->repo_id ? 0 : km_fail_nomem(err);
}

/* The blob that a link of a snapshot names: "../../../../blobs/{digest}", one step up for each
 * folder. False: it leads elsewhere. */
static bool read_link(const struct folder *f, struct file *file)
{
    char target[KM_PATH_BYTES_MAX];
    const char *at = target;
    ssize_t n = readlink(file->path, target, sizeof target - 1);
    size_t ups = 0, wanted = 4, length;

    for (const char *c = file->name; *c; c++)
        wanted += *c == '/';
    target[n < 0 ? 0 : n] = '\0';
    for (; km_starts_with(at, "../"); at += 3)
        ups++;
    if (!f->repo_id || ups != wanted || !km_starts_with(at, "blobs/"))
        return false;
    at += strlen("blobs/");
    length = strlen(at);
    if ((length != GIT_DIGITS && length != KM_SHA256_HEX_BYTES - 1) ||
        strspn(at, "0123456789abcdef") != length)
        return false;
    memcpy(file->blob, at, length + 1);
    return true;
}

/* --- what is there --- */

static int read_file(struct folder *f, struct file *file, km_err *err)
{
    char byte[1];
    bool link = readlink(file->path, byte, sizeof byte) >= 0;
    km_err why = KM_ERR_INIT;
    int rc;

    if (link && !read_link(f, file))
        return km_intact_say(f->v, "link", file->path, err,
                             f->repo_id ? "is a link that leads to no blob of the cache"
                                        : "is a symbolic link, and no file");
    rc = km_intact_hash(f->v, file->path, link, file->sha256, &file->size_bytes, &why, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    *file->sha256 = '\0';
    return km_intact_say(f->v, link ? "missing" : "changed", file->path, err, why.message);
}

static int read_files(struct folder *f, km_err *err)
{
    km_names names;
    int rc = km_dir_walk_any(f->a, f->dir, &names, err);

    if (rc < 0)
        return rc;
    f->files = km_arena_array(f->a, names.count + 1, sizeof *f->files);
    if (!f->files)
        return km_fail_nomem(err);
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i];
        if (strcmp(name, METADATA) != 0 && strcmp(name, METADATA ".sigstore") != 0 &&
            km_package_leaves_out(name)) {
            f->v->bytecode_count++;
            continue;
        }
        f->files[f->count] = (struct file){ .name = name,
                                            .path = km_path_join(f->a, f->dir, name) };
        if (!f->files[f->count++].path)
            return km_fail_nomem(err);
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static const struct file *find(const struct folder *f, const char *name)
{
    const struct file key = { .name = name };

    return f->count ? bsearch(&key, f->files, f->count, sizeof key, by_name) : NULL;
}

/* --- metadata.json --- */

/* *out is the document; f->said is borrowed from it. */
static int read_metadata(struct folder *f, json_t **out, km_err *err)
{
    const char *path = km_path_join(f->a, f->dir, METADATA), *algorithm = "sha256";
    km_err why = KM_ERR_INIT;
    json_t *digest = NULL;
    int rc = path ? km_json_read(path, out, &why) : km_fail_nomem(err);

    if (rc == KM_ENOENT)
        return km_intact_say(f->v, "metadata", path, err,
                             "is missing: nothing says which files it holds");
    if (rc == 0)
        rc = km_json_object(*out, "digest", &digest, path, &why);
    if (rc == 0)
        rc = km_json_text(digest, "algorithm", &algorithm, path, &why);
    if (rc == 0 && strcmp(algorithm, "sha256") != 0)
        rc = km_fail(&why, KM_EFORMAT, "has digests by '%s', and not by sha256", algorithm);
    if (rc == 0)
        rc = km_json_object(digest, "files", &f->said, path, &why);
    if (rc == KM_EFORMAT)
        return km_intact_say(f->v, "metadata", *why.place ? why.place : path, err, why.message);
    if (rc < 0 && err && why.code)
        *err = why;
    return rc;
}

static int against_metadata(struct folder *f, km_err *err)
{
    char base64[KM_SHA256_BASE64_BYTES];
    const char *name, *text;
    const json_t *value;
    km_sha256 hash;
    int rc = 0;

    for (size_t i = 0; f->said && rc == 0 && i < f->count; i++) {
        const struct file *file = &f->files[i];
        if (km_package_leaves_out(file->name) || !*file->sha256)
            continue;
        value = json_object_get(f->said, file->name);
        text = json_string_value(value);
        if (!value)
            rc = km_intact_say(f->v, "unlisted", file->path, err, "is not in metadata.json");
        else if (km_hash_from_hex(file->sha256, &hash) &&
                 (km_hash_base64(&hash, base64), !text || strcmp(text, base64) != 0))
            rc = km_intact_say(f->v, "changed", file->path, err,
                               "is not the file that metadata.json describes");
    }
    json_object_foreach(f->said, name, value)
    {
        const char *path = km_path_join(f->a, f->dir, name);
        if (rc == 0 && !find(f, name))
            rc = path ? km_intact_say(f->v, "missing", path, err,
                                      "is in metadata.json and not there")
                      : km_fail_nomem(err);
    }
    return rc;
}

/* --- the cache --- */

static int git_id(const struct file *file, char out[KM_SHA256_HEX_BYTES], km_err *err)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

    if (fd < 0)
        return km_fail(err, KM_EIO, "unable to open '%s'", file->path);
    rc = km_hash_fd(fd, KM_DIGEST_GIT_BLOB, out, err);
    close(fd);
    return rc;
}

/* What metadata.json states has been compared; its own link is what is left. */
static int against_blobs(struct folder *f, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < f->count; i++) {
        const struct file *file = &f->files[i];
        char digest[KM_SHA256_HEX_BYTES] = "";
        if (!*file->blob || !*file->sha256 || (f->said && !km_package_leaves_out(file->name)))
            continue;
        if (strlen(file->blob) == GIT_DIGITS)
            rc = git_id(file, digest, err);
        else
            memcpy(digest, file->sha256, sizeof digest);
        if (rc == 0 && strcmp(digest, file->blob) != 0)
            rc = km_intact_say(f->v, "changed", file->path, err,
                               "is not the file that its blob's name says");
    }
    return rc;
}

/* --- the lock --- */

static const km_lock_entry *entry_by_metadata(const struct folder *f, const km_lock *lock)
{
    const char *path = km_arena_printf(f->a, "build/%s/" METADATA, f->variant);
    const struct file *metadata = find(f, METADATA);

    for (size_t i = 0; path && metadata && i < lock->count; i++) {
        const km_lock_file *file = km_lock_file_find(&lock->items[i], path);
        if (file && strcmp(file->sha256, metadata->sha256) == 0)
            return &lock->items[i];
    }
    return lock->count == 1 ? &lock->items[0] : NULL;
}

/* Which of the lock's kernels this is: by its place in a cache, else by its metadata.json, else
 * there must be but one. *out is NULL when that is told. */
static int find_entry(struct folder *f, const km_lock *lock, const km_lock_entry **out, km_err *err)
{
    const char *text;

    *out = f->repo_id ? NULL : entry_by_metadata(f, lock);
    for (size_t i = 0; f->repo_id && i < lock->count; i++)
        if (strcmp(lock->items[i].repo_id, f->repo_id) == 0 &&
            strcmp(lock->items[i].commit, f->commit) == 0)
            *out = &lock->items[i];
    if (*out)
        return 0;
    text = f->repo_id
               ? km_arena_printf(f->a, "the lock has not %s at commit %s", f->repo_id, f->commit)
               : "its metadata.json is that of no kernel in the lock";
    return text ? km_intact_say(f->v, "lock", f->dir, err, text) : km_fail_nomem(err);
}

static int against_entry(struct folder *f, const km_lock_entry *e, km_err *err)
{
    char *prefix = km_arena_printf(f->a, "build/%s/", f->variant), *path;
    size_t n = prefix ? strlen(prefix) : 0;
    int rc = prefix ? 0 : km_fail_nomem(err);

    for (size_t i = 0; rc == 0 && i < f->count; i++) {
        const struct file *file = &f->files[i];
        const km_lock_file *locked;
        path = km_arena_printf(f->a, "%s%s", prefix, file->name);
        locked = path ? km_lock_file_find(e, path) : NULL;
        if (!path)
            rc = km_fail_nomem(err);
        else if (!locked)
            rc = km_intact_say(f->v, "lock", file->path, err, "is not in the lock");
        else if (*file->sha256 && strcmp(file->sha256, locked->sha256) != 0)
            rc = km_intact_say(f->v, "lock", file->path, err, "is not the file of the lock");
    }
    for (size_t i = 0; rc == 0 && i < e->file_count; i++) {
        if (strncmp(e->files[i].path, prefix, n) != 0 || find(f, e->files[i].path + n))
            continue;
        path = km_path_join(f->a, f->dir, e->files[i].path + n);
        rc = path ? km_intact_say(f->v, "lock", path, err, "is in the lock and not there")
                  : km_fail_nomem(err);
    }
    return rc;
}

static int against_lock(struct folder *f, const km_lock *lock, km_err *err)
{
    const km_lock_entry *entry = NULL;
    int rc = lock ? find_entry(f, lock, &entry, err) : 0;

    return rc == 0 && entry ? against_entry(f, entry, err) : rc;
}

int km_intact_variant(km_intact *v, const char *dir, bool among_others, const km_lock *lock,
                      km_err *err)
{
    struct folder f = { .v = v, .a = &v->findings.arena, .dir = dir };
    json_t *metadata = NULL;
    int rc = dir ? find_place(&f, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = read_files(&f, err);
    if (rc == 0 && among_others && f.repo_id && f.count == 1 &&
        strcmp(f.files[0].name, METADATA) == 0)
        return 1;
    for (size_t i = 0; rc == 0 && i < f.count; i++)
        rc = read_file(&f, &f.files[i], err);
    if (rc == 0)
        rc = read_metadata(&f, &metadata, err);
    if (rc == 0)
        rc = against_metadata(&f, err);
    if (rc == 0)
        rc = against_blobs(&f, err);
    if (rc == 0)
        rc = against_lock(&f, lock, err);
    json_decref(metadata);
    return rc;
}
