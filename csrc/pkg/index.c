#include "pkg/index.h"

#include <ctype.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/zip.h"

#define REQUIRES "Requires-Python: "

/* A project's folder in the making. */
struct project {
    km_arena *a;
    const char *dir; /* DIR/<project> */
    const char *name;
    km_str page;
};

/* "kernmill_rmsnorm-1.0.0-py3-..." gives "kernmill-rmsnorm" (PEP 503). */
static char *project_of(km_arena *a, const char *wheel, km_err *err)
{
    const char *base = km_path_base(wheel), *dash = strchr(base, '-');
    char *name;

    if (!dash || !km_ends_with(base, ".whl")) {
        km_fail(err, KM_EFORMAT, "'%s' is not named as a wheel", wheel);
        return NULL;
    }
    name = km_arena_strndup(a, base, (size_t)(dash - base));
    if (!name)
        km_fail_nomem(err);
    for (char *c = name; c && *c; c++)
        *c = strchr("_.", *c) ? '-' : (char)tolower((unsigned char)*c);
    return name;
}

/* The member <name>-<version>.dist-info/METADATA. */
static int read_metadata(km_arena *a, const char *wheel, const km_zip_entry **out, km_err *err)
{
    static const km_zip_limits limits = { KM_FILE_BYTES_MAX, KM_FILE_BYTES_MAX };
    const char *base = km_path_base(wheel), *end = strchr(base, '-'), *member;
    size_t size;
    char *data;
    km_zip zip;

    end = end ? strchr(end + 1, '-') : NULL;
    if (!end)
        return km_fail(err, KM_EFORMAT, "'%s' is not named as a wheel", wheel);
    member = km_arena_printf(a, "%.*s.dist-info/METADATA", (int)(end - base), base);
    if (!member)
        return km_fail_nomem(err);
    if (km_file_read(a, wheel, KM_FILE_BYTES_MAX, &data, &size, err) < 0 ||
        km_zip_read(a, data, size, wheel, &limits, &zip, err) < 0)
        return err->code;
    *out = km_zip_find(&zip, member);
    return *out ? 0 : km_fail(err, KM_EFORMAT, "%s: it has no %s", wheel, member);
}

/* What comes into an attribute or a text of a page. */
static void add_html(km_str *s, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const char *entity = text[i] == '&'   ? "&amp;"
                             : text[i] == '<' ? "&lt;"
                             : text[i] == '>' ? "&gt;"
                             : text[i] == '"' ? "&quot;"
                                              : NULL;
        if (entity)
            km_str_add(s, entity);
        else
            km_str_add_char(s, text[i]);
    }
}

/* A wheel's name in a link: '+' means a space to some servers. */
static void add_link(km_str *s, const char *name)
{
    for (; *name; name++)
        if (*name == '+')
            km_str_add(s, "%2B");
        else
            add_html(s, name, 1);
}

static void begin_page(km_str *s, const char *title)
{
    km_str_printf(s,
                  "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><meta "
                  "name=\"pypi:repository-version\" content=\"1.0\"><title>%s</title></head>\n"
                  "<body>\n",
                  title);
}

static int end_page(km_arena *a, km_str *s, const char *dir, const char **path, km_err *err)
{
    *path = km_path_join(a, dir, "index.html");
    km_str_add(s, "</body>\n</html>\n");
    if (!*path || km_str_check(s, err) < 0)
        return km_fail_nomem(err);
    return km_file_update(*path, s->data, s->length, 0644, err);
}

static void add_requires(km_str *s, const char *metadata)
{
    const char *line = strstr(metadata, "\n" REQUIRES);

    if (!line)
        return;
    line += strlen("\n" REQUIRES);
    km_str_add(s, " data-requires-python=\"");
    add_html(s, line, strcspn(line, "\r\n"));
    km_str_add_char(s, '"');
}

