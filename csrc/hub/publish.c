#include "hub/publish.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "hub/fetch.h"
#include "hub/publish_internal.h"

/* --- may it be --- */

static int check_request(struct publish *p, km_err *err)
{
    const km_publish_request *r = p->request;

    if (p->e->offline) {
        km_fail(err, KM_EENV, "HF_HUB_OFFLINE is set");
        return km_hint(err, "unset it to publish");
    }
    if (!p->e->token && !r->dry_run && r->transport == KM_TRANSPORT_HTTP) {
        km_fail(err, KM_EENV, "there is no token for '%s'", p->e->url);
        return km_hint(err, "hf auth login; or set HF_TOKEN to one that may write to '%s'",
                       r->repo.id);
    }
    if (r->create_pr && r->transport == KM_TRANSPORT_HF)
        return km_fail(err, KM_EUSAGE,
                       "`hf` makes no proposals (--create-pr) to kernel repositories");
    return 0;
}

static int check_against(struct publish *p, km_err *err)
{
    if (p->newest > p->packed->version) {
        km_fail(err, KM_EUSAGE, "'%s' is at version %ld, and this is version %ld",
                p->request->repo.id, p->newest, p->packed->version);
        return km_hint(err, "raise `version` in build.toml, and pack again");
    }
    if (p->request->create_pr && !p->branch_there) {
        km_fail(err, KM_EUSAGE, "a proposal needs the branch that it is for: '%s' has no '%s'",
                p->request->repo.id, p->out->branch);
        return km_hint(err, "ask its owner to make it");
    }
    return 0;
}

/* --- by our own requests --- */

static int make_places(struct publish *p, km_err *err)
{
    bool made;
    int rc = 0;

    if (!p->repo_there)
        rc = km_wire_create_repo(&p->wire, p->a, &p->request->repo, p->request->private_repo, &made,
                                 err);
    if (rc == 0 && !p->branch_there)
        rc = km_wire_create_branch(&p->wire, p->a, &p->request->repo, p->out->branch, err);
    if (rc == 0 && (!p->repo_there || !p->branch_there)) { /* with what came with them */
        rc = km_publish_look(p, err);
        if (rc == 0)
            rc = km_publish_compare(p, err);
    }
    return rc;
}

/* The files that go there, and the names that go away. */
static int split(struct publish *p, const km_changes *c, km_commit *commit, km_err *err)
{
    km_upload *files = km_arena_array(p->a, c->count + 1, sizeof *files);
    const char **deleted = km_arena_array(p->a, c->count + 1, sizeof *deleted);

    if (!files || !deleted)
        return km_fail_nomem(err);
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].file)
            files[commit->file_count++] = *c->items[i].file;
        else
            deleted[commit->deleted_count++] = c->items[i].path;
    commit->files = files;
    commit->deleted = deleted;
    return km_wire_preupload(&p->wire, p->a, &p->request->repo, p->out->branch, commit->create_pr,
                             files, commit->file_count, err);
}

/* Made, although its answer did not come? */
static int was_made(struct publish *p, const char *before, km_commit_result *result,
                    const km_err *why, km_err *err)
{
    const km_changes changes = p->out->changes;

    if (km_publish_look(p, NULL) == 0 && strcmp(p->head, before) != 0 &&
        km_publish_compare(p, NULL) == 0 && !p->out->changes.count) {
        memcpy(result->commit, p->head, KM_OID_HEX_BYTES);
        p->out->changes = changes;
        return 0;
    }
    p->out->changes = changes;
    if (err)
        *err = *why;
    return why->code;
}

