#include "pkg/intact.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/home.h"
#include "pkg/intact_internal.h"
#include "pkg/site.h"
#include "pkg/variant.h"

int km_intact_say(km_intact *v, const char *code, const char *place, km_err *err,
                  const char *message)
{
    return km_findings_add(&v->findings, KM_FINDING_ERROR, code, place, "", err, "%s", message);
}

int km_intact_hash(km_intact *v, const char *path, bool links, char sha256[KM_SHA256_HEX_BYTES],
                   uint64_t *size_bytes, km_err *why, km_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (links ? 0 : O_NOFOLLOW)), rc = 0;
    struct stat st;

    if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        return km_fail_errno(err, errno, "unable to open '%s'", path);
    if (fd < 0)
        return km_fail(why, 0, "%s", errno == ELOOP ? "is a symbolic link" : "is not there");
    if (fstat(fd, &st) < 0)
        rc = km_fail_errno(err, errno, "unable to read '%s'", path);
    else if (!S_ISREG(st.st_mode))
        km_fail(why, 0, "is no regular file");
    else
        rc = km_hash_fd(fd, KM_DIGEST_SHA256, sha256, err) < 0 ? KM_EIO : 1;
    close(fd);
    if (rc > 0) {
        *size_bytes = (uint64_t)st.st_size;
        v->size_bytes += *size_bytes;
        v->file_count++;
    }
    return rc;
}

/* --- Hub folders --- */

static bool is_variant(km_arena *a, const char *folder, const char *name)
{
    const char *metadata = km_arena_printf(a, "%s/%s/metadata.json", folder, name);
    km_variant v;

    if (metadata && km_file_exists(metadata))
        return true;
    return metadata && km_variant_parse(name, &v, NULL) == 0 &&
           km_dir_exists(km_path_dir(a, metadata));
}

/* The variants that lie in `folder`; *found counts them. */
static int verify_variants(km_intact *v, const char *folder, const km_lock *lock, size_t *found,
                           km_err *err)
{
    km_arena *a = &v->findings.arena;
    size_t skipped = 0;
    km_names names;
    int rc = km_dir_list(a, folder, &names, err);

    *found = 0;
    for (size_t i = 0; rc >= 0 && i < names.count; i++) {
        const char *dir = km_path_join(a, folder, names.names[i]);
        if (!dir)
            return km_fail_nomem(err);
        if (!is_variant(a, folder, names.names[i]))
            continue;
        ++*found;
        rc = km_intact_variant(v, dir, true, lock, err);
        skipped += rc > 0;
    }
    if (rc >= 0 && skipped && *found == skipped)
        return km_fail(err, KM_ENOENT, "of each variant in '%s' only metadata.json is there",
                       folder);
    return rc < 0 ? rc : 0;
}

/* KM_EUSAGE when it is no such folder. */
static int verify_hub(km_intact *v, const char *path, const km_lock *lock, km_err *err)
{
    const char *build = km_path_join(&v->findings.arena, path, "build");
    size_t found;
    int rc;

    if (!build)
        return km_fail_nomem(err);
    v->findings.kind = "hub folder";
    rc = verify_variants(v, km_dir_exists(build) ? build : path, lock, &found, err);
    if (rc == 0 && !found) {
        rc = km_fail(err, KM_EUSAGE, "'%s' is no Hub folder and no installed package", path);
        km_hint(err, "a Hub folder has build/<variant>/metadata.json, a package a .dist-info "
                     "beside it");
    }
    return rc;
}

int km_intact_snapshot(km_intact *out, const char *snapshot, const char *variant,
                       const km_lock *lock, km_err *err)
{
    const char *build;
    size_t found = 1;
    int rc;

    *out = (km_intact){ 0 };
    out->findings.kind = "cached kernel";
    build = km_path_join(&out->findings.arena, snapshot, "build");
    if (!build)
        rc = km_fail_nomem(err);
    else if (variant)
        rc = km_intact_variant(out, km_path_join(&out->findings.arena, build, variant), false, lock,
                               err);
    else
        rc = verify_variants(out, build, lock, &found, err);
    if (rc == 0 && !found)
        rc = km_fail(err, KM_ENOENT, "'%s' holds no variant", build);
    if (rc < 0)
        km_intact_release(out);
    return rc;
}

