/* The two things a kernel is shipped as: a wheel and a Hub folder. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "pkg/check_internal.h"
#include "pkg/metadata.h"
#include "pkg/torch_symbols.h"
#include "pkg/variant.h"

#define WHEEL_ENTRY_BYTES_MAX (1024u << 20)
#define WHEEL_FILE_BYTES_MAX  (64u << 10) /* what is read of the file called WHEEL */
#define TAG_NAMES_MAX         8

/* name-version[-build]-python-abi-platform.whl */
struct wheel_name {
    char dist_info[256]; /* "name-version.dist-info" */
    char tag[256]; /* "py3-none-manylinux_2_28_x86_64"; each part may name several, with dots */
};

static int parse_wheel_name(const char *path, struct wheel_name *out, km_err *err)
{
    const char *base = km_path_base(path), *dash[6];
    size_t n = 0;

    for (const char *c = base; *c && n < 6; c++)
        if (*c == '-')
            dash[n++] = c;
    if ((n != 4 && n != 5) || !km_ends_with(base, ".whl") ||
        snprintf(out->dist_info, sizeof out->dist_info, "%.*s.dist-info", (int)(dash[1] - base),
                 base) >= (int)sizeof out->dist_info ||
        snprintf(out->tag, sizeof out->tag, "%.*s", (int)(strlen(dash[n - 3] + 1) - strlen(".whl")),
                 dash[n - 3] + 1) >= (int)sizeof out->tag)
        return km_fail(err, KM_EFORMAT, "'%s' is not named name-version-python-abi-platform.whl",
                       base);
    return 0;
}

int km_check_add(km_findings *f, const char *code, const char *name, km_err *err,
                 const char *message, const char *subject)
{
    return km_findings_add(f, KM_FINDING_ERROR, code, name, "", err, "%s '%s'", message, subject);
}

int km_check_part(km_findings *f, const void *data, size_t size, const char *name,
                  const km_library_rules *rules, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc = km_check_library(f, data, size, name, rules, &why);

    if (rc == KM_EFORMAT)
        return km_findings_add(f, KM_FINDING_ERROR, "library-broken", name, "", err, "%s",
                               why.message);
    if (rc < 0 && err)
        *err = why;
    return rc;
}

static bool has_line(const km_zip_entry *e, const char *start, const char *rest)
{
    char line[300];
    const char *text = (const char *)e->data;
    size_t n = (size_t)snprintf(line, sizeof line, "%s%s", start, rest);
    size_t size = e->size < WHEEL_FILE_BYTES_MAX ? e->size : WHEEL_FILE_BYTES_MAX;

    for (const char *end = text + size; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = newline ? (size_t)(newline - text) : (size_t)(end - text);
        if (length >= n && memcmp(text, line, n) == 0 && (length == n || text[n] == '\r'))
            return true;
        text += length + 1;
    }
    return false;
}

/* A part of a tag that stands for several: "py2.py3". */
struct names {
    const char *items[TAG_NAMES_MAX];
    size_t count;
};

/* Splits the text up to `end` at its dots; what is beyond the limit stays in the last name. */
static int split_names(km_arena *a, const char *text, const char *end, struct names *out,
                       km_err *err)
{
    out->count = 0;
    for (;;) {
        const char *dot = memchr(text, '.', (size_t)(end - text));
        if (!dot || out->count + 1 == TAG_NAMES_MAX)
            dot = end;
        out->items[out->count] = km_arena_strndup(a, text, (size_t)(dot - text));
        if (!out->items[out->count++])
            return km_fail_nomem(err);
        if (dot == end)
            return 0;
        text = dot + 1;
    }
}

/* WHEEL has a line for every tag that the file name stands for: py2.py3-none-any is two. */
static int check_tags(km_findings *f, const char *name, const km_zip_entry *wheel, const char *tag,
                      km_err *err)
{
    const char *abi = strchr(tag, '-') + 1, *platform = strchr(abi, '-') + 1;
    struct names p, a, m;
    char one[256];
    int rc = 0;

    if (split_names(&f->arena, tag, abi - 1, &p, err) < 0 ||
        split_names(&f->arena, abi, platform - 1, &a, err) < 0 ||
        split_names(&f->arena, platform, tag + strlen(tag), &m, err) < 0)
        return KM_ENOMEM;
    for (size_t i = 0; rc == 0 && i < p.count * a.count * m.count; i++) {
        snprintf(one, sizeof one, "%s-%s-%s", p.items[i / m.count / a.count],
                 a.items[i / m.count % a.count], m.items[i % m.count]);
        if (!has_line(wheel, "Tag: ", one))
            rc = km_check_add(f, "wheel-tag", name, err,
                              "WHEEL does not say the tag of the file name,", one);
    }
    return rc;
}