static int commit_by_http(struct publish *p, const char *revision, const char *parent,
                          const km_changes *changes, const char *message, km_commit_result *result,
                          km_err *err)
{
    const km_repo *repo = &p->request->repo;
    bool on_branch = strcmp(revision, p->out->branch) == 0;
    char before[KM_OID_HEX_BYTES];
    km_err why = KM_ERR_INIT;
    km_commit c = { .summary = message,
                    .description = "",
                    .parent = parent,
                    .create_pr = on_branch && p->request->create_pr };
    int rc = split(p, changes, &c, err);

    memcpy(before, parent, KM_OID_HEX_BYTES);
    for (size_t i = 0; i < c.file_count && rc == 0; i++)
        if (c.files[i].large)
            rc = km_wire_upload(&p->wire, p->a, repo, revision, &c.files[i], err);
    if (rc < 0)
        return rc;
    rc = km_wire_commit(&p->wire, p->a, repo, revision, &c, result, &why);
    if (rc == 0)
        return 0;
    if ((rc == KM_EIO || rc == KM_ETIME) && on_branch && !c.create_pr)
        return was_made(p, before, result, &why, err);
    if (err)
        *err = why;
    return rc;
}

/* --- both ways --- */

static int commit(struct publish *p, const char *revision, const char *parent,
                  const km_changes *changes, const char *message, km_commit_result *result,
                  km_err *err)
{
    *result = (km_commit_result){ 0 };
    if (p->request->transport == KM_TRANSPORT_HF)
        return km_publish_by_hf(p, revision, changes, message, err);
    return commit_by_http(p, revision, parent, changes, message, result, err);
}

static int publish_version(struct publish *p, km_err *err)
{
    km_publish_result *out = p->out;
    const char *message = p->request->message;
    km_commit_result made;
    int rc;

    if (!message)
        message = km_arena_printf(p->a, "%s version %ld: %zu variant%s", p->packed->name,
                                  p->packed->version, p->packed->variant_count,
                                  p->packed->variant_count == 1 ? "" : "s");
    if (!message)
        return km_fail_nomem(err);
    rc = commit(p, out->branch, p->head, &out->changes, message, &made, err);
    if (rc < 0)
        return rc;
    out->status = made.pull_request ? "pull_request_created" : "uploaded";
    out->pull_request = made.pull_request;
    memcpy(out->commit, made.commit, KM_OID_HEX_BYTES);
    return 0;
}

static int publish_card(struct publish *p, km_err *err)
{
    km_commit_result made;
    int rc = commit(p, "main", p->main, &p->out->card, "The card of the newest version", &made,
                    err);

    if (rc == 0 && strcmp(p->out->status, "no_changes") == 0)
        p->out->status = "uploaded";
    return rc;
}

/* The branch as it is now, when no answer said it. */
static int find_commit(struct publish *p, km_err *err)
{
    int rc = *p->out->commit ? 0 : km_publish_look(p, err);

    if (rc == 0 && !*p->out->commit)
        memcpy(p->out->commit, p->head, KM_OID_HEX_BYTES);
    return rc;
}

static int publish(struct publish *p, km_err *err)
{
    km_publish_result *out = p->out;
    int rc = km_publish_look(p, err);

    if (rc == 0)
        rc = check_against(p, err);
    if (rc == 0)
        rc = km_publish_compare(p, err);
    if (rc < 0)
        return rc;
    out->makes_repo = !p->repo_there;
    out->makes_branch = !p->branch_there;
    if (p->request->dry_run) {
        if (out->changes.count || out->card.count)
            out->status = "would_upload";
        return 0;
    }
    if (p->request->transport == KM_TRANSPORT_HTTP)
        rc = make_places(p, err);
    if (rc == 0 && out->changes.count)
        rc = publish_version(p, err);
    if (rc == 0 && out->card.count)
        rc = publish_card(p, err);
    if (rc == 0)
        rc = find_commit(p, err);
    return rc == 0 ? km_publish_read_again(p, out->commit, err) : rc;
}

int km_publish(km_arena *a, const km_endpoint *e, km_http *http, const km_packed *packed,
               const km_publish_request *request, km_publish_result *out, km_err *err)
{
    struct publish p = {
        .a = a, .e = e, .packed = packed, .request = request, .out = out, .wire = { http, e->url }
    };
    int rc;

    *out = (km_publish_result){ .status = "no_changes",
                                .branch = km_arena_printf(a, "v%ld", packed->version) };
    rc = out->branch ? check_request(&p, err) : km_fail_nomem(err);
    return rc == 0 ? publish(&p, err) : rc;
}
