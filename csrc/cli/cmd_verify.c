/* cli/cmd_verify.c: kernmill verify TARGET...: does it hold exactly the files that were built? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "net/cache.h"
#include "net/endpoint.h"
#include "pkg/intact.h"

struct verify_fields {
    km_common common;
    const char *lock, *revision, *variant;
    long version;
};

static const km_opt options[] = {
    KM_OPT_TEXT("lock", 0, "FILE", struct verify_fields, lock,
                "and it is what this kernels.lock says"),
    KM_OPT_TEXT("revision", 'r', "R", struct verify_fields, revision,
                "of OWNER/NAME: a branch, a tag or a commit"),
    KM_OPT_INT("version", 'v', "N", struct verify_fields, version,
               "of OWNER/NAME: the branch v<N>"),
    KM_OPT_TEXT("variant", 0, "V", struct verify_fields, variant,
                "of OWNER/NAME: one folder of build/ (default: all that are here)"),
    KM_OPT_END,
};

struct run {
    km_arena arena;
    const struct verify_fields *f;
    const km_lock *lock; /* or NULL */
    const char *revision;
    const char *commit; /* of the target at hand, when it is OWNER/NAME */
    json_t *rows;
    size_t findings;
};

/* The commit that is meant: the lock's, or what the cache knows of the revision. */
static const char *find_commit(struct run *r, const km_cache *c, const km_repo *repo, km_err *err)
{
    const km_lock_entry *entry = r->lock ? km_lock_find(r->lock, repo->id, r->revision) : NULL;
    const char *revision = r->revision ? r->revision : km_cache_newest(c), *commit;

    if (r->lock && !entry)
        km_fail(err, KM_ENOENT, "'%s' has no %s%s%s", r->f->lock, repo->id,
                r->revision ? " at " : "", r->revision ? r->revision : "");
    if (r->lock)
        return entry ? entry->commit : NULL;
    commit = km_cache_ref(c, revision);
    if (!commit) {
        km_fail(err, KM_ENOENT, "'%s' at '%s' is not in the cache", repo->id, revision);
        km_hint(err, "kernmill get %s", repo->id);
    }
    return commit;
}

static int verify_cached(struct run *r, const char *target, km_intact *v, km_err *err)
{
    const char *commit, *snapshot;
    km_endpoint endpoint;
    km_cache cache;
    km_repo repo;

    if (km_repo_parse(&r->arena, target, KM_REPO_KERNEL, &repo, err) < 0)
        return km_fail(err, KM_ENOENT, "'%s' is not there, and no name of a repository", target);
    if (r->f->variant && (km_repo_path_check(r->f->variant, err) < 0 || strchr(r->f->variant, '/')))
        return km_fail(err, KM_EUSAGE, "'%s' is no name of a variant", r->f->variant);
    if (km_endpoint_find(&r->arena, &endpoint, err) < 0 ||
        km_cache_init(&cache, &r->arena, endpoint.cache, &repo, err) < 0)
        return err->code;
    commit = find_commit(r, &cache, &repo, err);
    snapshot = commit ? km_cache_snapshot(&cache, commit) : NULL;
    if (!commit || !snapshot)
        return commit ? km_fail_nomem(err) : err->code;
    if (!km_dir_exists(snapshot)) {
        km_fail(err, KM_ENOENT, "'%s' at commit %s is not in the cache", repo.id, commit);
        return km_hint(err, "kernmill get %s --revision %s", repo.id, commit);
    }
    r->commit = commit;
    return km_intact_snapshot(v, snapshot, r->f->variant, r->lock, err);
}

static int verify_one(struct run *r, const char *target, km_intact *v, km_err *err)
{
    r->commit = NULL;
    if (strchr(target, '/') && !km_file_exists(target) && !km_dir_exists(target))
        return verify_cached(r, target, v, err);
    if (r->revision || r->f->variant)
        return km_fail(err, KM_EUSAGE,
                       "--version, --revision and --variant are of OWNER/NAME, and not of '%s'",
                       target);
    return km_intact_check(v, target, r->lock, err);
}