static int check_dist_info(km_findings *f, const char *name, const km_zip *zip,
                           const struct wheel_name *w, km_err *err)
{
    const char *wheel_path = km_arena_printf(&f->arena, "%s/WHEEL", w->dist_info);
    const char *metadata_path = km_arena_printf(&f->arena, "%s/METADATA", w->dist_info);
    const km_zip_entry *wheel;
    int rc;

    if (!wheel_path || !metadata_path)
        return km_fail_nomem(err);
    wheel = km_zip_find(zip, wheel_path);
    rc = wheel ? check_tags(f, name, wheel, w->tag, err)
               : km_check_add(f, "wheel-file-missing", name, err, "there is no", wheel_path);
    if (rc == 0 && !km_zip_find(zip, metadata_path))
        rc = km_check_add(f, "metadata-missing", name, err, "there is no", metadata_path);
    return rc;
}

/* The glibc 2.<minor> that the tag promises to run on: the oldest it names. */
static unsigned floor_of(const char *tag)
{
    static const struct {
        const char *name;
        unsigned minor;
    } old[] = { { "manylinux1_", 5 }, { "manylinux2010_", 12 }, { "manylinux2014_", 17 } };
    unsigned floor = 0, minor;

    for (const char *many = tag; (many = strstr(many, "manylinux")); many++) {
        minor = 0;
        sscanf(many, "manylinux_2_%u_", &minor);
        for (size_t i = 0; i < sizeof old / sizeof old[0]; i++)
            if (km_starts_with(many, old[i].name))
                minor = old[i].minor;
        if (minor && (!floor || minor < floor))
            floor = minor;
    }
    return floor ? floor : 28;
}

static const char *machine_of(const char *tag)
{
    return km_ends_with(tag, "_x86_64")    ? "x86_64"
           : km_ends_with(tag, "_aarch64") ? "aarch64"
                                           : NULL;
}

