/* A wheel, and what was installed from one, against RECORD. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "pkg/check_internal.h"
#include "pkg/intact_internal.h"
#include "pkg/wheel_record.h"

#define WHEEL_BYTES_MAX (1024u << 20) /* of all its members */
#define DIST_INFO       ".dist-info"

/* --- a wheel --- */

/* "demo_kernel-1.0.0.dist-info", by the RECORD in it; or NULL. */
static const char *dist_info_of(km_arena *a, const km_zip *zip)
{
    for (size_t i = 0; i < zip->count; i++) {
        const char *name = zip->entries[i].name, *slash = strchr(name, '/');
        if (slash && strcmp(slash, "/RECORD") == 0 && km_ends_with(km_path_dir(a, name), DIST_INFO))
            return km_path_dir(a, name);
    }
    return NULL;
}

int km_intact_wheel(km_intact *v, const char *path, km_err *err)
{
    static const km_zip_limits limits = { WHEEL_BYTES_MAX, WHEEL_BYTES_MAX };
    km_arena *a = &v->findings.arena;
    km_err why = KM_ERR_INIT;
    const char *dist_info;
    km_zip zip = { 0 };
    size_t size = 0;
    char *data = NULL;
    int rc = km_file_read(a, path, KM_FILE_BYTES_MAX, &data, &size, err);

    v->findings.kind = "wheel";
    if (rc < 0)
        return rc;
    rc = km_zip_read(a, data, size, path, &limits, &zip, &why);
    if (rc == KM_EFORMAT) /* a byte that a checksum of the archive covers is changed */
        return km_intact_say(v, "changed", path, err, why.message);
    if (rc < 0) {
        if (err)
            *err = why;
        return rc;
    }
    for (size_t i = 0; i < zip.count; i++)
        v->size_bytes += zip.entries[i].size;
    v->file_count = zip.count;
    dist_info = dist_info_of(a, &zip);
    return dist_info ? km_check_record(&v->findings, path, &zip, dist_info, err)
                     : km_intact_say(v, "missing", path, err, "has no .dist-info/RECORD");
}

/* --- finding a distribution --- */

/* As package indexes compare names: case aside, and "-", "_" and "." are one. */
static bool same_name(const char *a, size_t length, const char *b)
{
    size_t i = 0;

    for (; i < length && b[i]; i++) {
        char x = (char)tolower((unsigned char)a[i]), y = (char)tolower((unsigned char)b[i]);
        if ((x == '_' || x == '.' ? '-' : x) != (y == '_' || y == '.' ? '-' : y))
            return false;
    }
    return i == length && !b[i];
}

static int read_record(km_arena *a, const char *site, const char *dist_info, km_wheel_record *out,
                       km_err *err)
{
    const char *path = km_arena_printf(a, "%s/%s/RECORD", site, dist_info);
    char *text = NULL;
    size_t size = 0;
    int rc = path ? km_file_read(a, path, KM_TEXT_BYTES_MAX, &text, &size, err)
                  : km_fail_nomem(err);

    return rc < 0 ? rc : km_wheel_record_read(a, text, size, out, err);
}

/* Whether RECORD lists a file of site/name/. */
static bool lists_folder(km_arena *a, const char *site, const char *dist_info, const char *name)
{
    km_wheel_record record;
    size_t n = strlen(name);

    if (read_record(a, site, dist_info, &record, NULL) < 0)
        return false;
    for (size_t i = 0; i < record.count; i++)
        if (strncmp(record.lines[i].path, name, n) == 0 && record.lines[i].path[n] == '/')
            return true;
    return false;
}

int km_intact_find_distribution(km_arena *a, const char *site, const char *name, const char **out,
                                km_err *err)
{
    km_names names = { 0 };
    const char *folder = km_path_join(a, site, name);
    int rc = folder ? km_dir_list(a, site, &names, err) : km_fail_nomem(err);

    *out = NULL;
    for (size_t i = 0; rc == 0 && !*out && i < names.count; i++)
        if (km_ends_with(names.names[i], DIST_INFO) &&
            same_name(names.names[i], strcspn(names.names[i], "-"), name))
            *out = names.names[i];
    if (rc < 0 || *out || !km_dir_exists(folder))
        return rc;
    for (size_t i = 0; !*out && i < names.count; i++)
        if (km_ends_with(names.names[i], DIST_INFO) && lists_folder(a, site, names.names[i], name))
            *out = names.names[i];
    return 0;
}

/* --- a distribution --- */

struct distribution {
    km_intact *v;
    km_arena *a;
    const char *site, *dist_info;
    km_wheel_record record;
};

static bool is_bytecode(const char *path)
{
    return km_ends_with(path, ".pyc") || strstr(path, "__pycache__/");
}

