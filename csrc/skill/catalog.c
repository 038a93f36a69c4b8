#include "skill/catalog.h"

#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "core/str.h"

static bool is_skipped(const char *path)
{
    return strcmp(path, KM_SKILL_MANIFEST) == 0 || strstr(path, "__pycache__");
}

int km_skill_files_read(km_arena *a, const char *dir, km_skill_files *out, km_err *err)
{
    km_names names;
    km_sha256 hash;
    int rc = km_dir_walk(a, dir, &names, err);

    *out = (km_skill_files){ NULL, 0 };
    if (rc < 0)
        return rc;
    if (names.count > KM_SKILL_FILES_MAX)
        return km_fail(err, KM_ELIMIT, "'%s' has %zu files; a skill has %d at most", dir,
                       names.count, KM_SKILL_FILES_MAX);
    out->files = km_arena_array(a, names.count + 1, sizeof *out->files);
    if (!out->files)
        return km_fail_nomem(err);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *path = km_path_join(a, dir, names.names[i]);
        char *hex = km_arena_alloc(a, KM_SHA256_HEX_BYTES);
        if (is_skipped(names.names[i]))
            continue;
        rc = path && hex ? km_hash_file(path, &hash, err) : km_fail_nomem(err);
        if (rc < 0)
            return rc;
        km_hash_hex(&hash, hex);
        out->files[out->count++] = (km_skill_file){ names.names[i], hex };
    }
    return rc;
}

const km_skill_file *km_skill_files_find(const km_skill_files *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->files[i].path, path) == 0)
            return &files->files[i];
    return NULL;
}

/* The value of a "key: value" line between the two "---" lines, or NULL. */
static const char *front_matter(km_arena *a, const char *text, const char *key)
{
    size_t n = strlen(key);

    if (!km_starts_with(text, "---\n"))
        return NULL;
    for (const char *line = text + 4; *line && !km_starts_with(line, "---\n");) {
        size_t length = strcspn(line, "\n");
        if (strncmp(line, key, n) == 0 && km_starts_with(line + n, ": "))
            return km_arena_strndup(a, line + n + 2, length - n - 2);
        line += length + (line[length] == '\n');
    }
    return NULL;
}

static int read_skill(km_arena *a, const char *root, const char *name, km_skill *out, km_err *err)
{
    const char *dir = km_path_join(a, root, name), *path, *named;
    char *text;
    size_t size;

    path = dir ? km_path_join(a, dir, "SKILL.md") : NULL;
    if (!path)
        return km_fail_nomem(err);
    if (km_file_read(a, path, KM_TEXT_BYTES_MAX, &text, &size, err) < 0)
        return err ? err->code : KM_EIO;
    named = front_matter(a, text, "name");
    *out = (km_skill){ .name = name, .dir = dir };
    out->description = front_matter(a, text, "description");
    if (!named || strcmp(named, name) != 0 || !out->description)
        return km_fail_at(err, KM_EFORMAT, path, 1, 1,
                          "the front matter lacks 'name: %s' or a description", name);
    return km_skill_files_read(a, dir, &out->files, err);
}

int km_catalog_read(km_arena *a, const char *root, km_catalog *out, km_err *err)
{
    km_names names = { NULL, 0 };
    int rc = km_dir_exists(root) ? km_dir_list(a, root, &names, err) : 0;

    *out = (km_catalog){ NULL, 0 };
    if (rc < 0)
        return rc;
    out->skills = km_arena_array(a, names.count + 1, sizeof *out->skills);
    if (!out->skills)
        return km_fail_nomem(err);
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        if (names.names[i][0] != '.')
            rc = read_skill(a, root, names.names[i], &out->skills[out->count++], err);
    if (rc == 0 && !out->count) {
        km_fail(err, KM_EENV, "no skills in '%s'", root);
        rc = km_hint(err, "the installation of kernmill is incomplete: install it again");
    }
    return rc;
}

const km_skill *km_catalog_get(const km_catalog *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->skills[i].name, name) == 0)
            return &c->skills[i];
    return NULL;
}

static void fail_unknown(const km_catalog *c, const char *name, km_err *err)
{
    const char *names[KM_SKILLS_MAX + 1], *near;
    km_str all = KM_STR_INIT;
    size_t n = 0;

    for (size_t i = 0; i < c->count; i++) {
        if (n < KM_SKILLS_MAX)
            names[n++] = c->skills[i].name;
        km_str_printf(&all, "%s%s", i ? ", " : "", c->skills[i].name);
    }
    names[n] = NULL;
    near = km_nearest(name, names);
    km_fail(err, KM_EUSAGE, "there is no skill '%s'", name);
    if (strchr(name, '/') || km_starts_with(name, "."))
        km_hint(err, "NAME is a skill's, one of: %s; --dest DIR says where it goes", all.data);
    else if (near)
        km_hint(err, "did you mean '%s'? There are: %s", near, all.data);
    else
        km_hint(err, "there are: %s", all.data);
    km_str_release(&all);
}

const km_skill *km_catalog_find(const km_catalog *c, const char *name, km_err *err)
{
    const km_skill *s = km_catalog_get(c, name);

    if (!s)
        fail_unknown(c, name, err);
    return s;
}
