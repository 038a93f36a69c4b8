#include "skill/installed.h"

#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/fields.h"
#include "formats/json.h"

const char *const km_edit_names[] = { "edited", "removed", "not kernmill's" };

static int read_pins(km_arena *a, const json_t *files, const char *path, km_skill_files *out,
                     km_err *err)
{
    const char *name;
    json_t *hash;

    if (json_object_size(files) > KM_SKILL_FILES_MAX)
        return km_fail_at(err, KM_ELIMIT, path, 0, 0, "%zu files; a skill has %d at most",
                          json_object_size(files), KM_SKILL_FILES_MAX);
    out->files = km_arena_array(a, json_object_size(files) + 1, sizeof *out->files);
    if (!out->files)
        return km_fail_nomem(err);
    json_object_foreach((json_t *)files, name, hash)
    {
        km_skill_file *f = &out->files[out->count++];
        if (!json_is_string(hash))
            return km_fail_at(err, KM_EFORMAT, path, 0, 0, "the hash of '%s' is no string", name);
        f->path = km_arena_strdup(a, name);
        f->sha256 = km_arena_strdup(a, json_string_value(hash));
        if (!f->path || !f->sha256)
            return km_fail_nomem(err);
    }
    return 0;
}

static int read_manifest(km_arena *a, const char *path, km_installed *out, km_err *err)
{
    const char *version = NULL;
    json_t *doc = NULL, *files = NULL;
    km_version parsed;
    int64_t schema = 0;
    int rc = km_json_read(path, &doc, err);

    if (rc == 0)
        rc = km_json_int(doc, "schema", &schema, path, err);
    if (rc == 0 && schema != KM_SKILL_SCHEMA)
        rc = km_fail_at(err, KM_EFORMAT, path, 0, 0, "schema %lld; this program knows %d",
                        (long long)schema, KM_SKILL_SCHEMA);
    if (rc == 0)
        rc = km_json_text(doc, "version", &version, path, err);
    if (rc == 0 && !km_version_parse(version, &parsed))
        rc = km_fail_at(err, KM_EFORMAT, path, 0, 0, "'%s' is no version", version);
    if (rc == 0)
        rc = km_json_object(doc, "files", &files, path, err);
    if (rc == 0)
        rc = read_pins(a, files, path, &out->pins, err);
    if (rc == 0) {
        out->version = km_arena_strdup(a, version);
        rc = out->version ? 0 : km_fail_nomem(err);
    }
    json_decref(doc);
    return rc;
}

static bool is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

int km_installed_read_unpinned(km_arena *a, const char *dir, km_installed *out, km_err *err)
{
    *out = (km_installed){ .there = is_there(dir) };
    return out->there ? km_skill_files_read(a, dir, &out->files, err) : 0;
}

int km_installed_read(km_arena *a, const char *dir, km_installed *out, km_err *err)
{
    const char *path = km_path_join(a, dir, KM_SKILL_MANIFEST);
    int rc = path ? km_installed_read_unpinned(a, dir, out, err) : km_fail_nomem(err);

    if (rc < 0 || !is_there(path))
        return rc;
    out->pinned = true;
    return read_manifest(a, path, out, err);
}

/* What a stranger's file holds must not steer a terminal. */
static const char *safe_copy(km_arena *a, const char *text)
{
    char *copy = km_arena_strdup(a, text);

    if (copy)
        km_text_clean(copy);
    return copy;
}

static int add_edit(km_arena *a, km_edits *out, km_edit_kind kind, const char *path, km_err *err)
{
    const char *safe = safe_copy(a, path);

    if (!safe)
        return km_fail_nomem(err);
    out->edits[out->count++] = (km_edit){ kind, safe };
    return 0;
}

static bool is_same(const km_skill_file *a, const km_skill_file *b)
{
    return a && b && strcmp(a->sha256, b->sha256) == 0;
}

int km_installed_edits(km_arena *a, const km_installed *i, const km_skill_files *next,
                       km_edits *out, km_err *err)
{
    int rc = 0;

    *out = (km_edits){ NULL, 0 };
    out->edits = km_arena_array(a, i->pins.count + i->files.count + 1, sizeof *out->edits);
    if (!out->edits)
        return km_fail_nomem(err);
    for (size_t n = 0; rc == 0 && n < i->pins.count; n++) {
        const km_skill_file *pin = &i->pins.files[n];
        const km_skill_file *now = km_skill_files_find(&i->files, pin->path);
        const km_skill_file *then = km_skill_files_find(next, pin->path);
        if (now && !is_same(now, pin) && !is_same(now, then))
            rc = add_edit(a, out, KM_EDITED, pin->path, err);
        else if (!now && then)
            rc = add_edit(a, out, KM_REMOVED, pin->path, err);
    }
    for (size_t n = 0; rc == 0 && n < i->files.count; n++) {
        const km_skill_file *now = &i->files.files[n];
        const km_skill_file *then = km_skill_files_find(next, now->path);
        if (then && !is_same(now, then) && !km_skill_files_find(&i->pins, now->path))
            rc = add_edit(a, out, KM_OWN, now->path, err);
    }
    return rc;
}

bool km_skill_files_equal(const km_skill_files *a, const km_skill_files *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (!is_same(&a->files[i], km_skill_files_find(b, a->files[i].path)))
            return false;
    return a->count == b->count;
}

int km_installed_age(const km_installed *i)
{
    km_version theirs = { 0 }, ours = { 0 };

    km_version_parse(i->version ? i->version : "0", &theirs);
    km_version_parse(KM_VERSION, &ours);
    return km_version_compare(&theirs, &ours);
}

/* --- what stands in a place --- */

static const char *state_of(const km_installed *i, const km_skill *s)
{
    if (!i->pinned)
        return "foreign";
    if (!s)
        return "unknown";
    if (km_installed_age(i) > 0)
        return "newer";
    return km_skill_files_equal(&i->pins, &s->files) ? "current" : "outdated";
}

static int look_at(km_arena *a, const km_skill *s, const char *path, km_sighting *out, km_err *err)
{
    km_installed installed;
    km_err why = KM_ERR_INIT;
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        out->state = "linked";
        return 0;
    }
    if (km_installed_read(a, path, &installed, &why) < 0) {
        out->state = "unreadable";
        out->why = km_arena_printf(a, "%s%s%s", why.place, *why.place ? ": " : "", why.message);
        return out->why ? 0 : km_fail_nomem(err);
    }
    out->state = state_of(&installed, s);
    out->version = installed.version;
    return km_installed_edits(a, &installed, &installed.pins, &out->edits, err);
}

int km_installed_look(km_arena *a, const km_catalog *c, const km_place *p, km_sighting **out,
                      size_t *count, km_err *err)
{
    km_names names = { NULL, 0 };
    int rc = km_dir_exists(p->dir) ? km_dir_list(a, p->dir, &names, err) : 0;

    *count = 0;
    *out = km_arena_array(a, names.count + 1, sizeof **out);
    if (!*out)
        return km_fail_nomem(err);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *name = names.names[i], *path = km_path_join(a, p->dir, name);
        const char *manifest = path ? km_path_join(a, path, KM_SKILL_MANIFEST) : NULL;
        const km_skill *s = km_catalog_get(c, name);
        if (!manifest)
            return km_fail_nomem(err);
        if (name[0] == '.' || (!s && !is_there(manifest)))
            continue;
        (*out)[*count] = (km_sighting){ safe_copy(a, name), safe_copy(a, path), "", NULL, NULL,
                                        { NULL, 0 } };
        rc = look_at(a, s, path, &(*out)[(*count)++], err);
    }
    return rc;
}
