/* What is there, what is here, and the difference. */
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "hub/publish_internal.h"

const char *const km_change_names[] = { "add", "replace", "delete" };

/* --- what is there --- */

static void set_newest(struct publish *p, const km_hub_refs *refs)
{
    p->newest = 0;
    for (size_t i = 0; i < refs->branch_count; i++)
        if (km_revision_version(refs->branches[i].name) > p->newest)
            p->newest = km_revision_version(refs->branches[i].name);
}

static int list(struct publish *p, const char *commit, km_hub_tree *out, km_err *err)
{
    *out = (km_hub_tree){ NULL, 0 };
    return *commit ? km_wire_tree(&p->wire, p->a, &p->request->repo, commit, NULL, true, out, err)
                   : 0;
}

int km_publish_look(struct publish *p, km_err *err)
{
    const char *main, *head;
    km_err why = KM_ERR_INIT;
    km_hub_refs refs;
    int rc = km_wire_refs(&p->wire, p->a, &p->request->repo, &refs, &why);

    p->repo_there = p->branch_there = false;
    p->main[0] = p->head[0] = '\0';
    p->newest = 0;
    p->files = p->card = (km_hub_tree){ NULL, 0 };
    if (rc == KM_ENOENT)
        return 0;
    if (rc < 0) {
        if (err)
            *err = why;
        return rc;
    }
    p->repo_there = true;
    set_newest(p, &refs);
    main = km_hub_refs_find(&refs, "main");
    head = km_hub_refs_find(&refs, p->out->branch);
    p->branch_there = head != NULL;
    if (main)
        memcpy(p->main, main, KM_OID_HEX_BYTES);
    if (head || main)
        memcpy(p->head, head ? head : main, KM_OID_HEX_BYTES);
    rc = list(p, p->head, &p->files, err);
    if (rc == 0)
        rc = list(p, p->main, &p->card, err);
    return rc;
}

/* --- the difference --- */

/* A branch that is at main's commit was made and not filled: nothing in it is a version's. */
static bool is_fresh(const struct publish *p)
{
    return !p->branch_there || strcmp(p->head, p->main) == 0;
}

static bool is_card(const char *path)
{
    return strcmp(path, "README.md") == 0 || km_starts_with(path, "speed/");
}

/* Whether a file that is there, and not here, goes. */
static bool goes(const struct publish *p, const char *path)
{
    size_t length;
    const char *variant = km_packed_variant_of(path, &length);

    if (variant)
        return is_fresh(p) || km_packed_has_variant(p->packed, variant, length);
    return km_starts_with(path, "speed/") || strcmp(path, "tests.json") == 0;
}

static void add(km_changes *c, km_change_kind kind, const char *path, const km_upload *file)
{
    c->items[c->count++] = (km_change){ kind, path, file };
    c->bytes += file ? file->size_bytes : 0;
}

static int by_path(const void *x, const void *y)
{
    return strcmp(((const km_change *)x)->path, ((const km_change *)y)->path);
}

static int compare(struct publish *p, const km_hub_tree *there, bool card_alone, km_changes *out,
                   km_err *err)
{
    const km_packed *k = p->packed;

    *out = (km_changes){ 0 };
    out->items = km_arena_array(p->a, k->file_count + there->count + 1, sizeof *out->items);
    if (!out->items)
        return km_fail_nomem(err);
    for (size_t i = 0; i < k->file_count; i++) {
        const km_upload *u = &k->files[i];
        const km_hub_entry *e = km_hub_tree_find(there, u->path);
        if ((card_alone && !is_card(u->path)) || km_upload_is(u, e))
            continue;
        add(out, e ? KM_CHANGE_REPLACE : KM_CHANGE_ADD, u->path, u);
    }
    for (size_t i = 0; i < there->count; i++) {
        const km_hub_entry *e = &there->entries[i];
        if (e->is_folder || km_packed_find(k, e->path) || (card_alone && !is_card(e->path)) ||
            !goes(p, e->path))
            continue;
        add(out, KM_CHANGE_DELETE, e->path, NULL);
    }
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, by_path);
    return 0;
}

/* Variants of others, each once: the list is sorted by path. */
static int list_kept(struct publish *p, km_err *err)
{
    km_publish_result *out = p->out;

    out->kept_count = 0;
    out->kept = km_arena_array(p->a, p->files.count + 1, sizeof *out->kept);
    if (!out->kept)
        return km_fail_nomem(err);
    for (size_t i = 0; i < p->files.count && !is_fresh(p); i++) {
        const km_hub_entry *e = &p->files.entries[i];
        size_t length;
        const char *variant = e->is_folder ? NULL : km_packed_variant_of(e->path, &length);
        char *name;
        if (!variant || km_packed_has_variant(p->packed, variant, length))
            continue;
        name = km_arena_strndup(p->a, variant, length);
        if (!name)
            return km_fail_nomem(err);
        if (!out->kept_count || strcmp(out->kept[out->kept_count - 1], name) != 0)
            out->kept[out->kept_count++] = name;
    }
    return 0;
}

int km_publish_compare(struct publish *p, km_err *err)
{
    int rc = compare(p, &p->files, false, &p->out->changes, err);

    p->out->card = (km_changes){ 0 };
    if (rc == 0 && p->packed->version >= p->newest && !p->request->create_pr)
        rc = compare(p, &p->card, true, &p->out->card, err);
    return rc == 0 ? list_kept(p, err) : rc;
}
