#include "pkg/wheel.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "formats/zip.h"
#include "pkg/card.h"
#include "pkg/stage.h"

#define TAG "py3-none-manylinux_2_28_" /* and the processor */

/* A wheel in the making: the archive and its RECORD. */
struct wheel {
    km_arena *a;
    const km_plan *p;
    km_zip_writer zip;
    km_str record;
    const char *version;
    const char *dist_info;
};

const char *km_wheel_local(km_arena *a, const km_plan *p)
{
    const char *text = "";

    if (p->m->backends[KM_BACKEND_CUDA] && p->wheel_flavor == KM_FLAVOR_CPU)
        return "cpu";
    if (!p->o.archs || p->wheel_flavor == KM_FLAVOR_CPU)
        return "";
    for (size_t i = 0; text && i < p->archs.count; i++)
        if (i == 0 || p->archs.items[i].sm != p->archs.items[i - 1].sm)
            text = km_arena_printf(a, "%s%ssm%u", text, *text ? "." : "", p->archs.items[i].sm);
    return text;
}

static const char *version_of(km_arena *a, const km_plan *p, km_err *err)
{
    const char *local = km_wheel_local(a, p), *version;

    if (!p->m->card.wheel_version) {
        km_fail_at(err, KM_EFORMAT, p->m->path, 1, 1, "the wheel has no version");
        km_hint(err, "add card.toml with [wheel] and version = \"%lld.0.0\"",
                (long long)p->m->version);
        return NULL;
    }
    version = local
                  ? km_arena_printf(a, "%s%s%s", p->m->card.wheel_version, *local ? "+" : "", local)
                  : NULL;
    if (!version)
        km_fail_nomem(err);
    return version;
}

int km_wheel_name(km_arena *a, const km_plan *p, const char **out, km_err *err)
{
    const char *version = version_of(a, p, err);

    if (!version)
        return err->code;
    *out = km_arena_printf(a, "%s-%s-" TAG "%s.whl", p->m->import_name, version, p->host);
    return *out ? 0 : km_fail_nomem(err);
}

/* `data` must live until the archive is finished: it comes from the arena. */
static int add_member(struct wheel *w, const char *name, const char *data, size_t size, mode_t mode,
                      km_err *err)
{
    char base64[KM_SHA256_BASE64_BYTES];
    km_sha256 hash;

    if (km_hash_bytes(data, size, &hash, err) < 0)
        return KM_EBUG;
    km_hash_base64url(&hash, base64);
    km_str_printf(&w->record, "%s,sha256=%s,%zu\n", name, base64, size);
    return km_zip_writer_add(&w->zip, name, data, size, mode, err);
}

static int add_text(struct wheel *w, const char *name, const km_str *text, km_err *err)
{
    const char *path = km_arena_printf(w->a, "%s/%s", w->dist_info, name);
    const char *copy = km_arena_strndup(w->a, text->data, text->length);

    if (!path || !copy)
        return km_fail_nomem(err);
    if (km_str_check(text, err) < 0)
        return KM_ENOMEM;
    return add_member(w, path, copy, text->length, 0644, err);
}

static int add_package(struct wheel *w, km_err *err)
{
    const char *root = km_stage_wheel_dir(w->a, w->p);
    km_names names;

    if (!root)
        return km_fail_nomem(err);
    if (km_dir_walk(w->a, root, &names, err) < 0)
        return KM_EIO;
    for (size_t i = 0; i < names.count; i++) {
        const char *path = km_path_join(w->a, root, names.names[i]);
        size_t size;
        char *data;
        if (strstr(names.names[i], "__pycache__"))
            continue;
        if (!path || km_file_read(w->a, path, KM_FILE_BYTES_MAX, &data, &size, err) < 0 ||
            add_member(w, names.names[i], data, size,
                       km_ends_with(names.names[i], ".so") ? 0755 : 0644, err) < 0)
            return KM_EIO;
    }
    return 0;
}

/* The package's own folder, so that Python files are used where they are edited. */
static int add_pth(struct wheel *w, km_err *err)
{
    const char *name = km_arena_printf(w->a, "__editable__.%s.pth", w->p->m->import_name);
    const char *line = km_arena_printf(w->a, "%s/torch-ext\n", w->p->m->dir);

    if (!name || !line)
        return km_fail_nomem(err);
    return add_member(w, name, line, strlen(line), 0644, err);
}

/* A card without what only the Hub reads. */
static const char *without_front_matter(const char *card)
{
    const char *end = km_starts_with(card, "---\n") ? strstr(card + 4, "\n---\n") : NULL;

    return end ? end + strlen("\n---\n") : card;
}

static bool is_licence(const char *name)
{
    static const char *const prefixes[] = { "LICENSE", "LICENCE", "COPYING", "NOTICE" };

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (km_starts_with(name, prefixes[i]))
            return true;
    return false;
}

/* Those of one folder, of which `out` keeps the names. */
static int list_licences(km_arena *a, const char *dir, km_names *out, km_err *err)
{
    size_t kept = 0;

    if (km_dir_list(a, dir, out, err) < 0)
        return err->code;
    for (size_t i = 0; i < out->count; i++) {
        const char *path = km_path_join(a, dir, out->names[i]);
        if (!path)
            return km_fail_nomem(err);
        if (is_licence(out->names[i]) && km_file_exists(path))
            out->names[kept++] = out->names[i];
    }
    out->count = kept;
    return 0;
}