/* --- targets --- */

static int no_lock(const km_lock *lock, const char *target, km_err *err)
{
    return lock ? km_fail(err, KM_EUSAGE, "'%s' is no Hub folder: no lock has it", target) : 0;
}

static int verify_dir(km_intact *v, const char *path, const km_lock *lock, km_err *err)
{
    km_arena *a = &v->findings.arena;
    const char *metadata = km_path_join(a, path, "metadata.json"), *dist_info = NULL, *site;
    char *real;
    int rc;

    if (!metadata)
        return km_fail_nomem(err);
    v->findings.kind = "variant";
    if (km_file_exists(metadata))
        return km_intact_variant(v, path, false, lock, err);
    rc = km_path_real(a, path, &real, err);
    site = rc == 0 ? km_path_dir(a, real) : NULL;
    if (site && !km_dir_exists(km_path_join(a, path, "build")))
        rc = km_intact_find_distribution(a, site, km_path_base(real), &dist_info, err);
    if (rc < 0 || !dist_info)
        return rc < 0 ? rc : verify_hub(v, path, lock, err);
    if (no_lock(lock, path, err) < 0)
        return KM_EUSAGE;
    return km_intact_distribution(v, site, dist_info, err);
}

static int no_such_package(const char *name, const km_home *home, km_err *err)
{
    km_fail(err, KM_ENOENT, "'%s' is no path, and no distribution of '%s'", name,
            home->python ? home->python : "any Python");
    return km_hint(err, "name the folder or the wheel; KERNMILL_PYTHON and VIRTUAL_ENV say whose "
                        "packages are meant");
}

/* *dist_info is NULL when no folder of packages below `prefix` has it. */
static int find_name(km_arena *a, const char *prefix, const char *name, const char **site,
                     const char **dist_info, km_err *err)
{
    km_names sites = { 0 };
    int rc = km_site_packages(a, prefix, &sites, err);

    for (size_t i = 0; rc == 0 && !*dist_info && i < sites.count; i++) {
        *site = sites.names[i];
        rc = km_intact_find_distribution(a, *site, name, dist_info, err);
    }
    return rc;
}

/* Where the interpreter is installed, by its path: a virtual environment's is a link, and its
 * packages lie beside the link. Debian's own Python has what pip installs in /usr/local. */
static int verify_name(km_intact *v, const char *name, km_err *err)
{
    km_arena *a = &v->findings.arena;
    const char *dist_info = NULL, *site = NULL, *prefix;
    km_home home;
    int rc = km_home_find(a, &home, err);

    prefix = rc == 0 && home.python ? km_path_dir(a, km_path_dir(a, home.python)) : NULL;
    if (prefix && strcmp(prefix, "/usr") == 0)
        rc = find_name(a, "/usr/local", name, &site, &dist_info, err);
    if (rc == 0 && !dist_info)
        rc = find_name(a, prefix, name, &site, &dist_info, err);
    if (rc < 0)
        return rc;
    return dist_info ? km_intact_distribution(v, site, dist_info, err)
                     : no_such_package(name, &home, err);
}

int km_intact_check(km_intact *out, const char *target, const km_lock *lock, km_err *err)
{
    int rc;

    *out = (km_intact){ 0 };
    if (km_dir_exists(target))
        rc = verify_dir(out, target, lock, err);
    else if ((rc = no_lock(lock, target, err)) < 0)
        ;
    else if (!km_file_exists(target))
        rc = verify_name(out, target, err);
    else if (km_ends_with(target, ".whl"))
        rc = km_intact_wheel(out, target, err);
    else
        rc = km_fail(err, KM_EUSAGE, "'%s' is a file, and no wheel", target);
    if (rc < 0)
        km_intact_release(out);
    return rc;
}

void km_intact_release(km_intact *v)
{
    km_findings_release(&v->findings);
    *v = (km_intact){ 0 };
}
