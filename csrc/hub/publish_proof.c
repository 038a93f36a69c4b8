/* The proof: what others will get is what is here. Into a cache of its own, which goes afterwards,
 * so that every byte comes over the network and every digest is computed from it. */
#include <string.h>

#include "core/file.h"
#include "hub/fetch.h"
#include "hub/publish_internal.h"

static int differs(const char *path, const char *commit, const char *what, km_err *err)
{
    km_fail(err, KM_EFORMAT, "read again, '%s' at %.12s %s", path, commit, what);
    return km_hint(err,
                   "run `kernmill publish` again; what is wrong is told to nobody yet but you");
}

/* Keeps of the list what was published, and knows that all of it is there and nothing else beside.
 */
static int match(struct publish *p, const char *commit, km_hub_tree *there, km_err *err)
{
    size_t kept = 0, length;

    for (size_t i = 0; i < p->packed->file_count; i++) {
        const km_upload *u = &p->packed->files[i];
        const km_hub_entry *e = km_hub_tree_find(there, u->path);
        if (!km_upload_is(u, e))
            return differs(u->path, commit, e ? "is another file" : "is not there", err);
    }
    for (size_t i = 0; i < there->count; i++) {
        const km_hub_entry *e = &there->entries[i];
        const char *variant = e->is_folder ? NULL : km_packed_variant_of(e->path, &length);
        if (km_packed_find(p->packed, e->path))
            there->entries[kept++] = *e;
        else if (variant && km_packed_has_variant(p->packed, variant, length))
            return differs(e->path, commit, "is there, and not here", err);
    }
    there->count = kept;
    return 0;
}

int km_publish_read_again(struct publish *p, const char *commit, km_err *err)
{
    char *root = NULL;
    km_hub_tree there = { NULL, 0 };
    km_cache cache;
    int rc = km_wire_tree(&p->wire, p->a, &p->request->repo, commit, NULL, true, &there, err);

    if (rc == 0)
        rc = match(p, commit, &there, err);
    if (rc == 0)
        rc = km_dir_temporary(p->a, "publish", &root, err);
    if (rc < 0)
        return rc;
    rc = km_cache_init(&cache, p->a, root, &p->request->repo, err);
    if (rc == 0)
        rc = km_fetch_files(&p->wire, &cache, &p->request->repo, commit, &there,
                            &p->out->verified_bytes, err);
    km_dir_remove(root, NULL);
    return rc;
}
