#include "net/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "core/str.h"

#define LOCK_MODE    0664 /* the Python client's, whatever the umask: users share a cache */
#define LOCK_POLL_MS 50

int km_cache_init(km_cache *c, km_arena *a, const char *root, const km_repo *repo, km_err *err)
{
    const char *folder = km_repo_folder(a, repo);

    *c = (km_cache){ .arena = a, .root = km_arena_strdup(a, root) };
    c->repo = folder ? km_path_join(a, root, folder) : NULL;
    c->locks = folder ? km_arena_printf(a, "%s/.locks/%s", root, folder) : NULL;
    return c->root && c->repo && c->locks ? 0 : km_fail_nomem(err);
}

/* --- reading --- */

const char *km_cache_ref(const km_cache *c, const char *revision)
{
    char *path, *text;
    size_t size;

    if (km_is_commit(revision))
        return revision;
    if (km_revision_check(revision, NULL) < 0)
        return NULL;
    path = km_arena_printf(c->arena, "%s/refs/%s", c->repo, revision);
    if (!path || km_file_read(c->arena, path, 256, &text, &size, NULL) < 0)
        return NULL;
    text[strcspn(text, " \r\n")] = '\0';
    return km_is_commit(text) ? text : NULL;
}

const char *km_cache_newest(const km_cache *c)
{
    char *folder = km_path_join(c->arena, c->repo, "refs");
    const char *newest = "main";
    km_names refs;

    if (!folder || km_dir_list(c->arena, folder, &refs, NULL) < 0)
        return newest;
    for (size_t i = 0; i < refs.count; i++)
        if (km_revision_version(refs.names[i]) > km_revision_version(newest))
            newest = refs.names[i];
    return newest;
}

char *km_cache_snapshot(const km_cache *c, const char *commit)
{
    return km_arena_printf(c->arena, "%s/snapshots/%s", c->repo, commit);
}

const char *km_cache_file(const km_cache *c, const char *commit, const char *path)
{
    char *file;

    if (!km_is_commit(commit) || km_repo_path_check(path, NULL) < 0)
        return NULL;
    file = km_arena_printf(c->arena, "%s/snapshots/%s/%s", c->repo, commit, path);
    return file && km_file_exists(file) ? file : NULL;
}

bool km_cache_knows_absent(const km_cache *c, const char *commit, const char *path)
{
    char *file;

    if (!km_is_commit(commit) || km_repo_path_check(path, NULL) < 0)
        return false;
    file = km_arena_printf(c->arena, "%s/.no_exist/%s/%s", c->repo, commit, path);
    return file && km_file_exists(file);
}

/* --- locks --- */

static bool has_no_locks(int code)
{
    return code == ENOSYS || code == EOPNOTSUPP || code == ENOLCK;
}

/* *out: the descriptor, or -1 where the file system has no locks. */
static int lock(const km_cache *c, const char *etag, bool wait, int *out, km_err *err)
{
    char *path = km_arena_printf(c->arena, "%s/%s.lock", c->locks, etag);
    int fd, waited_ms = 0, rc = path ? km_dir_make(c->locks, err) : km_fail_nomem(err);

    *out = -1;
    if (rc < 0)
        return rc;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
    if (fd < 0)
        return km_fail_errno(err, errno, "unable to open '%s'", path);
    (void)fchmod(fd, LOCK_MODE); /* another user's stays as it is */
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int code = errno;
        if (code == EINTR)
            continue;
        if (code == EWOULDBLOCK && wait && waited_ms < KM_CACHE_LOCK_MS) {
            poll(NULL, 0, LOCK_POLL_MS);
            waited_ms += LOCK_POLL_MS;
            continue;
        }
        close(fd);
        if (has_no_locks(code))
            return 0;
        if (code != EWOULDBLOCK)
            return km_fail_errno(err, code, "unable to lock '%s'", path);
        km_fail(err, KM_ETIME, "another process downloads the same file: it holds '%s'", path);
        return KM_ETIME;
    }
    *out = fd;
    return 0;
}

/* --- blobs --- */

