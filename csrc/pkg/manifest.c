#include "pkg/manifest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/manifest_internal.h"

const char *const km_backend_names[] = { "cann", "cpu", "cuda", "metal", "neuron",
                                         "rocm", "tpu", "xpu",  NULL };

int km_manifest_pick(const km_fields *f, const char *key, const char *text, const km_toml *at,
                     const char *const *names, km_err *err)
{
    const char *near = km_nearest(text, names);

    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    km_fields_fail(f, at, err, "'%s' cannot be '%s'", key, text);
    if (near)
        km_hint(err, "did you mean '%s'?", near);
    else
        km_fields_hint_names(names, err);
    return -1;
}

int km_manifest_check_names(const km_fields *f, const char *key, const km_list *list,
                            const char *const *names, km_err *err)
{
    for (size_t i = 0; i < list->count; i++)
        if (km_manifest_pick(f, key, list->items[i], list->places[i], names, err) < 0)
            return KM_EFORMAT;
    return 0;
}

/* 'kernel-depends': tables with a repo-id and either a version or a revision. */
static int read_kernel_depends(const km_fields *f, const km_toml *table, km_kernel_depends *out,
                               km_err *err)
{
    static const km_field rows[] = {
        { "repo-id", KM_FIELD_TEXT, offsetof(km_kernel_depend, repo_id), true },
        { "version", KM_FIELD_INT, offsetof(km_kernel_depend, version), false },
        { "revision", KM_FIELD_TEXT, offsetof(km_kernel_depend, revision), false },
        KM_FIELD_END,
    };
    const km_toml *list = km_toml_get(table, "kernel-depends");
    const km_fields of_item = { f->arena, f->path, "an item of 'kernel-depends'" };

    if (!list)
        return 0;
    out->items = km_arena_array(f->arena, list->array.count + 1, sizeof *out->items);
    if (!out->items)
        return km_fail_nomem(err);
    for (; out->count < list->array.count; out->count++) {
        const km_toml *item = list->array.items[out->count];
        km_kernel_depend *d = &out->items[out->count];
        d->version = -1;
        if (item->kind != KM_TOML_TABLE)
            return km_fields_fail(f, item, err, "items of 'kernel-depends' must be tables");
        if (km_fields_read(&of_item, item, rows, d, err) < 0)
            return KM_EFORMAT;
        if ((d->version >= 0) == (d->revision != NULL))
            return km_fields_fail(f, item, err,
                                  "a kernel dependency needs 'version' or 'revision', not both");
    }
    return 0;
}

/* [general.<backend>]; only [general.cuda] has toolkit bounds. */
static int read_backend(km_manifest *m, km_backend b, const km_toml *table, km_err *err)
{
    static const km_field rows[] = {
        { "minver", KM_FIELD_VERSION, offsetof(km_backend_general, minver), false },
        { "maxver", KM_FIELD_VERSION, offsetof(km_backend_general, maxver), false },
        { "python-depends", KM_FIELD_LIST, offsetof(km_backend_general, python_depends), false },
        { "kernel-depends", KM_FIELD_ARRAY, 0, false },
        KM_FIELD_END,
    };
    static const char *const python[KM_BACKEND_COUNT][2] = {
        [KM_BACKEND_CUDA] = { "nvidia-cutlass-dsl" },
        [KM_BACKEND_NEURON] = { "nki" },
        [KM_BACKEND_XPU] = { "onednn" },
    };
    char title[32];
    km_fields f = { &m->arena, m->path, title };

    snprintf(title, sizeof title, "[general.%s]", km_backend_names[b]);
    if (km_fields_read(&f, table, b == KM_BACKEND_CUDA ? rows : rows + 2, &m->of[b], err) < 0 ||
        km_manifest_check_names(&f, "python-depends", &m->of[b].python_depends, python[b], err) < 0)
        return KM_EFORMAT;
    return read_kernel_depends(&f, table, &m->of[b].kernel_depends, err);
}

static int read_hub(km_manifest *m, const km_toml *table, km_err *err)
{
    static const km_field rows[] = {
        { "repo-id", KM_FIELD_TEXT, offsetof(km_manifest, repo_id), false },
        { "branch", KM_FIELD_TEXT, offsetof(km_manifest, branch), false },
        KM_FIELD_END,
    };
    km_fields f = { &m->arena, m->path, "[general.hub]" };
    const char *slash;

    if (km_fields_read(&f, table, rows, m, err) < 0)
        return KM_EFORMAT;
    if (!m->repo_id)
        return 0;
    slash = strchr(m->repo_id, '/');
    if (!slash || slash == m->repo_id || !slash[1] || strchr(slash + 1, '/'))
        return km_fields_fail(&f, km_toml_get(table, "repo-id"), err,
                              "'repo-id' must be 'owner/name', not '%s'", m->repo_id);
    return 0;
}

