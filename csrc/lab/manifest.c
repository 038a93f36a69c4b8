#include "lab/manifest.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/path.h"

bool km_manifest_is_open(const char *path, const char *prefix, const char *const *change,
                         size_t count)
{
    size_t n = strlen(prefix);

    if (strncmp(path, prefix, n) != 0)
        return false;
    path += n;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(change[i]);
        while (length && change[i][length - 1] == '/')
            length--;
        if (strncmp(path, change[i], length) == 0 && (!path[length] || path[length] == '/'))
            return true;
    }
    return false;
}

/* A link is what it points to; anything else but a file (a submodule) is its name alone. */
static int hash_path(km_arena *a, const char *tree, const char *name, km_sha256 *out, km_err *err)
{
    char *path = km_path_join(a, tree, name), target[4096];
    struct stat st;
    ssize_t n = 0;

    if (!path)
        return km_fail_nomem(err);
    if (lstat(path, &st) < 0)
        return km_fail(err, KM_ENOENT, "'%s' is gone", name);
    if (S_ISREG(st.st_mode))
        return km_hash_file(path, out, err);
    if (S_ISLNK(st.st_mode))
        n = readlink(path, target, sizeof target);
    return km_hash_bytes(target, n < 0 ? 0 : (size_t)n, out, err);
}

static int add(km_arena *a, const char *tree, const char *name, km_manifest *out, km_hasher *h,
               km_err *err)
{
    km_sha256 *hash = &out->hashes[out->paths.count];
    int rc = hash_path(a, tree, name, hash, err);

    if (rc < 0)
        return rc;
    out->paths.items[out->paths.count++] = (char *)name;
    km_hasher_add_text(h, name);
    km_hasher_add(h, hash, sizeof *hash);
    return 0;
}

int km_manifest_make(km_arena *a, const char *tree, const char *prefix, const char *const *change,
                     size_t count, km_manifest *out, km_err *err)
{
    km_git g = { a, tree, NULL };
    km_git_list all;
    km_sha256 digest;
    km_hasher h;
    int rc = km_git_names(&g, &all, err,
                          KM_GIT("ls-tree", "-r", "-z", "--name-only", "--full-tree", "HEAD"));

    if (rc < 0)
        return rc;
    out->paths = (km_git_list){ km_arena_array(a, all.count + 1, sizeof(char *)), 0 };
    out->hashes = km_arena_array(a, all.count + 1, sizeof *out->hashes);
    if (!out->paths.items || !out->hashes)
        return km_fail_nomem(err);
    km_hasher_init(&h);
    for (size_t i = 0; rc == 0 && i < all.count; i++)
        if (!km_manifest_is_open(all.items[i], prefix, change, count))
            rc = add(a, tree, all.items[i], out, &h, err);
    if (km_hasher_final(&h, &digest, rc < 0 ? NULL : err) < 0 && rc == 0)
        rc = KM_EIO;
    km_hash_hex(&digest, out->digest);
    return rc;
}

int km_manifest_check(const km_manifest *m, const char *tree, const char **odd, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_err why = KM_ERR_INIT;
    km_sha256 now;
    int rc = 0;

    *odd = NULL;
    for (size_t i = 0; rc == 0 && !*odd && i < m->paths.count; i++) {
        rc = hash_path(&a, tree, m->paths.items[i], &now, &why);
        if (rc == KM_ENOENT || (rc == 0 && memcmp(&now, &m->hashes[i], sizeof now) != 0)) {
            *odd = m->paths.items[i];
            rc = 0;
        }
    }
    km_arena_release(&a);
    if (rc < 0 && err)
        *err = why;
    return rc;
}
