#include "hub/packed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "formats/json.h"

const char *km_packed_variant_of(const char *path, size_t *length)
{
    const char *variant = km_starts_with(path, "build/") ? path + strlen("build/") : NULL;
    const char *slash = variant ? strchr(variant, '/') : NULL;

    *length = slash ? (size_t)(slash - variant) : 0;
    return slash ? variant : NULL;
}

bool km_packed_has_variant(const km_packed *p, const char *variant, size_t length)
{
    for (size_t i = 0; i < p->variant_count; i++)
        if (strlen(p->variants[i]) == length && memcmp(p->variants[i], variant, length) == 0)
            return true;
    return false;
}

const km_upload *km_packed_find(const km_packed *p, const char *path)
{
    for (size_t i = 0; i < p->file_count; i++)
        if (strcmp(p->files[i].path, path) == 0)
            return &p->files[i];
    return NULL;
}

static bool is_left_behind(const char *path)
{
    return km_ends_with(path, ".pyc") || strstr(path, "__pycache__/");
}

static bool has_a_place(const char *path)
{
    size_t length;

    return strcmp(path, "README.md") == 0 || strcmp(path, "tests.json") == 0 ||
           km_starts_with(path, "speed/") || km_packed_variant_of(path, &length) ||
           (km_starts_with(path, "LICENSE") && !strchr(path, '/'));
}

static int hash_open(int fd, km_upload *u, km_err *err)
{
    char git[KM_SHA256_HEX_BYTES] = "";
    struct stat st;
    int rc;

    if (fstat(fd, &st) < 0)
        return km_fail_errno(err, errno, "unable to read '%s'", u->file);
    u->size_bytes = (uint64_t)st.st_size;
    rc = km_hash_fd(fd, KM_DIGEST_SHA256, u->sha256, err);
    if (rc == 0)
        rc = km_hash_fd(fd, KM_DIGEST_GIT_BLOB, git, err);
    memcpy(u->git_id, git, KM_OID_HEX_BYTES);
    return rc;
}

static int hash(km_upload *u, km_err *err)
{
    int fd = open(u->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc;

    if (fd < 0)
        return km_fail_errno(err, errno, "unable to read '%s'", u->file);
    rc = hash_open(fd, u, err);
    close(fd);
    return rc;
}

/* --- what the variants say --- */

static int agree(km_packed *p, const char *variant, const char *what, const char *first,
                 const char *here, km_err *err)
{
    if (strcmp(first, here) == 0)
        return 0;
    km_fail(err, KM_EFORMAT, "'%s': the variants do not agree on the %s: '%s' in %s, '%s' in %s",
            p->folder, what, first, p->variants[0], here, variant);
    return km_hint(err, "they are of several builds: remove the folder, and `kernmill pack` again");
}

static int read_metadata(km_arena *a, km_packed *p, const char *variant, km_err *err)
{
    char *path = km_arena_printf(a, "%s/build/%s/metadata.json", p->folder, variant);
    const char *name = "", *license = "";
    char was[32], is[32];
    int64_t version = 0;
    json_t *doc = NULL;
    int rc = path ? km_json_read(path, &doc, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_json_text(doc, "name", &name, path, err);
    if (rc == 0)
        rc = km_json_text(doc, "license", &license, path, err);
    if (rc == 0)
        rc = km_json_int(doc, "version", &version, path, err);
    if (rc == 0 && (version < 1 || version > 1000000))
        rc = km_fail_at(err, KM_EFORMAT, path, 0, 0, "the version must be a number from 1 on");
    if (rc == 0 && !p->name) {
        p->name = km_arena_strdup(a, name);
        p->license = km_arena_strdup(a, license);
        p->version = (long)version;
    }
    if (rc == 0 && (!p->name || !p->license))
        rc = km_fail_nomem(err);
    if (rc == 0) {
        snprintf(was, sizeof was, "%ld", p->version);
        snprintf(is, sizeof is, "%ld", (long)version);
        rc = agree(p, variant, "name", p->name, name, err);
    }
    if (rc == 0)
        rc = agree(p, variant, "version", was, is, err);
    if (rc == 0)
        rc = agree(p, variant, "licence", p->license, license, err);
    json_decref(doc);
    return rc;
}

static int read_variants(km_arena *a, km_packed *p, km_err *err)
{
    char *build = km_path_join(a, p->folder, "build");
    km_names names;
    int rc = 0;

    if (!build || !km_dir_exists(build) || km_dir_list(a, build, &names, NULL) < 0 ||
        !names.count) {
        km_fail(err, KM_ENOENT, "'%s' holds no built variants: there is no '%s/build'", p->folder,
                p->folder);
        return km_hint(err, "kernmill pack KERNEL makes such a folder, as dist/<name>");
    }
    p->variants = (const char **)names.names;
    for (; p->variant_count < names.count && rc == 0; p->variant_count++)
        rc = read_metadata(a, p, names.names[p->variant_count], err);
    return rc;
}

/* --- its files --- */

static int add_file(km_arena *a, km_packed *p, const char *path, km_err *err)
{
    km_upload *u = &p->files[p->file_count];

    if (is_left_behind(path))
        return 0;
    if (!has_a_place(path)) {
        km_fail(err, KM_EFORMAT, "'%s/%s' has no place in a kernel repository on a hub", p->folder,
                path);
        return km_hint(err,
                       "move it away; published are README.md, LICENSE, tests.json, speed/ and "
                       "build/<variant>/");
    }
    if (km_repo_path_check(path, err) < 0)
        return KM_EFORMAT;
    *u = (km_upload){ .path = path, .file = km_path_join(a, p->folder, path) };
    if (!u->file)
        return km_fail_nomem(err);
    if (hash(u, err) < 0)
        return KM_EIO;
    p->size_bytes += u->size_bytes;
    p->file_count++;
    return 0;
}

static int not_packed(const char *folder, const char *is, km_err *err)
{
    km_fail(err, KM_EUSAGE, "'%s' %s", folder, is);
    return km_hint(err, "kernmill pack KERNEL, then publish dist/<name>, which it wrote");
}

int km_packed_read(km_arena *a, const char *folder, km_packed *out, km_err *err)
{
    km_names names = { 0 };
    const char *manifest;
    int rc;

    *out = (km_packed){ .folder = folder };
    if (km_file_exists(folder))
        return not_packed(folder, "is a file; a wheel goes into an index", err);
    if (!km_dir_exists(folder))
        return km_fail(err, KM_ENOENT, "there is no folder '%s'", folder);
    manifest = km_path_join(a, folder, "build.toml");
    if (manifest && km_file_exists(manifest))
        return not_packed(folder, "is a kernel's source", err);
    rc = read_variants(a, out, err);
    if (rc == 0)
        rc = km_dir_walk(a, folder, &names, err);
    if (rc < 0)
        return rc;
    out->files = km_arena_array(a, names.count + 1, sizeof *out->files);
    if (!out->files)
        return km_fail_nomem(err);
    for (size_t i = 0; i < names.count && rc == 0; i++)
        rc = add_file(a, out, names.names[i], err);
    return rc;
}
