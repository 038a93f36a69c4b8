#include "hub/get.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/zip_names.h"
#include "hub/choose.h"
#include "hub/commit.h"
#include "hub/copy.h"
#include "hub/fetch.h"
#include "pkg/intact.h"

struct get {
    km_arena *a;
    const km_endpoint *e;
    const km_get_request *request;
    km_get_result *out;
    const char *revision;        /* the request's, or the lock's commit */
    const km_lock_entry *locked; /* or NULL */
    km_wire wire;
    km_cache cache;
    const char *sub; /* the folder that is wanted: "build", or a variant's in it */
    km_hub_tree files;
};

/* --- which files --- */

static int no_variant(struct get *g, km_err *err)
{
    km_str names = KM_STR_INIT;
    km_hub_tree build;
    size_t count = 0;

    if (km_wire_tree(&g->wire, g->a, &g->request->repo, g->out->commit, "build", false, &build,
                     NULL) < 0)
        build.count = 0;
    for (size_t i = 0; i < build.count && names.length < 400; i++)
        if (build.entries[i].is_folder)
            km_str_printf(&names, "%s%s", count++ ? ", " : "", km_path_base(build.entries[i].path));
    km_fail(err, KM_ENOENT, "'%s' at '%s' has no %s", g->request->repo.id, g->out->revision,
            g->sub);
    if (count)
        km_hint(err, "its variants are: %s", names.data);
    else
        km_hint(err, "it has no built variants at all; is it a kernel repository?");
    km_str_release(&names);
    return KM_ENOENT;
}

/* From here on one variant, or NULL for all, is what is wanted. */
static int want(struct get *g, const char *variant, km_err *err)
{
    g->out->variant = variant;
    g->sub = variant ? km_arena_printf(g->a, "build/%s", variant) : "build";
    return g->sub ? 0 : km_fail_nomem(err);
}

/* Keeps of the list what is wanted. */
static void keep_wanted(struct get *g)
{
    size_t kept = 0, length = strlen(g->sub);

    g->out->size_bytes = 0;
    for (size_t i = 0; i < g->files.count; i++) {
        const km_hub_entry *e = &g->files.entries[i];
        if (!km_fetch_wants(e) || strncmp(e->path, g->sub, length) != 0 || e->path[length] != '/')
            continue;
        g->out->size_bytes += e->size_bytes;
        g->files.entries[kept++] = *e;
    }
    g->files.count = g->out->file_count = kept;
}

/* What one disk could hold only once must not decide by its order which file is loaded. */
static int check_names(const struct get *g, km_err *err)
{
    const char **names = km_arena_array(g->a, g->files.count, sizeof *names);

    if (!names)
        return km_fail_nomem(err);
    for (size_t i = 0; i < g->files.count; i++)
        names[i] = g->files.entries[i].path;
    return km_zip_check_names(g->a, names, g->files.count, err);
}

static int list_files(struct get *g, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc = km_wire_tree(&g->wire, g->a, &g->request->repo, g->out->commit, g->sub, true,
                          &g->files, &why);

    if (rc == KM_ENOENT)
        return no_variant(g, err);
    if (rc < 0) {
        if (err)
            *err = why;
        return rc;
    }
    keep_wanted(g);
    return g->files.count ? check_names(g, err) : no_variant(g, err);
}

/* By what is known without the libraries. */
static int choose(struct get *g, km_err *err)
{
    const char *variant;
    km_hub_tree metadata;
    int rc = km_choose_metadata(g->a, &g->files, &metadata, err);

    if (rc == 0)
        rc = km_fetch_files(&g->wire, &g->cache, &g->request->repo, g->out->commit, &metadata,
                            &g->out->downloaded_bytes, err);
    if (rc == 0)
        rc = km_choose_from_list(g->a, &g->cache, &g->files, &variant, err);
    if (rc == 0)
        rc = want(g, variant, err);
    if (rc == 0)
        keep_wanted(g);
    return rc;
}

/* --- where they go --- */

/* Without it nobody imports what stands beside it. */
static bool is_entry(const km_hub_entry *e)
{
    return strcmp(km_path_base(e->path), "__init__.py") == 0;
}

/* The links that make a variant one come last, and then the name of the revision: who is killed in
 * between leaves no half variant that could be loaded by its commit. */
static int link_files(struct get *g, km_err *err)
{
    int rc = 0;

    for (int last = 0; last < 2; last++)
        for (size_t i = 0; i < g->files.count && rc == 0; i++)
            if (is_entry(&g->files.entries[i]) == (last == 1))
                rc = km_cache_link(&g->cache, g->out->commit, g->files.entries[i].path,
                                   km_hub_entry_etag(&g->files.entries[i]), err);
    if (rc == 0)
        rc = km_cache_write_ref(&g->cache, g->out->revision, g->out->commit, err);
    return rc;
}

/* The name below the folder that is handed out. */
static const char *name_in_output(const struct get *g, const km_hub_entry *e)
{
    return g->out->variant ? e->path + strlen(g->sub) + 1 : e->path;
}

static int write_output(struct get *g, km_err *err)
{
    km_copy *files = km_arena_array(g->a, g->files.count + 1, sizeof *files);

    if (!files)
        return km_fail_nomem(err);
    for (size_t i = 0; i < g->files.count; i++) {
        const km_hub_entry *e = &g->files.entries[i];
        files[i].name = name_in_output(g, e);
        files[i].from = km_arena_printf(g->a, "%s/blobs/%s", g->cache.repo, km_hub_entry_etag(e));
        if (!files[i].from)
            return km_fail_nomem(err);
    }
    return km_copy_out(g->a, g->request->output, files, g->files.count, &g->out->path, err);
}