/* 1: the open file is what `etag` says; 0: it is not. */
static int matches(int fd, const char *etag, uint64_t size_bytes, km_err *err)
{
    km_digest_kind kind = strlen(etag) == KM_OID_HEX_BYTES - 1 ? KM_DIGEST_GIT_BLOB
                                                               : KM_DIGEST_SHA256;
    char digest[KM_SHA256_HEX_BYTES];
    struct stat st;
    int rc;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (size_bytes != UINT64_MAX && (uint64_t)st.st_size != size_bytes)
        return 0;
    rc = km_hash_fd(fd, kind, digest, err);
    return rc < 0 ? rc : strcmp(digest, etag) == 0;
}

static int is_here(const km_cache_blob *b, km_err *err)
{
    int fd = open(b->path, O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return 0;
    rc = matches(fd, b->etag, b->size_bytes, err);
    close(fd);
    return rc;
}

/* Without a lock the name must be one that nobody else has, and nothing can be gone on with. */
static int open_temporary(const km_cache *c, km_cache_blob *b, km_err *err)
{
    struct stat st;

    b->temporary = b->lock_fd >= 0 ? km_arena_printf(c->arena, "%s.kernmill.incomplete", b->path)
                                   : km_arena_printf(c->arena, "%s.%ld.kernmill.incomplete",
                                                     b->path, (long)getpid());
    if (!b->temporary)
        return km_fail_nomem(err);
    b->fd = open(b->temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (b->fd < 0)
        return km_fail_errno(err, errno, "unable to create '%s'", b->temporary);
    if (fstat(b->fd, &st) < 0)
        return km_fail_errno(err, errno, "unable to read '%s'", b->temporary);
    b->have_bytes = (uint64_t)st.st_size;
    if (b->size_bytes != UINT64_MAX && b->have_bytes > b->size_bytes) {
        b->have_bytes = 0;
        if (ftruncate(b->fd, 0) < 0)
            return km_fail_errno(err, errno, "unable to empty '%s'", b->temporary);
    }
    return 0;
}

int km_cache_blob_begin(const km_cache *c, const char *etag, uint64_t size_bytes, bool wait,
                        km_cache_blob *out, km_err *err)
{
    char *folder = km_path_join(c->arena, c->repo, "blobs");
    int rc;

    *out = (km_cache_blob)KM_CACHE_BLOB_INIT;
    if (!km_is_commit(etag) && !km_is_sha256(etag))
        return km_fail(err, KM_EFORMAT, "'%.80s' is no digest, and cannot name a file", etag);
    memcpy(out->etag, etag, strlen(etag) + 1);
    out->size_bytes = size_bytes;
    out->path = folder ? km_path_join(c->arena, folder, etag) : NULL;
    rc = out->path ? km_dir_make(folder, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = lock(c, etag, wait, &out->lock_fd, err);
    if (rc == 0)
        rc = is_here(out, err);
    if (rc == 0)
        rc = open_temporary(c, out, err);
    if (rc < 0)
        km_cache_blob_release(out);
    return rc < 0 ? rc : 0;
}

int km_cache_blob_finish(km_cache_blob *b, km_err *err)
{
    int rc;

    if (b->fd < 0)
        return 0;
    rc = matches(b->fd, b->etag, b->size_bytes, err);
    if (rc == 0) {
        unlink(b->temporary);
        b->temporary = NULL;
        rc = km_fail(
            err, KM_EFORMAT,
            "what was downloaded is not the file that the hub announced: its digest is not %s",
            b->etag);
        km_hint(err, "try again; if it stays so, the hub or a proxy serves wrong files");
    }
    if (rc < 0)
        return rc;
    if (fsync(b->fd) < 0)
        return km_fail_errno(err, errno, "unable to flush '%s'", b->temporary);
    if (rename(b->temporary, b->path) < 0)
        return km_fail_errno(err, errno, "unable to rename '%s'", b->temporary);
    b->temporary = NULL;
    return 0;
}

void km_cache_blob_release(km_cache_blob *b)
{
    struct stat st;

    if (b->temporary && b->fd >= 0 &&
        (b->lock_fd < 0 || (fstat(b->fd, &st) == 0 && st.st_size == 0)))
        unlink(b->temporary);
    if (b->fd >= 0)
        close(b->fd);
    if (b->lock_fd >= 0)
        close(b->lock_fd);
    *b = (km_cache_blob)KM_CACHE_BLOB_INIT;
}

void km_cache_forget_tree(const km_cache *c, const char *commit)
{
    char *path = km_is_commit(commit)
                     ? km_arena_printf(c->arena, "%s/trees/%s.json", c->repo, commit)
                     : NULL;

    if (path)
        unlink(path);
}

void km_cache_sweep(const km_cache *c)
{
    char *folder = km_path_join(c->arena, c->repo, "blobs");
    time_t now = time(NULL);
    km_names names;
    struct stat st;

    if (!folder || km_dir_list(c->arena, folder, &names, NULL) < 0)
        return;
    for (size_t i = 0; i < names.count; i++) {
        const char *path = strstr(names.names[i], ".kernmill.")
                               ? km_path_join(c->arena, folder, names.names[i])
                               : NULL;
        if (path && lstat(path, &st) == 0 && now - st.st_mtime > KM_CACHE_STALE_S)
            unlink(path);
    }
}

/* --- snapshots and refs --- */

/* "../../../../blobs/{etag}": one step up for the commit, the snapshots, and each folder. */
static char *link_target(km_arena *a, const char *path, const char *etag)
{
    km_str s = KM_STR_INIT;
    char *target;

    km_str_add(&s, "../../");
    for (const char *c = path; *c; c++)
        if (*c == '/')
            km_str_add(&s, "../");
    km_str_printf(&s, "blobs/%s", etag);
    target = s.failed ? NULL : km_arena_strdup(a, s.data);
    km_str_release(&s);
    return target;
}

static bool points_to(const char *link, const char *target)
{
    char now[KM_PATH_BYTES_MAX];
    ssize_t n = readlink(link, now, sizeof now - 1);

    if (n < 0)
        return false;
    now[n] = '\0';
    return strcmp(now, target) == 0;
}

int km_cache_link(const km_cache *c, const char *commit, const char *path, const char *etag,
                  km_err *err)
{
    char *link, *target, *temporary;

    if (!km_is_commit(commit))
        return km_fail(err, KM_EFORMAT, "'%.80s' is no commit", commit);
    if (km_repo_path_check(path, err) < 0)
        return KM_EFORMAT;
    link = km_arena_printf(c->arena, "%s/snapshots/%s/%s", c->repo, commit, path);
    target = link_target(c->arena, path, etag);
    temporary = km_arena_printf(c->arena, "%s/blobs/%s.%ld.kernmill.link", c->repo, etag,
                                (long)getpid());
    if (!link || !target || !temporary)
        return km_fail_nomem(err);
    if (points_to(link, target))
        return 0;
    if (km_dir_make(km_path_dir(c->arena, link), err) < 0)
        return KM_EIO;
    if (symlink(target, link) == 0)
        return 0;
    if (errno != EEXIST)
        return km_fail_errno(err, errno, "unable to link '%s'", link);
    unlink(temporary);
    if (symlink(target, temporary) < 0 || rename(temporary, link) < 0) {
        km_fail_errno(err, errno, "unable to link '%s'", link);
        unlink(temporary);
        return KM_EIO;
    }
    return 0;
}

/* In blobs/, for what a killed process leaves in refs/ would be a revision. */
static int move_ref(const km_cache *c, const char *commit, const char *path, km_err *err)
{
    char *temporary = km_arena_printf(c->arena, "%s/blobs/%s.%ld.kernmill.ref", c->repo, commit,
                                      (long)getpid());
    int rc = temporary ? km_file_write(temporary, commit, strlen(commit), 0666, err)
                       : km_fail_nomem(err);

    if (rc == 0 && rename(temporary, path) < 0) {
        rc = km_fail_errno(err, errno, "unable to rename '%s'", temporary);
        unlink(temporary);
    }
    return rc;
}

int km_cache_write_ref(const km_cache *c, const char *revision, const char *commit, km_err *err)
{
    const char *now;
    char *path, *blobs;

    if (km_is_commit(revision))
        return 0;
    if (!km_is_commit(commit))
        return km_fail(err, KM_EFORMAT, "'%.80s' is no commit", commit);
    if (km_revision_check(revision, err) < 0)
        return KM_EFORMAT;
    now = km_cache_ref(c, revision);
    if (now && strcmp(now, commit) == 0)
        return 0;
    path = km_arena_printf(c->arena, "%s/refs/%s", c->repo, revision);
    blobs = km_path_join(c->arena, c->repo, "blobs");
    if (!path || !blobs)
        return km_fail_nomem(err);
    if (km_dir_make(blobs, err) < 0 || km_dir_make(km_path_dir(c->arena, path), err) < 0)
        return KM_EIO;
    return move_ref(c, commit, path, err);
}