/* The torch 2.<minor> that METADATA asks for: "Requires-Dist: torch>=2.12". */
static unsigned torch_of(km_arena *a, const km_zip *zip, const char *dist_info)
{
    const char *path = km_arena_printf(a, "%s/METADATA", dist_info), *line;
    const km_zip_entry *e = path ? km_zip_find(zip, path) : NULL;
    unsigned minor;

    line = e ? km_arena_strndup(a, (const char *)e->data, e->size) : NULL;
    for (; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (sscanf(line, "Requires-Dist: torch>=2.%u", &minor) == 1 ||
            sscanf(line, "Requires-Dist: torch (>=2.%u", &minor) == 1)
            return minor;
    return KM_TORCH_MINOR_OLDEST;
}

int km_check_wheel(km_findings *f, const void *data, size_t size, const char *name, km_err *err)
{
    static const km_zip_limits limits = { WHEEL_ENTRY_BYTES_MAX, WHEEL_ENTRY_BYTES_MAX };
    km_library_rules rules;
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
        rc = km_check_record(f, name, &zip, w.dist_info, err);
    if (rc < 0)
        return rc;
    rules = (km_library_rules){ .torch_minor = torch_of(&f->arena, &zip, w.dist_info),
                                .glibc_minor = floor_of(w.tag),
                                .machine = machine_of(w.tag) };
    for (size_t i = 0; rc == 0 && i < zip.count; i++) {
        const km_zip_entry *e = &zip.entries[i];
        const char *shown = km_arena_printf(&f->arena, "%s:%s", name, e->name);
        if (!km_ends_with(e->name, ".so") && !strstr(e->name, ".so."))
            continue;
        rc = shown ? km_check_part(f, e->data, e->size, shown, &rules, err) : km_fail_nomem(err);
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

static int add_key(km_findings *f, const char *path, const km_err *why, km_err *err)
{
    return km_findings_add(f, KM_FINDING_ERROR, "metadata-key", path, "", err, "%s", why->message);
}

/* "cu126" and "cuda" are one backend, as are "rocm72" and "rocm", "npu" and "cann". */
static bool is_backend_of(const km_variant *v, const char *type)
{
    size_t n = strcspn(v->compute, "0123456789");

    if (strcmp(v->compute, "universal") == 0)
        return true;
    if (v->cuda_major || strcmp(v->compute, "npu") == 0)
        return strcmp(type, v->cuda_major ? "cuda" : "cann") == 0;
    return strlen(type) == n && strncmp(type, v->compute, n) == 0;
}

static int check_metadata(km_findings *f, const json_t *metadata, const char *path,
                          const km_variant *v, km_err *err)
{
    static const char *const texts[] = { "name", "id", "license" };
    km_err why = KM_ERR_INIT;
    const char *text = NULL;
    json_t *object;
    int64_t version;
    int rc = 0;

    for (size_t i = 0; i < 3 && rc == 0; i++)
        if (km_json_text(metadata, texts[i], &text, path, &why) < 0)
            rc = add_key(f, path, &why, err);
    if (rc == 0 && km_json_int(metadata, "version", &version, path, &why) < 0)
        rc = add_key(f, path, &why, err);
    if (rc == 0 && km_json_array(metadata, "python-depends", &object, path, &why) < 0)
        rc = add_key(f, path, &why, err);
    if (rc < 0)
        return rc;
    if (km_json_object(metadata, "backend", &object, path, &why) < 0 ||
        km_json_text(object, "type", &text, path, &why) < 0)
        return add_key(f, path, &why, err);
    if (!is_backend_of(v, text))
        return km_check_add(f, "metadata-backend", path, err,
                            "the folder's name and metadata.json disagree on the backend, which "
                            "the latter calls",
                            text);
    return 0;
}

/* Mapped, since a library may be larger than what memory is for, and its tables are small. */
static int check_library_file(km_findings *f, const char *file, const km_library_rules *rules,
                              km_err *err)
{
    const void *data;
    size_t size;
    int rc = km_file_map(file, KM_FILE_BYTES_MAX, &data, &size, err);

    if (rc < 0)
        return rc;
    rc = km_check_part(f, data, size, file, rules, err);
    km_file_unmap(data, size);
    return rc;
}

/* The libraries of a folder. */
static int check_libraries(km_findings *f, const char *dir, const km_library_rules *rules,
                           km_err *err)
{
    km_names names;
    int rc = km_dir_walk(&f->arena, dir, &names, err);

    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *file = km_path_join(&f->arena, dir, names.names[i]);
        if (km_ends_with(names.names[i], ".so"))
            rc = file ? check_library_file(f, file, rules, err) : km_fail_nomem(err);
    }
    return rc;
}

/* The variant that a folder's name says, however the folder was named to us. */
static int parse_folder_name(km_arena *a, const char *dir, km_variant *out, km_err *err)
{
    char *real;

    if (km_path_real(a, dir, &real, err) < 0)
        return err ? err->code : KM_EIO;
    return km_variant_parse(km_path_base(real), out, err);
}

int km_check_hub_folder(km_findings *f, const char *dir, km_err *err)
{
    const char *path = km_path_join(&f->arena, dir, "metadata.json");
    km_library_rules rules = { .torch_minor = KM_TORCH_MINOR_OLDEST, .glibc_minor = 28 };
    km_err why = KM_ERR_INIT;
    json_t *metadata = NULL;
    km_variant v = { 0 };
    int rc;

    f->kind = "hub folder";
    if (!path)
        return km_fail_nomem(err);
    rc = parse_folder_name(&f->arena, dir, &v, err);
    if (rc == 0)
        rc = km_json_read(path, &metadata, err);
    if (rc == 0)
        rc = check_metadata(f, metadata, path, &v, err);
    if (rc == 0 && km_metadata_verify(dir, &why) < 0)
        rc = km_findings_add(f, KM_FINDING_ERROR, "digest", path, "", err, "%s", why.message);
    rules.archs = declared_archs(&f->arena, metadata);
    rules.wants_images = v.cuda_major != 0;
    rules.machine = *v.cpu ? v.cpu : NULL;
    if (v.kind == KM_VARIANT_STABLE)
        rules.torch_minor = v.minor;
    if (rc == 0)
        rc = check_libraries(f, dir, &rules, err);
    json_decref(metadata);
    return rc;
}