static int set_path(struct get *g, km_err *err)
{
    const char *snapshot = km_cache_snapshot(&g->cache, g->out->commit);

    g->out->path = snapshot && g->out->variant ? km_path_join(g->a, snapshot, g->sub) : snapshot;
    return g->out->path ? 0 : km_fail_nomem(err);
}

/* The files of the list against the lock, then those whose content alone tells. */
static int fetch_locked(struct get *g, km_err *err)
{
    km_refusals *refused = &g->out->refused;
    int rc = 0;

    if (g->locked)
        rc = km_locked_check_list(g->a, g->locked, g->sub, &g->files, refused, err);
    if (rc == 0 && !refused->count)
        rc = km_fetch_files(&g->wire, &g->cache, &g->request->repo, g->out->commit, &g->files,
                            &g->out->downloaded_bytes, err);
    if (rc == 0 && !refused->count && g->locked)
        rc = km_locked_check_blobs(g->a, g->locked, &g->cache, &g->files, refused, err);
    return rc;
}

static int get_online(struct get *g, km_err *err)
{
    int rc = km_commit_find(&g->wire, g->a, &g->request->repo, g->revision, &g->out->revision,
                            g->out->commit, err);

    if (rc == 0)
        rc = list_files(g, err);
    km_cache_sweep(&g->cache);
    if (rc == 0 && !g->request->variant && !g->request->all)
        rc = choose(g, err);
    if (rc == 0)
        rc = fetch_locked(g, err);
    if (rc < 0 || g->out->refused.count)
        return rc;
    rc = g->request->output ? write_output(g, err) : link_files(g, err);
    if (rc == 0 && !g->request->output)
        rc = set_path(g, err);
    return rc;
}

/* --- without a network --- */

static int choose_here(struct get *g, km_err *err)
{
    const char *variant;
    int rc = km_choose_from_folder(g->a, g->out->path, &variant, err);

    if (rc == 0)
        rc = want(g, variant, err);
    return rc == 0 ? set_path(g, err) : rc;
}

static int check_here(struct get *g, km_err *err)
{
    km_refusals *refused = &g->out->refused;
    km_intact v;
    int rc = km_intact_snapshot(&v, km_cache_snapshot(&g->cache, g->out->commit), g->out->variant,
                                g->request->lock, err);

    if (rc < 0)
        return rc;
    refused->items = km_arena_array(g->a, v.findings.count + 1, sizeof *refused->items);
    for (size_t i = 0; refused->items && i < v.findings.count; i++) {
        km_refusal *r = &refused->items[refused->count++];
        r->path = km_arena_strdup(g->a, v.findings.items[i].place);
        r->message = km_arena_strdup(g->a, v.findings.items[i].message);
        if (!r->path || !r->message)
            refused->items = NULL;
    }
    km_intact_release(&v);
    if (refused->count)
        g->out->path = NULL;
    return refused->items ? 0 : km_fail_nomem(err);
}

static int find_here(struct get *g, km_err *err)
{
    int rc = g->request->variant || g->request->all ? 0 : choose_here(g, err);

    return rc == 0 && g->locked ? check_here(g, err) : rc;
}

static int get_offline(struct get *g, km_err *err)
{
    const char *revision = g->revision;
    const char *commit;

    if (!revision)
        revision = km_cache_newest(&g->cache);
    commit = km_cache_ref(&g->cache, revision);
    if (g->request->output) {
        km_fail(err, KM_EENV,
                "HF_HUB_OFFLINE is set, and a new folder needs the hub's list of files");
        return km_hint(err, "leave --output out to use what the cache has");
    }
    g->out->revision = revision;
    if (commit) {
        memcpy(g->out->commit, commit, KM_OID_HEX_BYTES);
        if (set_path(g, err) < 0)
            return KM_ENOMEM;
        if (km_dir_exists(g->out->path))
            return find_here(g, err);
    }
    km_fail(err, KM_ENOENT, "'%s' at '%s' is not in the cache, and HF_HUB_OFFLINE is set",
            g->request->repo.id, revision);
    return km_hint(err, "unset HF_HUB_OFFLINE, or name a version that was downloaded before");
}

/* A lock says which commit. */
static int find_locked(struct get *g, km_err *err)
{
    const km_get_request *r = g->request;

    g->revision = r->revision;
    if (!r->lock)
        return 0;
    g->locked = km_lock_find(r->lock, r->repo.id, r->revision);
    if (!g->locked) {
        km_fail(err, KM_ENOENT, "the lock has no %s%s%s", r->repo.id, r->revision ? " at " : "",
                r->revision ? r->revision : "");
        return km_hint(err, "add it to [tool.kernels.dependencies], then: kernmill lock");
    }
    g->revision = g->locked->commit;
    return 0;
}

int km_get(km_arena *a, const km_endpoint *e, km_http *http, const km_get_request *request,
           km_get_result *out, km_err *err)
{
    struct get g = { .a = a, .e = e, .request = request, .out = out, .wire = { http, e->url } };
    struct stat st;
    int rc;

    *out = (km_get_result){ 0 };
    if (want(&g, request->variant, err) < 0)
        return KM_ENOMEM;
    if (request->revision && km_revision_check(request->revision, err) < 0)
        return KM_EFORMAT;
    if (request->output && lstat(request->output, &st) == 0)
        return km_fail(err, KM_EUSAGE, "'%s' exists; what is downloaded becomes a new folder",
                       request->output);
    rc = find_locked(&g, err);
    if (rc == 0)
        rc = km_cache_init(&g.cache, a, e->cache, &request->repo, err);
    if (rc == 0)
        rc = e->offline ? get_offline(&g, err) : get_online(&g, err);
    if (rc == 0 && g.locked && !out->refused.count && !request->output)
        km_cache_forget_tree(&g.cache, out->commit);
    return rc;
}