/* A line of the page, of a wheel whose .metadata lies beside it. */
static int add_wheel(struct project *p, const char *name, km_err *err)
{
    char hex[KM_SHA256_HEX_BYTES], metadata_hex[KM_SHA256_HEX_BYTES];
    const char *path = km_path_join(p->a, p->dir, name);
    const char *metadata = path ? km_arena_printf(p->a, "%s.metadata", path) : NULL;
    km_sha256 hash, metadata_hash;
    size_t size;
    char *text;

    if (!metadata)
        return km_fail_nomem(err);
    if (km_hash_file(path, &hash, err) < 0 ||
        km_file_read(p->a, metadata, KM_FILE_BYTES_MAX, &text, &size, err) < 0 ||
        km_hash_bytes(text, size, &metadata_hash, err) < 0)
        return err->code;
    km_hash_hex(&hash, hex);
    km_hash_hex(&metadata_hash, metadata_hex);
    km_str_add(&p->page, "<a href=\"");
    add_link(&p->page, name);
    km_str_printf(&p->page, "#sha256=%s\" data-core-metadata=\"sha256=%s\"", hex, metadata_hex);
    add_requires(&p->page, text);
    km_str_add_char(&p->page, '>');
    add_html(&p->page, name, strlen(name));
    km_str_add(&p->page, "</a><br>\n");
    return 0;
}

static int write_project(struct project *p, const char **page, km_err *err)
{
    km_names names;

    if (km_dir_list(p->a, p->dir, &names, err) < 0)
        return err->code;
    begin_page(&p->page, p->name);
    for (size_t i = 0; i < names.count; i++)
        if (km_ends_with(names.names[i], ".whl") && add_wheel(p, names.names[i], err) < 0)
            return err->code;
    return end_page(p->a, &p->page, p->dir, page, err);
}

static int write_root(km_arena *a, const char *dir, km_err *err)
{
    km_str page = KM_STR_INIT;
    const char *path;
    km_names names;
    int rc = km_dir_list(a, dir, &names, err);

    begin_page(&page, "Simple index");
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        if (km_dir_exists(km_path_join(a, dir, names.names[i])))
            km_str_printf(&page, "<a href=\"%s/\">%s</a><br>\n", names.names[i], names.names[i]);
    if (rc == 0)
        rc = end_page(a, &page, dir, &path, err);
    km_str_release(&page);
    return rc;
}

/* The wheel in its place, and beside it its metadata. */
static int put(struct project *p, const char *wheel, km_err *err)
{
    const char *to = km_path_join(p->a, p->dir, km_path_base(wheel));
    const char *metadata = to ? km_arena_printf(p->a, "%s.metadata", to) : NULL;
    const km_zip_entry *entry;
    km_sha256 new, old;

    if (!metadata)
        return km_fail_nomem(err);
    if (read_metadata(p->a, wheel, &entry, err) < 0 || km_hash_file(wheel, &new, err) < 0)
        return err->code;
    if (km_file_exists(to)) {
        if (km_hash_file(to, &old, err) < 0)
            return err->code;
        if (memcmp(&new, &old, sizeof new) != 0) {
            km_fail(err, KM_EUSAGE, "'%s' is there, with other bytes", to);
            km_hint(err, "raise the version in card.toml, or remove the wheel and its .metadata");
            return KM_EUSAGE;
        }
    }
    /* the metadata first: a page lists what has both */
    if (km_file_update(metadata, entry->data, entry->size, 0644, err) < 0)
        return err->code;
    return km_file_copy(wheel, to, err);
}

int km_index_add(km_arena *a, const char *dir, const char *wheel, const char **page, km_err *err)
{
    struct project p = { .a = a, .page = KM_STR_INIT };
    int rc;

    p.name = project_of(a, wheel, err);
    if (!p.name)
        return err->code;
    p.dir = km_path_join(a, dir, p.name);
    if (!p.dir)
        return km_fail_nomem(err);
    rc = km_dir_make(p.dir, err);
    if (rc == 0)
        rc = put(&p, wheel, err);
    if (rc == 0)
        rc = write_project(&p, page, err);
    if (rc == 0)
        rc = write_root(a, dir, err);
    km_str_release(&p.page);
    return rc;
}