/* The checkout that `dir` is in; NULL: none, or memory ended. */
static const char *git_root(km_arena *a, const char *dir)
{
    for (const char *at = dir;;) {
        const char *git = km_path_join(a, at, ".git"), *up = km_path_dir(a, at);
        if (!git || !up)
            return NULL;
        if (km_dir_exists(git) || km_file_exists(git)) /* a file: of a worktree */
            return at;
        if (strcmp(up, at) == 0)
            return NULL;
        at = up;
    }
}

/* The folder that has licence files: the repository's, or in a git checkout the nearest above. */
static int find_licences(km_arena *a, const char *dir, const char **where, km_names *names,
                         km_err *err)
{
    const char *root = git_root(a, dir);
    int rc = list_licences(a, dir, names, err);

    *where = dir;
    while (rc == 0 && names->count == 0 && root && strcmp(*where, root) != 0) {
        *where = km_path_dir(a, *where);
        rc = *where ? list_licences(a, *where, names, err) : km_fail_nomem(err);
    }
    return rc;
}

static int add_licences(struct wheel *w, km_str *metadata, km_err *err)
{
    const char *where;
    km_names names;
    int rc = find_licences(w->a, w->p->m->dir, &where, &names, err);

    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *path = km_path_join(w->a, where, names.names[i]);
        const char *member = km_arena_printf(w->a, "%s/licenses/%s", w->dist_info, names.names[i]);
        size_t size;
        char *data;
        if (!path || !member)
            return km_fail_nomem(err);
        km_str_printf(metadata, "License-File: %s\n", names.names[i]);
        rc = km_file_read(w->a, path, KM_FILE_BYTES_MAX, &data, &size, err);
        if (rc == 0)
            rc = add_member(w, member, data, size, 0644, err);
    }
    return rc;
}

static int add_metadata(struct wheel *w, km_err *err)
{
    const km_manifest *m = w->p->m;
    km_str text = KM_STR_INIT, card = KM_STR_INIT;
    int rc;

    km_str_printf(&text, "Metadata-Version: 2.4\nName: %s\nVersion: %s\n", m->name, w->version);
    if (m->card.summary)
        km_str_printf(&text, "Summary: %s\n", m->card.summary);
    km_str_printf(&text, "License-Expression: %s\n", m->license);
    rc = add_licences(w, &text, err);
    if (m->source)
        km_str_printf(&text, "Project-URL: Source, %s\n", m->source);
    km_str_printf(&text, "Requires-Python: %s\n",
                  m->card.requires_python ? m->card.requires_python : ">=3.10");
    km_str_printf(&text, "Requires-Dist: torch>=2.%u\n", w->p->torch_minor);
    for (size_t i = 0; i < m->card.requires.count; i++)
        km_str_printf(&text, "Requires-Dist: %s\n", m->card.requires.items[i]);
    km_str_add(&text, "Description-Content-Type: text/markdown\n\n");
    if (rc == 0)
        rc = km_card_text(w->p, &card, err);
    if (rc == 0)
        km_str_add(&text, without_front_matter(card.data));
    if (rc == 0)
        rc = add_text(w, "METADATA", &text, err);
    km_str_release(&card);
    km_str_release(&text);
    return rc;
}

static int add_dist_info(struct wheel *w, km_err *err)
{
    const char *record = km_arena_printf(w->a, "%s/RECORD", w->dist_info), *copy;
    km_str text = KM_STR_INIT;
    int rc;

    km_str_printf(&text,
                  "Wheel-Version: 1.0\nGenerator: kernmill %s\nRoot-Is-Purelib: false\n"
                  "Tag: " TAG "%s\n",
                  KM_VERSION, w->p->host);
    rc = add_metadata(w, err);
    if (rc == 0)
        rc = add_text(w, "WHEEL", &text, err);
    km_str_release(&text);
    if (rc < 0)
        return rc;
    km_str_printf(&w->record, "%s,,\n", record);
    copy = km_arena_strndup(w->a, w->record.data, w->record.length);
    if (!record || !copy || km_str_check(&w->record, err) < 0)
        return km_fail_nomem(err);
    return km_zip_writer_add(&w->zip, record, copy, w->record.length, 0644, err);
}

static int fill(struct wheel *w, bool editable, const char *path, km_err *err)
{
    km_str bytes = KM_STR_INIT;
    int rc = editable ? add_pth(w, err) : add_package(w, err);

    if (rc == 0)
        rc = add_dist_info(w, err);
    if (rc == 0)
        rc = km_zip_writer_finish(&w->zip, &bytes, err);
    if (rc == 0)
        rc = km_file_update(path, bytes.data, bytes.length, 0644, err);
    km_str_release(&bytes);
    return rc;
}

int km_wheel_write(km_arena *a, const km_plan *p, const char *dir, bool editable, const char **path,
                   km_err *err)
{
    struct wheel w = { .a = a, .p = p, .record = KM_STR_INIT };
    const char *name = NULL;
    int rc;

    if (km_wheel_name(a, p, &name, err) < 0)
        return err->code;
    w.version = version_of(a, p, err);
    w.dist_info = km_arena_printf(a, "%s-%s.dist-info", p->m->import_name, w.version);
    *path = km_path_join(a, dir, name);
    if (!w.dist_info || !*path)
        return km_fail_nomem(err);
    rc = km_zip_writer_init(&w.zip, err);
    if (rc < 0)
        return rc;
    rc = fill(&w, editable, *path, err);
    km_zip_writer_release(&w.zip);
    km_str_release(&w.record);
    return rc;
}
