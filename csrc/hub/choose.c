#include "hub/choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/explain.h"

#define BUILD    "build/"
#define METADATA "metadata.json"

const char *km_choose_version(const km_hub_refs *refs)
{
    const char *newest = "main";
    long best = -1;

    for (size_t i = 0; i < refs->branch_count; i++)
        if (km_revision_version(refs->branches[i].name) > best) {
            newest = refs->branches[i].name;
            best = km_revision_version(newest);
        }
    return newest;
}

/* The variant of "build/<variant>/...", in the arena; NULL for what lies elsewhere. */
static char *variant_of(km_arena *a, const char *path)
{
    const char *name = km_starts_with(path, BUILD) ? path + strlen(BUILD) : NULL;
    const char *end = name ? strchr(name, '/') : NULL;

    return end ? km_arena_strndup(a, name, (size_t)(end - name)) : NULL;
}

static bool is_metadata(const km_hub_entry *e)
{
    const char *name = km_starts_with(e->path, BUILD) ? strchr(e->path + strlen(BUILD), '/') : NULL;

    return !e->is_folder && name && strcmp(name + 1, METADATA) == 0;
}

int km_choose_metadata(km_arena *a, const km_hub_tree *build, km_hub_tree *out, km_err *err)
{
    *out = (km_hub_tree){ .entries = km_arena_array(a, build->count, sizeof *out->entries) };
    if (!out->entries)
        return km_fail_nomem(err);
    for (size_t i = 0; i < build->count; i++)
        if (is_metadata(&build->entries[i]))
            out->entries[out->count++] = build->entries[i];
    return 0;
}

int km_choose_from_folder(km_arena *a, const char *root, const char **variant, km_err *err)
{
    km_system system = { 0 };
    km_explanation e = { 0 };
    const km_choice *choice;
    int rc = km_system_find(&system, err);

    *variant = NULL;
    if (rc == 0)
        rc = km_explain(&e, root, &system, err);
    if (rc < 0)
        return rc;
    choice = &e.choices[0];
    if (choice->chosen) {
        *variant = km_arena_strdup(a, choice->chosen->name);
        rc = *variant ? 0 : km_fail_nomem(err);
    } else {
        rc = km_fail(err, KM_ENOFIT, "no variant is for this machine (%s)",
                     km_system_text(a, &system));
        km_hint(err, "name one with --variant; or get --all, and `kernmill explain` its path for "
                     "the reasons");
    }
    km_explanation_release(&e);
    return rc;
}

/* A folder as explain wants it, of what is known of each variant. */
static int lay_out(km_arena *a, const km_cache *c, const km_hub_tree *build, const char *root,
                   km_err *err)
{
    size_t variants = 0;

    for (size_t i = 0; i < build->count; i++) {
        const km_hub_entry *e = &build->entries[i];
        char *variant = variant_of(a, e->path), *folder, *blob, *to;
        if (!variant)
            continue;
        folder = km_arena_printf(a, "%s/" BUILD "%s", root, variant);
        blob = km_arena_printf(a, "%s/blobs/%s", c->repo, km_hub_entry_etag(e));
        to = folder ? km_path_join(a, folder, METADATA) : NULL;
        if (!to || !blob)
            return km_fail_nomem(err);
        if (km_dir_make(folder, err) < 0 || (is_metadata(e) && km_file_copy(blob, to, err) < 0))
            return KM_EIO;
        variants++;
    }
    return variants ? 0 : km_fail(err, KM_ENOENT, "no folder in build/: it has no variants");
}

int km_choose_from_list(km_arena *a, const km_cache *c, const km_hub_tree *build,
                        const char **variant, km_err *err)
{
    char *root;
    int rc = km_dir_temporary(a, "choose", &root, err);

    if (rc < 0)
        return rc;
    rc = lay_out(a, c, build, root, err);
    if (rc == 0)
        rc = km_choose_from_folder(a, root, variant, err);
    km_dir_remove(root, NULL);
    return rc;
}
