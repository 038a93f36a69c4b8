#include "hub/locked.h"

#include <string.h>

#include "hub/fetch.h"

static int refuse(km_arena *a, km_refusals *out, const char *path, const char *message, km_err *err)
{
    km_refusal *items;

    if ((out->count & (out->count - 1)) == 0) { /* full: 1, 2, 4, 8, ... */
        items = km_arena_array(a, out->count ? 2 * out->count : 1, sizeof *items);
        if (!items)
            return km_fail_nomem(err);
        if (out->count)
            memcpy(items, out->items, out->count * sizeof *items);
        out->items = items;
    }
    out->items[out->count++] = (km_refusal){ path, message };
    return 0;
}

static int check_entry(km_arena *a, const km_lock_entry *e, const km_hub_entry *file,
                       km_refusals *out, km_err *err)
{
    const km_lock_file *locked = km_lock_file_find(e, file->path);

    if (!locked)
        return refuse(a, out, file->path, "is not in the lock", err);
    if (locked->size_bytes != file->size_bytes)
        return refuse(a, out, file->path, "has another size than the lock says", err);
    if (*file->sha256 && strcmp(file->sha256, locked->sha256) != 0)
        return refuse(a, out, file->path, "has another digest than the lock says", err);
    return 0;
}

int km_locked_check_list(km_arena *a, const km_lock_entry *e, const char *sub,
                         const km_hub_tree *files, km_refusals *out, km_err *err)
{
    size_t length = strlen(sub);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < files->count; i++)
        rc = check_entry(a, e, &files->entries[i], out, err);
    for (size_t i = 0; rc == 0 && i < e->file_count; i++) {
        const char *path = e->files[i].path;
        if (strncmp(path, sub, length) == 0 && path[length] == '/' &&
            !km_hub_tree_find(files, path))
            rc = refuse(a, out, path, "is in the lock, and the hub has it no more", err);
    }
    return rc;
}

int km_locked_check_blobs(km_arena *a, const km_lock_entry *e, const km_cache *c,
                          const km_hub_tree *files, km_refusals *out, km_err *err)
{
    char sha256[KM_SHA256_HEX_BYTES];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < files->count; i++) {
        const km_hub_entry *file = &files->entries[i];
        const km_lock_file *locked = km_lock_file_find(e, file->path);
        if (*file->sha256 || !locked)
            continue;
        rc = km_fetch_sha256(c, file, sha256, err);
        if (rc == 0 && strcmp(sha256, locked->sha256) != 0)
            rc = refuse(a, out, file->path, "has another digest than the lock says", err);
    }
    return rc;
}
