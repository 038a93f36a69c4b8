#include "pkg/stage.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "core/template.h"
#include "pkg/metadata.h"
#include "pkg/variant.h"

char *km_stage_wheel_dir(km_arena *a, const km_plan *p)
{
    return km_arena_printf(a, "%s/wheel%s%s", p->build_dir, p->is_cross ? "-" : "",
                           p->is_cross ? p->host : "");
}

char *km_stage_hub_dir(km_arena *a, const km_plan *p, const char *variant)
{
    return km_path_join(a, p->build_dir, variant);
}

/* Whether a file of torch-ext/<import name> is shipped: .py and .pyi, and what [torch] pyext names.
 */
static bool is_shipped(const km_manifest *m, const char *name)
{
    const char *ext = km_path_ext(name);

    if (strstr(name, "__pycache__") || strcmp(name, "_ops.py") == 0)
        return false;
    if (strcmp(ext, ".py") == 0 || strcmp(ext, ".pyi") == 0)
        return true;
    for (size_t i = 0; i < m->torch_pyext.count; i++)
        if (*ext && strcmp(ext + 1, m->torch_pyext.items[i]) == 0)
            return true;
    return false;
}

/* Removes what the folder has beyond `wanted`, so that a deleted source file is not shipped. */
static int remove_others(km_arena *a, const char *dir, const km_names *wanted, km_err *err)
{
    km_names have;

    if (km_dir_walk(a, dir, &have, err) < 0)
        return KM_EIO;
    for (size_t i = 0; i < have.count; i++) {
        bool keep = false;
        for (size_t j = 0; j < wanted->count && !keep; j++)
            keep = strcmp(have.names[i], wanted->names[j]) == 0;
        if (!keep && km_dir_remove(km_path_join(a, dir, have.names[i]), err) < 0)
            return KM_EIO;
    }
    return 0;
}

static int write_ops(km_arena *a, const km_plan *p, const char *dir, const char *namespace,
                     km_err *err)
{
    char minor[16];
    const km_template_value values[] = { { "namespace", namespace },
                                         { "library", p->m->import_name },
                                         { "name", p->m->name },
                                         { "torch_minor", minor },
                                         { NULL, NULL } };
    const char *template = km_path_join(a, p->home.templates, "_ops.py.in");
    const char *path = km_path_join(a, dir, "_ops.py");
    km_str text = KM_STR_INIT;
    int rc;

    if (!template || !path)
        return km_fail_nomem(err);
    snprintf(minor, sizeof minor, "%u", p->torch_minor);
    rc = km_template_expand_file(template, values, &text, err);
    if (rc == 0)
        rc = km_file_update(path, text.data, text.length, 0666, err);
    km_str_release(&text);
    return rc;
}

/* The package's files, _ops.py and the library, into `dir`. */
static int stage_package(km_arena *a, const km_plan *p, const char *dir, const char *library,
                         const char *namespace, km_err *err)
{
    const char *from = km_arena_printf(a, "%s/torch-ext/%s", p->m->dir, p->m->import_name);
    const char *base = km_path_base(library), *to = km_path_join(a, dir, base);
    km_names files, wanted = { NULL, 0 };

    if (!from || !to || km_dir_make(dir, err) < 0)
        return KM_EIO;
    if (!km_file_exists(km_path_join(a, from, "__init__.py"))) {
        km_fail(err, KM_EFORMAT, "'torch-ext/%s/__init__.py' is not there", p->m->import_name);
        return km_hint(err,
                       "the Python package of a kernel stands in torch-ext/<name, '-' as '_'>");
    }
    if (km_dir_walk(a, from, &files, err) < 0)
        return KM_EIO;
    wanted.names = km_arena_array(a, files.count + 3, sizeof *wanted.names);
    if (!wanted.names)
        return km_fail_nomem(err);
    for (size_t i = 0; i < files.count; i++) {
        const char *target = km_path_join(a, dir, files.names[i]);
        if (!is_shipped(p->m, files.names[i]))
            continue;
        wanted.names[wanted.count++] = files.names[i];
        if (!target || km_dir_make(km_path_dir(a, target), err) < 0 ||
            km_file_copy(km_path_join(a, from, files.names[i]), target, err) < 0)
            return KM_EIO;
    }
    wanted.names[wanted.count++] = km_arena_strdup(a, "_ops.py");
    wanted.names[wanted.count++] = km_arena_strdup(a, base);
    wanted.names[wanted.count++] = km_arena_strdup(a, "metadata.json");
    if (write_ops(a, p, dir, namespace, err) < 0 || km_file_copy(library, to, err) < 0)
        return KM_EIO;
    return remove_others(a, dir, &wanted, err);
}

