/* The two things a kernel is shipped as: a wheel and a Hub folder. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "formats/zip.h"
#include "pkg/check.h"
#include "pkg/metadata.h"
#include "pkg/variant.h"

#define WHEEL_ENTRY_BYTES_MAX (1024u << 20)

/* name-version-python-abi-platform.whl */
struct wheel_name {
    char dist_info[256]; /* "name-version.dist-info" */
    char tag[128];       /* "py3-none-manylinux_2_28_x86_64" */
};

static int parse_wheel_name(const char *path, struct wheel_name *out, km_err *err)
{
    const char *base = km_path_base(path), *dash[5];
    size_t n = 0;

    for (const char *c = base; *c && n < 5; c++)
        if (*c == '-')
            dash[n++] = c;
    if (n != 4 || !km_ends_with(base, ".whl") ||
        snprintf(out->dist_info, sizeof out->dist_info, "%.*s.dist-info", (int)(dash[1] - base),
                 base) >= (int)sizeof out->dist_info ||
        snprintf(out->tag, sizeof out->tag, "%.*s", (int)(strlen(dash[1] + 1) - strlen(".whl")),
                 dash[1] + 1) >= (int)sizeof out->tag)
        return km_fail(err, KM_EFORMAT, "'%s' is not named name-version-python-abi-platform.whl",
                       base);
    return 0;
}

static int add(km_findings *f, const char *code, const char *name, km_err *err, const char *message,
               const char *subject)
{
    return km_findings_add(f, KM_FINDING_ERROR, code, name, "", err, "%s '%s'", message, subject);
}

/* Whether RECORD's line for a member (path,sha256=...,size) is there and right. */
static int check_recorded(km_findings *f, const char *name, const km_zip_entry *e,
                          const char *record, const char *record_name, km_err *err)
{
    char base64[KM_SHA256_BASE64_BYTES], line[1024];
    bool is_record = strcmp(e->name, record_name) == 0;
    km_sha256 hash;

    if (km_ends_with(e->name, "/"))
        return 0;
    if (km_hash_bytes(e->data, e->size, &hash, err) < 0)
        return KM_EBUG;
    km_hash_base64url(&hash, base64);
    if (is_record)
        snprintf(line, sizeof line, "\n%s,,\n", e->name);
    else
        snprintf(line, sizeof line, "\n%s,sha256=%s,%zu\n", e->name, base64, e->size);
    if (strstr(record, line))
        return 0;
    snprintf(line, sizeof line, "\n%s,", e->name);
    return strstr(record, line)
               ? add(f, "record-mismatch", name, err, "RECORD has another hash for", e->name)
               : add(f, "record-missing", name, err, "RECORD does not list", e->name);
}

/* Every line of RECORD must be a member. */
static int check_record_lines(km_findings *f, const char *name, const km_zip *zip, char *record,
                              km_err *err)
{
    int rc = 0;

    for (char *line = record + 1, *end; rc == 0 && *line; line = end + 1) {
        char *comma = strchr(line, ',');
        end = strchr(line, '\n');
        if (!end)
            break;
        if (end == line)
            continue;
        if (!comma || comma > end) {
            *end = '\0';
            return add(f, "record-line", name, err, "RECORD has a line without a comma:", line);
        }
        *comma = '\0';
        if (!km_zip_find(zip, line))
            rc = add(f, "record-absent", name, err, "RECORD lists what is not there:", line);
        *comma = ',';
    }
    return rc;
}

static int check_record(km_findings *f, const char *name, const km_zip *zip, const char *dist_info,
                        km_err *err)
{
    const char *path = km_arena_printf(&f->arena, "%s/RECORD", dist_info);
    const km_zip_entry *e = path ? km_zip_find(zip, path) : NULL;
    char *record;
    int rc = 0;

    if (!e)
        return add(f, "record-missing", name, err, "there is no", path ? path : "RECORD");
    record = km_arena_printf(&f->arena, "\n%.*s\n", (int)e->size, (const char *)e->data);
    if (!record)
        return km_fail_nomem(err);
    for (char *c = record; *c; c++) /* some tools write CRLF */
        if (*c == '\r')
            memmove(c, c + 1, strlen(c));
    for (size_t i = 0; i < zip->count && rc == 0; i++)
        rc = check_recorded(f, name, &zip->entries[i], record, path, err);
    return rc == 0 ? check_record_lines(f, name, zip, record, err) : rc;
}

static bool has_line(const km_zip_entry *e, const char *start, const char *rest)
{
    char line[300];
    const char *text = (const char *)e->data;
    size_t n = (size_t)snprintf(line, sizeof line, "%s%s", start, rest);

    for (const char *end = text + e->size; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = newline ? (size_t)(newline - text) : (size_t)(end - text);
        if (length >= n && memcmp(text, line, n) == 0 && (length == n || text[n] == '\r'))
            return true;
        text += length + 1;
    }
    return false;
}

static int check_dist_info(km_findings *f, const char *name, const km_zip *zip,
                           const struct wheel_name *w, km_err *err)
{
    const char *wheel_path = km_arena_printf(&f->arena, "%s/WHEEL", w->dist_info);
    const char *metadata_path = km_arena_printf(&f->arena, "%s/METADATA", w->dist_info);
    const km_zip_entry *wheel, *metadata;
    int rc = 0;

    if (!wheel_path || !metadata_path)
        return km_fail_nomem(err);
    wheel = km_zip_find(zip, wheel_path);
    metadata = km_zip_find(zip, metadata_path);
    if (!wheel)
        rc = add(f, "wheel-file-missing", name, err, "there is no", wheel_path);
    else if (!has_line(wheel, "Tag: ", w->tag))
        rc = add(f, "wheel-tag", name, err, "WHEEL does not say the tag of the file name,", w->tag);
    if (rc == 0 && !metadata)
        rc = add(f, "metadata-missing", name, err, "there is no", metadata_path);
    return rc;
}