bool km_name_is_taken(const char *name)
{
    static const char *const taken[] = {
        "array",        "bisect",      "build",     "calendar",   "cmath",      "code",
        "copy",         "ctypes",      "diffusers", "enum",       "fractions",  "functools",
        "heapq",        "io",          "itertools", "json",       "kernels",    "kernmill",
        "liger-kernel", "logging",     "math",      "ml-dtypes",  "numbers",    "numpy",
        "operator",     "packaging",   "pip",       "pytest",     "queue",      "quack",
        "random",       "safetensors", "scipy",     "select",     "setuptools", "signal",
        "statistics",   "string",      "struct",    "symbol",     "sympy",      "test",
        "tests",        "time",        "timeit",    "tokenizers", "torch",      "trace",
        "transformers", "triton",      "types",     "typing",     "warnings",   "wheel",
    };

    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (strcmp(taken[i], name) == 0)
            return true;
    return false;
}

/* ^[a-z][-a-z0-9]*[a-z0-9]$ */
static int check_name(const km_fields *f, const km_toml *general, const char *name, km_err *err)
{
    size_t n = strlen(name);
    bool good = n >= 2 && islower((unsigned char)name[0]) && name[n - 1] != '-';

    for (size_t i = 0; i < n && good; i++)
        good = islower((unsigned char)name[i]) || isdigit((unsigned char)name[i]) || name[i] == '-';
    if (good && !km_name_is_taken(name))
        return 0;
    km_fields_fail(f, km_toml_get(general, "name"), err, "'name' cannot be '%s'", name);
    if (good)
        return km_hint(err, "that is the name of another Python package or module");
    return km_hint(err, "use lower-case letters, digits and '-', at least two of them, starting "
                        "with a letter and not ending with '-'");
}

static int check_edition(const km_fields *f, const km_toml *general, int64_t edition, km_err *err)
{
    const km_toml *at = km_toml_get(general, "edition");

    if (edition == 5)
        return 0;
    if (at)
        km_fields_fail(f, at, err, "edition %lld is not known; this kernmill reads 5",
                       (long long)edition);
    else
        km_fields_fail(f, general, err, "missing key 'edition' in [general]");
    if (edition > 5)
        return km_hint(err, "a newer kernmill may read it");
    return km_hint(err,
                   "%s 'edition = 5'; an older file is migrated by Hugging Face's "
                   "'kernel-builder update-build'",
                   at ? "write" : "add");
}

static int read_backends(km_manifest *m, const km_fields *f, const km_toml *general, km_err *err)
{
    if (!m->backend_names.count)
        return km_fields_fail(f, km_toml_get(general, "backends"), err, "'backends' is empty");
    for (size_t i = 0; i < m->backend_names.count; i++) {
        const km_toml *at = m->backend_names.places[i];
        int b = km_manifest_pick(f, "backends", m->backend_names.items[i], at, km_backend_names,
                                 err);
        if (b < 0)
            return KM_EFORMAT;
        if (m->backends[b])
            return km_fields_fail(f, at, err, "backend '%s' is named twice", km_backend_names[b]);
        m->backends[b] = true;
    }
    return 0;
}