/* RECORD and its signatures cannot have a hash in it. */
static bool may_lack_hash(const struct distribution *d, const char *path)
{
    static const char *const names[] = { "RECORD", "RECORD.jws", "RECORD.p7s" };
    size_t n = strlen(d->dist_info);

    if (strncmp(path, d->dist_info, n) != 0 || path[n] != '/')
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(path + n + 1, names[i]) == 0)
            return true;
    return false;
}

static int check_line(struct distribution *d, const km_record_line *line, km_err *err)
{
    char base64[KM_SHA256_BASE64_BYTES], hex[KM_SHA256_HEX_BYTES], want[100], *path;
    km_err why = KM_ERR_INIT;
    uint64_t size = 0;
    km_sha256 hash;
    int rc;

    if (is_bytecode(line->path)) {
        d->v->bytecode_count++;
        return 0;
    }
    path = km_path_join(d->a, d->site, line->path);
    if (!path)
        return km_fail_nomem(err);
    rc = km_intact_hash(d->v, path, true, hex, &size, &why, err);
    if (rc == 0)
        return km_intact_say(d->v, "missing", path, err,
                             km_file_exists(path) ? why.message : "is in RECORD and not there");
    if (rc < 0 || may_lack_hash(d, line->path))
        return rc < 0 ? rc : 0;
    if (!km_hash_from_hex(hex, &hash))
        return km_fail(err, KM_EBUG, "a digest of '%s' is none", path);
    km_hash_base64url(&hash, base64);
    snprintf(want, sizeof want, "sha256=%s,%llu", base64, (unsigned long long)size);
    if (strcmp(line->rest, want) == 0)
        return 0;
    return km_intact_say(d->v, "changed", path, err,
                         *line->rest == ',' ? "has no hash in RECORD"
                                            : "has another hash or size than RECORD says");
}

/* What lies in a folder of the distribution and in no line. */
static int check_folder(struct distribution *d, const char *folder, km_err *err)
{
    const char *dir = km_path_join(d->a, d->site, folder);
    km_names names = { 0 };
    int rc = dir ? km_dir_walk_any(d->a, dir, &names, err) : km_fail_nomem(err);

    if (rc == KM_ENOENT) /* of each of its files it was told that it is missing */
        return 0;
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *name = km_path_join(d->a, folder, names.names[i]);
        const char *path = km_path_join(d->a, dir, names.names[i]);
        if (!name || !path)
            return km_fail_nomem(err);
        if (!is_bytecode(name) && !km_wheel_record_find(&d->record, name))
            rc = km_intact_say(d->v, "unlisted", path, err, "is not in RECORD");
    }
    return rc;
}

/* Folders that other distributions may write into, too, have no __init__.py of this one. */
static int check_folders(struct distribution *d, km_err *err)
{
    int rc = check_folder(d, d->dist_info, err);

    for (size_t i = 0; rc == 0 && i < d->record.count; i++) {
        const char *path = d->record.lines[i].path, *slash = strchr(path, '/');
        if (!slash || strcmp(slash, "/__init__.py") != 0 || km_starts_with(path, ".."))
            continue;
        rc = check_folder(d, km_path_dir(d->a, path), err);
    }
    return rc;
}

/* pip's direct_url.json says that it was installed with -e: its files are where they are edited. */
static int check_editable(struct distribution *d, km_err *err)
{
    const char *path = km_arena_printf(d->a, "%s/%s/direct_url.json", d->site, d->dist_info);
    json_t *root = NULL;
    int rc = 0;

    if (path && km_json_read(path, &root, NULL) == 0 &&
        json_is_true(json_object_get(json_object_get(root, "dir_info"), "editable")))
        rc = km_intact_say(d->v, "editable", path, err,
                           "is installed for editing: what it runs is not what was built");
    json_decref(root);
    return rc;
}

int km_intact_distribution(km_intact *v, const char *site, const char *dist_info, km_err *err)
{
    struct distribution d = { v, &v->findings.arena, site, dist_info, { 0 } };
    int rc = read_record(d.a, site, dist_info, &d.record, err);

    v->findings.kind = "distribution";
    if (rc == KM_ENOENT)
        km_hint(err, "without RECORD nothing says what was installed; install the wheel again");
    for (size_t i = 0; rc == 0 && i < d.record.broken_count; i++)
        rc = km_check_add(&v->findings, "record-line", dist_info, err,
                          "RECORD has a line without a path:", d.record.broken[i]);
    for (size_t i = 0; rc == 0 && i < d.record.count; i++)
        rc = check_line(&d, &d.record.lines[i], err);
    if (rc == 0)
        rc = check_folders(&d, err);
    return rc == 0 ? check_editable(&d, err) : rc;
}