/* "manylinux_2_28" in the tag decides the floor. */
static unsigned floor_of(const char *tag)
{
    const char *many = strstr(tag, "manylinux_2_");
    unsigned minor = 0;

    if (many)
        sscanf(many, "manylinux_2_%u_", &minor);
    return minor ? minor : 28;
}

int km_check_wheel(km_findings *f, const void *data, size_t size, const char *name, km_err *err)
{
    static const km_zip_limits limits = { WHEEL_ENTRY_BYTES_MAX, WHEEL_ENTRY_BYTES_MAX };
    struct wheel_name w;
    km_zip zip;
    int rc;

    f->kind = "wheel";
    rc = parse_wheel_name(name, &w, err);
    if (rc == 0)
        rc = km_zip_read(&f->arena, data, size, name, &limits, &zip, err);
    if (rc == 0)
        rc = check_dist_info(f, name, &zip, &w, err);
    if (rc == 0)
        rc = check_record(f, name, &zip, w.dist_info, err);
    for (size_t i = 0; rc == 0 && i < zip.count; i++) {
        const km_zip_entry *e = &zip.entries[i];
        km_library_rules rules = { .torch_minor = 10, .glibc_minor = floor_of(w.tag) };
        if (km_ends_with(e->name, ".so") || strstr(e->name, ".so."))
            rc = km_check_library(f, e->data, e->size,
                                  km_arena_printf(&f->arena, "%s:%s", name, e->name), &rules, err);
    }
    return rc;
}

/* backend.archs of metadata.json, ending with NULL; NULL when not declared. */
static const char **declared_archs(km_arena *a, const json_t *metadata)
{
    const json_t *archs = json_object_get(json_object_get(metadata, "backend"), "archs");
    const char **list = NULL;
    size_t n = json_array_size(archs);

    if (n)
        list = km_arena_array(a, n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++) {
        const char *text = json_string_value(json_array_get(archs, i));
        list[i] = km_arena_strdup(a, text ? text : "?");
    }
    return list;
}

static int check_metadata(km_findings *f, const json_t *metadata, const char *path,
                          const km_variant *v, km_err *err)
{
    static const char *const texts[] = { "name", "id", "license" };
    km_err why = KM_ERR_INIT;
    const char *text, *backend = v->cuda_major ? "cuda" : v->compute;
    json_t *object;
    int64_t version;
    int rc = 0;

    for (size_t i = 0; i < 3 && rc == 0; i++)
        if (km_json_text(metadata, texts[i], &text, path, &why) < 0)
            rc = add(f, "metadata-key", path, err, why.message, texts[i]);
    if (rc == 0 && km_json_int(metadata, "version", &version, path, &why) < 0)
        rc = add(f, "metadata-key", path, err, why.message, "version");
    if (rc == 0 && km_json_array(metadata, "python-depends", &object, path, &why) < 0)
        rc = add(f, "metadata-key", path, err, why.message, "python-depends");
    if (rc == 0 && (km_json_object(metadata, "backend", &object, path, &why) < 0 ||
                    km_json_text(object, "type", &text, path, &why) < 0))
        rc = add(f, "metadata-key", path, err, why.message, "backend.type");
    else if (rc == 0 && v->kind != KM_VARIANT_NOARCH && strcmp(text, backend) != 0)
        rc = add(f, "metadata-backend", path, err, "the folder's name says another backend than",
                 text);
    return rc;
}

int km_check_hub_folder(km_findings *f, const char *dir, km_err *err)
{
    const char *path = km_path_join(&f->arena, dir, "metadata.json");
    km_library_rules rules = { .torch_minor = 10, .glibc_minor = 28 };
    km_err why = KM_ERR_INIT;
    json_t *metadata = NULL;
    km_names names;
    km_variant v;
    int rc;

    f->kind = "hub folder";
    if (!path)
        return km_fail_nomem(err);
    rc = km_variant_parse(km_path_base(dir), &v, err);
    if (rc == 0)
        rc = km_json_read(path, &metadata, err);
    if (rc == 0)
        rc = check_metadata(f, metadata, path, &v, err);
    if (rc == 0 && km_metadata_verify(dir, &why) < 0)
        rc = km_findings_add(f, KM_FINDING_ERROR, "digest", path, "", err, "%s", why.message);
    rules.archs = declared_archs(&f->arena, metadata);
    rules.wants_images = v.cuda_major != 0;
    if (v.kind == KM_VARIANT_STABLE)
        rules.torch_minor = v.minor;
    if (rc == 0)
        rc = km_dir_walk(&f->arena, dir, &names, err);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *file = km_path_join(&f->arena, dir, names.names[i]);
        size_t size;
        char *data;
        if (!km_ends_with(names.names[i], ".so"))
            continue;
        rc = km_file_read(&f->arena, file, KM_FILE_BYTES_MAX, &data, &size, err);
        if (rc == 0)
            rc = km_check_library(f, data, size, file, &rules, err);
    }
    json_decref(metadata);
    return rc;
}
