#include "hub/commit.h"

#include <string.h>

#include "core/str.h"
#include "hub/choose.h"

static int no_revision(const km_repo *repo, const km_hub_refs *refs, const char *revision,
                       km_err *err)
{
    km_str names = KM_STR_INIT;

    for (size_t i = 0; i < refs->branch_count && names.length < 300; i++)
        km_str_printf(&names, "%s%s", i ? ", " : "", refs->branches[i].name);
    km_fail(err, KM_ENOENT, "'%s' has no revision '%s'", repo->id, revision);
    if (names.length)
        km_hint(err, "its branches are: %s", names.data);
    km_str_release(&names);
    return KM_ENOENT;
}

/* "refs/pr/3" is not in the list. */
static int ask_for(const km_wire *w, km_arena *a, const km_repo *repo, const km_hub_refs *refs,
                   const char *revision, char commit[KM_OID_HEX_BYTES], km_err *err)
{
    km_err why = KM_ERR_INIT;
    km_hub_info info;
    int rc = km_wire_info(w, a, repo, revision, &info, &why);

    if (rc == KM_ENOENT)
        return no_revision(repo, refs, revision, err);
    if (rc < 0 && err)
        *err = why;
    if (rc == 0)
        memcpy(commit, info.commit, KM_OID_HEX_BYTES);
    return rc;
}

int km_commit_find(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                   const char **name, char commit[KM_OID_HEX_BYTES], km_err *err)
{
    const char *found;
    km_hub_refs refs;

    *name = revision;
    if (revision && km_is_commit(revision)) {
        memcpy(commit, revision, KM_OID_HEX_BYTES);
        return 0;
    }
    if (km_wire_refs(w, a, repo, &refs, err) < 0)
        return err ? err->code : KM_EIO;
    if (!revision)
        *name = km_choose_version(&refs);
    found = km_hub_refs_find(&refs, *name);
    if (!found)
        return ask_for(w, a, repo, &refs, *name, commit, err);
    memcpy(commit, found, KM_OID_HEX_BYTES);
    return 0;
}
