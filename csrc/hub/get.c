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
#include "hub/choose.h"
#include "hub/fetch.h"

#define COPY_BYTES (64u << 10)

struct get {
    km_arena *a;
    const km_endpoint *e;
    const km_get_request *request;
    km_get_result *out;
    km_wire wire;
    km_cache cache;
    const char *sub; /* the folder that is wanted: "build", or a variant's in it */
    km_hub_tree files;
};

/* --- which commit --- */

static const char *newest_version(const km_hub_refs *refs)
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

static int no_revision(const km_hub_refs *refs, const char *revision, km_err *err)
{
    km_str names = KM_STR_INIT;

    for (size_t i = 0; i < refs->branch_count && names.length < 300; i++)
        km_str_printf(&names, "%s%s", i ? ", " : "", refs->branches[i].name);
    km_fail(err, KM_ENOENT, "the repository has no revision '%s'", revision);
    if (names.length)
        km_hint(err, "its branches are: %s", names.data);
    km_str_release(&names);
    return KM_ENOENT;
}

static int find_commit(struct get *g, km_err *err)
{
    const km_get_request *r = g->request;
    const char *commit;
    km_hub_info info;
    km_hub_refs refs;

    if (r->revision && km_is_commit(r->revision)) {
        g->out->revision = r->revision;
        memcpy(g->out->commit, r->revision, KM_OID_HEX_BYTES);
        return 0;
    }
    if (km_wire_refs(&g->wire, g->a, &r->repo, &refs, err) < 0)
        return err ? err->code : KM_EIO;
    g->out->revision = r->revision ? r->revision : newest_version(&refs);
    commit = km_hub_refs_find(&refs, g->out->revision);
    if (!commit) { /* "refs/pr/3" is not in the list */
        km_err why = KM_ERR_INIT;
        int rc = km_wire_info(&g->wire, g->a, &r->repo, g->out->revision, &info, &why);
        if (rc == KM_ENOENT)
            return no_revision(&refs, g->out->revision, err);
        if (rc < 0 && err)
            *err = why;
        if (rc < 0)
            return rc;
        commit = info.commit;
    }
    memcpy(g->out->commit, commit, KM_OID_HEX_BYTES);
    return 0;
}

/* --- which files --- */

/* What a Python process left behind there is nobody's kernel. */
static bool is_wanted(const km_hub_entry *e)
{
    return !e->is_folder && !km_ends_with(e->path, ".pyc") && !strstr(e->path, "/__pycache__/");
}

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
        if (!is_wanted(e) || strncmp(e->path, g->sub, length) != 0 || e->path[length] != '/')
            continue;
        g->out->size_bytes += e->size_bytes;
        g->files.entries[kept++] = *e;
    }
    g->files.count = g->out->file_count = kept;
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
    return g->files.count ? 0 : no_variant(g, err);
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

static int link_files(struct get *g, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < g->files.count && rc == 0; i++)
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

static int copy_bytes(int in, int out, const char *to, km_err *err)
{
    char piece[COPY_BYTES];
    ssize_t n;

    while ((n = read(in, piece, sizeof piece)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        for (ssize_t done = 0, w; n > 0 && done < n; done += w) {
            w = write(out, piece + done, (size_t)(n - done));
            if (w < 0 && errno == EINTR)
                w = 0;
            if (w < 0)
                n = -1;
        }
        if (n < 0)
            return km_fail_errno(err, errno, "unable to copy to '%s'", to);
    }
    return fsync(out) < 0 ? km_fail_errno(err, errno, "unable to flush '%s'", to) : 0;
}

/* In pieces: km_file_copy would hold a library of any size in memory. */
static int copy_file(const char *from, const char *to, km_err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), rc;
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    rc = out < 0 ? km_fail_errno(err, errno, "unable to copy to '%s'", to)
                 : copy_bytes(in, out, to, err);
    if (out >= 0 && close(out) < 0 && rc == 0)
        rc = km_fail_errno(err, errno, "unable to close '%s'", to);
    if (in >= 0)
        close(in);
    return rc;
}

static int copy_files(struct get *g, const char *folder, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < g->files.count && rc == 0; i++) {
        const km_hub_entry *e = &g->files.entries[i];
        char *to = km_path_join(g->a, folder, name_in_output(g, e));
        char *from = km_arena_printf(g->a, "%s/blobs/%s", g->cache.repo, km_hub_entry_etag(e));
        if (!to || !from)
            return km_fail_nomem(err);
        rc = km_dir_make(km_path_dir(g->a, to), err);
        if (rc == 0)
            rc = copy_file(from, to, err);
    }
    return rc;
}

/* Without slashes at its end, which would make the temporary name one inside it. */
static char *plain_output(struct get *g)
{
    char *output = km_arena_strdup(g->a, g->request->output);
    size_t n = output ? strlen(output) : 0;

    while (n > 1 && output[n - 1] == '/')
        output[--n] = '\0';
    return output;
}

/* Under another name first: whoever looks sees no half of it. */
static int write_output(struct get *g, km_err *err)
{
    const char *output = plain_output(g);
    char *temporary = !output ? NULL : km_arena_printf(g->a, "%s.tmp.%ld", output, (long)getpid());
    int rc = temporary ? km_dir_remove(temporary, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_dir_make(temporary, err);
    if (rc == 0)
        rc = copy_files(g, temporary, err);
    if (rc == 0 && rename(temporary, output) < 0)
        rc = km_fail_errno(err, errno, "unable to rename '%s' to '%s'", temporary, output);
    if (rc < 0 && temporary)
        km_dir_remove(temporary, NULL);
    g->out->path = output;
    return rc;
}

static int set_path(struct get *g, km_err *err)
{
    const char *snapshot = km_cache_snapshot(&g->cache, g->out->commit);

    g->out->path = snapshot && g->out->variant ? km_path_join(g->a, snapshot, g->sub) : snapshot;
    return g->out->path ? 0 : km_fail_nomem(err);
}

static int get_online(struct get *g, km_err *err)
{
    int rc = find_commit(g, err);

    if (rc == 0)
        rc = list_files(g, err);
    km_cache_sweep(&g->cache);
    if (rc == 0 && !g->request->variant && !g->request->all)
        rc = choose(g, err);
    if (rc == 0)
        rc = km_fetch_files(&g->wire, &g->cache, &g->request->repo, g->out->commit, &g->files,
                            &g->out->downloaded_bytes, err);
    if (rc == 0)
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

static int get_offline(struct get *g, km_err *err)
{
    const char *revision = g->request->revision;
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
            return g->request->variant || g->request->all ? 0 : choose_here(g, err);
    }
    km_fail(err, KM_ENOENT, "'%s' at '%s' is not in the cache, and HF_HUB_OFFLINE is set",
            g->request->repo.id, revision);
    return km_hint(err, "unset HF_HUB_OFFLINE, or name a version that was downloaded before");
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
    rc = km_cache_init(&g.cache, a, e->cache, &request->repo, err);
    if (rc == 0)
        rc = e->offline ? get_offline(&g, err) : get_online(&g, err);
    return rc;
}