/* Whether a variant's folder is one of this plan, or of the plan that it is made beside. */
static bool is_wanted(const km_plan *p, const char *name)
{
    km_variant parsed;

    if (p->o.beside && km_variant_parse(name, &parsed, NULL) == 0 &&
        strcmp(parsed.cpu, p->o.beside) == 0)
        return true;
    for (int f = 0; f < KM_FLAVOR_COUNT; f++)
        for (const char *const *v = p->products[f].variants; p->products[f].built && *v; v++)
            if (strcmp(*v, name) == 0)
                return true;
    return false;
}

static int remove_old_variants(km_arena *a, const km_plan *p, km_err *err)
{
    km_names names;

    if (km_dir_list(a, p->build_dir, &names, err) < 0)
        return KM_EIO;
    for (size_t i = 0; i < names.count; i++)
        if (km_starts_with(names.names[i], "torch-") && !is_wanted(p, names.names[i]) &&
            km_dir_remove(km_path_join(a, p->build_dir, names.names[i]), err) < 0)
            return KM_EIO;
    return 0;
}

/* The wheel carries all of build/wheel: a package under a name that the kernel had before goes. */
static int remove_old_packages(km_arena *a, const km_plan *p, km_err *err)
{
    const char *dir = km_stage_wheel_dir(a, p);
    km_names names = { NULL, 0 };

    if (dir && km_dir_exists(dir) && km_dir_list(a, dir, &names, err) < 0)
        return KM_EIO;
    for (size_t i = 0; i < names.count; i++)
        if (strcmp(names.names[i], p->m->import_name) != 0 &&
            km_dir_remove(km_path_join(a, dir, names.names[i]), err) < 0)
            return KM_EIO;
    return 0;
}

static int stage_all(km_arena *a, const km_plan *p, km_err *err)
{
    const char *wheel = km_path_join(a, km_stage_wheel_dir(a, p), p->m->import_name);
    int rc = remove_old_variants(a, p, err);

    if (rc == 0)
        rc = remove_old_packages(a, p, err);
    if (rc == 0)
        rc = stage_package(a, p, wheel, p->products[p->wheel_flavor].wheel_library,
                           p->m->import_name, err);
    for (int f = 0; f < KM_FLAVOR_COUNT && rc == 0; f++)
        for (const char *const *v = p->products[f].variants; rc == 0 && p->products[f].built && *v;
             v++) {
            const char *dir = km_stage_hub_dir(a, p, *v);
            rc = stage_package(a, p, dir, p->products[f].hub_library, p->products[f].id, err);
            if (rc == 0)
                rc = km_metadata_write(p, (km_flavor)f, dir, err);
        }
    return rc;
}

int km_stage(const km_plan *p, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    int rc = stage_all(&a, p, err);

    km_arena_release(&a);
    return rc;
}

bool km_stage_is_editable(const km_plan *p)
{
    km_arena a = KM_ARENA_INIT;
    const char *path = km_arena_printf(&a, "%s/torch-ext/%s/lib%s.so", p->m->dir, p->m->import_name,
                                       p->m->import_name);
    bool there = path && km_file_exists(path);

    km_arena_release(&a);
    return there;
}

int km_stage_editable(const km_plan *p, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *library = p->products[p->wheel_flavor].wheel_library;
    const char *dir = km_arena_printf(&a, "%s/torch-ext/%s", p->m->dir, p->m->import_name);
    int rc = dir ? write_ops(&a, p, dir, p->m->import_name, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_file_copy(library, km_path_join(&a, dir, km_path_base(library)), err);
    km_arena_release(&a);
    return rc;
}