static json_t *target_json(km_intact *v, const char *target, const char *commit)
{
    char *shown = km_arena_strdup(&v->findings.arena, target);
    json_t *rows = json_array();

    if (shown) /* a path may be anything, JSON is UTF-8 */
        km_text_clean(shown);
    for (size_t i = 0; i < v->findings.count; i++)
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s}", "code", v->findings.items[i].code,
                                              "place", v->findings.items[i].place, "message",
                                              v->findings.items[i].message));
    return json_pack("{s:s,s:s,s:s*,s:b,s:I,s:I,s:I,s:o}", "target", shown, "kind",
                     v->findings.kind, "commit", commit, "verified", v->findings.count == 0,
                     "files", (json_int_t)v->file_count, "bytes", (json_int_t)v->size_bytes,
                     "bytecode", (json_int_t)v->bytecode_count, "findings", rows);
}

static void print_text(const km_intact *v, const char *target, const char *commit)
{
    for (size_t i = 0; i < v->findings.count; i++)
        printf("%s: %s [%s]\n", v->findings.items[i].place, v->findings.items[i].message,
               v->findings.items[i].code);
    printf("%s: %s%s%s, %zu files, %" PRIu64 " bytes, ", target, v->findings.kind,
           commit ? " at commit " : "", commit ? commit : "", v->file_count, v->size_bytes);
    if (v->findings.count)
        printf("%zu finding%s\n", v->findings.count, v->findings.count == 1 ? "" : "s");
    else
        puts("as built");
}

static int verify_all(struct run *r, const char **targets, size_t count, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        km_intact v = { 0 };
        rc = verify_one(r, targets[i], &v, err);
        if (rc < 0)
            break;
        r->findings += v.findings.count;
        if (r->f->common.json)
            json_array_append_new(r->rows, target_json(&v, targets[i], r->commit));
        else
            print_text(&v, targets[i], r->commit);
        km_intact_release(&v);
    }
    return rc;
}

static int prepare(struct run *r, km_lock *lock, km_err *err)
{
    const struct verify_fields *f = r->f;

    if (f->version && f->revision)
        return km_fail(err, KM_EUSAGE, "--version and --revision name the same thing twice");
    if (f->version < 0)
        return km_fail(err, KM_EUSAGE, "--version takes a number from 1 on");
    r->revision = f->version ? km_arena_printf(&r->arena, "v%ld", f->version) : f->revision;
    if (f->version && !r->revision)
        return km_fail_nomem(err);
    r->lock = f->lock ? lock : NULL;
    return f->lock ? km_lock_read(&r->arena, f->lock, lock, err) : 0;
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    struct run r = { .f = fields, .rows = json_array() };
    km_lock lock;
    int rc = km_check_args(arg_count, 1, SIZE_MAX, err);

    if (rc == 0)
        rc = prepare(&r, &lock, err);
    if (rc == 0)
        rc = verify_all(&r, args, arg_count, err);
    if (rc == 0 && r.f->common.json)
        rc = km_print_json(json_pack("{s:i,s:b,s:O}", "schema", KM_JSON_SCHEMA, "verified",
                                     r.findings == 0, "targets", r.rows),
                           err);
    if (rc == 0 && r.findings)
        rc = KM_EXIT_NO;
    json_decref(r.rows);
    km_arena_release(&r.arena);
    return rc;
}

extern const km_command km_cmd_verify;
const km_command km_cmd_verify = {
    .name = "verify",
    .help = "say whether an installed kernel holds exactly the files that were built",
    .args = "TARGET...",
    .more =
        "TARGET is a Hub folder, its build/ or one variant, a wheel, an installed distribution or\n"
        "its folder, or OWNER/NAME: the newest version of it that the cache has; a path comes\n"
        "first. The digests are those of metadata.json or RECORD, in the cache also the names of\n"
        "the blobs. Bytecode is not looked at. No network is used.",
    .options = options,
    .fields_size = sizeof(struct verify_fields),
    .run = run,
};