static int read_general(km_manifest *m, const km_toml *table, km_err *err)
{
    static const km_field rows[] = {
        { "name", KM_FIELD_TEXT, offsetof(km_manifest, name), true },
        { "version", KM_FIELD_INT, offsetof(km_manifest, version), true },
        { "edition", KM_FIELD_INT, offsetof(km_manifest, edition), false },
        { "license", KM_FIELD_TEXT, offsetof(km_manifest, license), true },
        { "upstream", KM_FIELD_URL, offsetof(km_manifest, upstream), false },
        { "source", KM_FIELD_URL, offsetof(km_manifest, source), false },
        { "backends", KM_FIELD_LIST, offsetof(km_manifest, backend_names), true },
        { "python-depends", KM_FIELD_LIST, offsetof(km_manifest, python_depends), false },
        { "kernel-depends", KM_FIELD_ARRAY, 0, false },
        { "hub", KM_FIELD_TABLE, 0, false },
        { "cuda", KM_FIELD_TABLE, 0, false },
        { "neuron", KM_FIELD_TABLE, 0, false },
        { "tpu", KM_FIELD_TABLE, 0, false },
        { "xpu", KM_FIELD_TABLE, 0, false },
        KM_FIELD_END,
    };
    static const char *const python[] = { "einops", "helion", "tvm-ffi", NULL };
    static const km_backend with_table[] = { KM_BACKEND_CUDA, KM_BACKEND_NEURON, KM_BACKEND_TPU,
                                             KM_BACKEND_XPU };
    km_fields f = { &m->arena, m->path, "[general]" };
    const km_toml *hub = km_toml_get(table, "hub");

    if (km_fields_read(&f, table, rows, m, err) < 0 ||
        check_edition(&f, table, m->edition, err) < 0 || check_name(&f, table, m->name, err) < 0 ||
        read_backends(m, &f, table, err) < 0 ||
        km_manifest_check_names(&f, "python-depends", &m->python_depends, python, err) < 0 ||
        read_kernel_depends(&f, table, &m->kernel_depends, err) < 0 ||
        (hub && read_hub(m, hub, err) < 0))
        return KM_EFORMAT;
    for (size_t i = 0; i < sizeof with_table / sizeof with_table[0]; i++) {
        const km_toml *t = km_toml_get(table, km_backend_names[with_table[i]]);
        if (t && read_backend(m, with_table[i], t, err) < 0)
            return KM_EFORMAT;
    }
    return 0;
}

static int read_document(km_manifest *m, const km_toml *document, km_err *err)
{
    static const km_field rows[] = {
        { "general", KM_FIELD_TABLE, 0, true },       { "torch", KM_FIELD_TABLE, 0, false },
        { "torch-noarch", KM_FIELD_TABLE, 0, false }, { "tvm-ffi", KM_FIELD_TABLE, 0, false },
        { "kernel", KM_FIELD_TABLE, 0, false },       KM_FIELD_END,
    };
    km_fields f = { &m->arena, m->path, "" };

    if (km_fields_read(&f, document, rows, m, err) < 0 ||
        read_general(m, km_toml_get(document, "general"), err) < 0 ||
        km_manifest_read_framework(m, document, err) < 0 ||
        km_manifest_read_kernels(m, document, err) < 0)
        return KM_EFORMAT;
    return km_manifest_read_card(m, err);
}

static char *import_name_of(km_arena *a, const char *name)
{
    char *copy = km_arena_strdup(a, name);

    for (char *c = copy; c && *c; c++)
        if (*c == '-')
            *c = '_';
    return copy;
}

static int fail_no_repository(const char *path, km_err *err)
{
    int rc = km_file_exists(path) ? km_fail(err, KM_EUSAGE, "'%s' is no kernel repository", path)
                                  : km_fail(err, KM_ENOENT, "there is no '%s'", path);

    km_hint(err, "the first argument is the repository: a folder with a build.toml, \".\" "
                 "for this one; 'kernmill init NAME' makes one");
    return rc;
}

int km_manifest_read(km_manifest *m, const char *path, km_err *err)
{
    km_toml *document;
    char *real;
    int rc;

    *m = (km_manifest){ 0 };
    if (!km_dir_exists(path) && !km_ends_with(path, ".toml"))
        return fail_no_repository(path, err);
    m->path = km_dir_exists(path) ? km_path_join(&m->arena, path, "build.toml")
                                  : km_arena_strdup(&m->arena, path);
    if (!m->path)
        return km_fail_nomem(err);
    rc = km_toml_read(&m->arena, m->path, &document, err);
    if (rc == KM_ENOENT)
        km_hint(err, "a kernel repository has a build.toml; 'kernmill init NAME' makes one");
    if (rc == 0)
        rc = km_path_real(&m->arena, m->path, &real, err);
    if (rc == 0)
        rc = read_document(m, document, err);
    if (rc == 0) {
        m->dir = km_path_dir(&m->arena, real);
        m->import_name = import_name_of(&m->arena, m->name);
        if (!m->dir || !m->import_name)
            rc = km_fail_nomem(err);
    }
    if (rc < 0)
        km_manifest_release(m);
    return rc;
}

void km_manifest_release(km_manifest *m)
{
    km_arena_release(&m->arena);
    *m = (km_manifest){ 0 };
}
