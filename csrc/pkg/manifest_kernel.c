/* The parts of build.toml that say what is compiled: the framework and the [kernel.*] sections; and
 * card.toml. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/manifest_internal.h"

/* 'stable-abi': one version for all backends, or a table from backend to version. */
static int read_stable_abi(km_manifest *m, const km_fields *f, const km_toml *value, km_err *err)
{
    km_version v;

    m->stable_abi_place = value;
    if (value->kind == KM_TOML_STRING) {
        if (!km_version_parse(value->string.data, &v) || v.count != 2)
            return km_fields_fail(f, value, err, "'stable-abi' must be like \"2.10\", not '%s'",
                                  value->string.data);
        for (int b = 0; b < KM_BACKEND_COUNT; b++)
            m->stable_abi[b] = v;
        return 0;
    }
    if (value->kind == KM_TOML_FLOAT || value->kind == KM_TOML_INT) {
        km_fields_fail(f, value, err, "'stable-abi' must be a string or a table, not a number");
        return km_hint(err, "put the version in quotes: \"2.10\"");
    }
    if (km_fields_want(f, "stable-abi", value, KM_TOML_TABLE, err) < 0)
        return KM_EFORMAT;
    for (size_t i = 0; i < value->table.count; i++) {
        const km_toml_entry *e = &value->table.entries[i];
        int b = km_manifest_pick(f, "stable-abi", e->key, e->value, km_backend_names, err);
        if (b < 0)
            return KM_EFORMAT;
        if (e->value->kind != KM_TOML_STRING || !km_version_parse(e->value->string.data, &v) ||
            v.count != 2)
            return km_fields_fail(f, e->value, err, "'stable-abi' must be like \"2.10\"");
        m->stable_abi[b] = v;
    }
    return 0;
}

static int read_torch(km_manifest *m, const km_toml *table, km_err *err)
{
    static const km_field rows[] = {
        { "src", KM_FIELD_PATHS, offsetof(km_manifest, torch_src), false },
        { "pyext", KM_FIELD_LIST, offsetof(km_manifest, torch_pyext), false },
        { "include", KM_FIELD_PATHS, offsetof(km_manifest, torch_include), false },
        { "minver", KM_FIELD_VERSION, offsetof(km_manifest, torch_minver), false },
        { "maxver", KM_FIELD_VERSION, offsetof(km_manifest, torch_maxver), false },
        { "cxx-flags", KM_FIELD_LIST, offsetof(km_manifest, torch_cxx_flags), false },
        { "stable-abi", KM_FIELD_ANY, 0, false },
        KM_FIELD_END,
    };
    km_fields f = { &m->arena, m->path, "[torch]" };
    const km_toml *stable = km_toml_get(table, "stable-abi");

    if (km_fields_read(&f, table, rows, m, err) < 0)
        return KM_EFORMAT;
    return stable ? read_stable_abi(m, &f, stable, err) : 0;
}

static int read_noarch(km_manifest *m, const km_toml *table, km_err *err)
{
    static const km_field rows[] = {
        { "pyext", KM_FIELD_LIST, offsetof(km_manifest, torch_pyext), false },
        { "cuda_capabilities", KM_FIELD_ARRAY, 0, false },
        { "rocm_archs", KM_FIELD_ARRAY, 0, false },
        KM_FIELD_END,
    };
    km_fields f = { &m->arena, m->path, "[torch-noarch]" };

    return km_fields_read(&f, table, rows, m, err);
}

static int read_tvm_ffi(km_manifest *m, const km_toml *table, km_err *err)
{
    static const km_field rows[] = {
        { "src", KM_FIELD_PATHS, offsetof(km_manifest, torch_src), true },
        { "pyext", KM_FIELD_LIST, offsetof(km_manifest, torch_pyext), false },
        { "include", KM_FIELD_PATHS, offsetof(km_manifest, torch_include), false },
        { "cxx-flags", KM_FIELD_LIST, offsetof(km_manifest, torch_cxx_flags), false },
        KM_FIELD_END,
    };
    km_fields f = { &m->arena, m->path, "[tvm-ffi]" };

    return km_fields_read(&f, table, rows, m, err);
}

int km_manifest_read_framework(km_manifest *m, const km_toml *document, km_err *err)
{
    static const struct {
        const char *key;
        km_framework framework;
        int (*read)(km_manifest *m, const km_toml *table, km_err *err);
    } known[] = { { "torch", KM_TORCH, read_torch },
                  { "torch-noarch", KM_TORCH_NOARCH, read_noarch },
                  { "tvm-ffi", KM_TVM_FFI, read_tvm_ffi } };
    km_fields f = { &m->arena, m->path, "" };
    const char *found = NULL;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const km_toml *table = km_toml_get(document, known[i].key);
        if (!table)
            continue;
        if (found)
            return km_fields_fail(&f, table, err, "both [%s] and [%s]: a kernel has one framework",
                                  found, known[i].key);
        found = known[i].key;
        m->framework = known[i].framework;
        m->framework_place = table;
        if (known[i].read(m, table, err) < 0)
            return KM_EFORMAT;
    }
    if (!found)
        return km_fields_fail(&f, document, err,
                              "no framework: one of [torch], [torch-noarch], [tvm-ffi] is needed");
    return 0;
}

/* "9.0", "9.0a", "10.0f", each maybe with "+PTX". */
static int check_capabilities(const km_fields *f, const km_list *list, km_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->items[i];
        size_t digits = strspn(text, "0123456789"), minor;
        const char *rest = text + digits;
        minor = *rest == '.' ? strspn(rest + 1, "0123456789") : 0;
        rest += minor ? minor + 1 : 0;
        rest += *rest == 'a' || *rest == 'f';
        if (digits && digits < 3 && minor == 1 && (!*rest || strcmp(rest, "+PTX") == 0))
            continue;
        km_fields_fail(f, list->places[i], err, "'cuda-capabilities' cannot be '%s'", text);
        return km_hint(err, "a capability is like \"9.0\", \"9.0a\" or \"8.0+PTX\"");
    }
    return 0;
}

static bool is_among(const char *const *names, int backend)
{
    while (*names && strcmp(*names, km_backend_names[backend]) != 0)
        names++;
    return *names != NULL;
}

static int read_kernel(km_manifest *m, const km_toml_entry *e, km_kernel_section *k, km_err *err)
{
    static const km_field rows[] = {
        { "backend", KM_FIELD_ANY, 0, true },
        { "depends", KM_FIELD_LIST, offsetof(km_kernel_section, depends), true },
        { "src", KM_FIELD_PATHS, offsetof(km_kernel_section, src), true },
        { "include", KM_FIELD_PATHS, offsetof(km_kernel_section, include), false },
        { "cxx-flags", KM_FIELD_LIST, offsetof(km_kernel_section, cxx_flags), false },
        { "cuda-capabilities", KM_FIELD_LIST, offsetof(km_kernel_section, cuda_capabilities),
          false },
        { "cuda-flags", KM_FIELD_LIST, offsetof(km_kernel_section, cuda_flags), false },
        { "cuda-minver", KM_FIELD_VERSION, offsetof(km_kernel_section, cuda_minver), false },
        { "rocm-archs", KM_FIELD_LIST, offsetof(km_kernel_section, rocm_archs), false },
        { "hip-flags", KM_FIELD_LIST, offsetof(km_kernel_section, hip_flags), false },
        { "sycl-flags", KM_FIELD_LIST, offsetof(km_kernel_section, sycl_flags), false },
        KM_FIELD_END,
    };
    static const char *const depends[] = { "torch",       "cutlass_2_10", "cutlass_3_5",
                                           "cutlass_3_6", "cutlass_3_8",  "cutlass_3_9",
                                           "cutlass_4_0", "cutlass_4_4",  "cutlass_4_5",
                                           "sycl_tla",    "metal-cpp",    NULL };
    static const char *const backends[] = { "cpu", "cuda", "metal", "rocm", "xpu", NULL };
    static const km_backend numbers[] = { KM_BACKEND_CPU, KM_BACKEND_CUDA, KM_BACKEND_METAL,
                                          KM_BACKEND_ROCM, KM_BACKEND_XPU };
    km_fields f = { &m->arena, m->path, km_arena_printf(&m->arena, "[kernel.%s]", e->key) };
    const km_toml *backend = km_toml_get(e->value, "backend");
    int b;

    k->name = e->key;
    k->place = e->value;
    if (!f.table)
        return km_fail_nomem(err);
    if (km_fields_read(&f, e->value, rows, k, err) < 0)
        return KM_EFORMAT;
    if (km_fields_want(&f, "backend", backend, KM_TOML_STRING, err) < 0)
        return KM_EFORMAT;
    for (int i = 0; km_backend_names[i]; i++)
        if (strcmp(km_backend_names[i], backend->string.data) == 0 && !is_among(backends, i)) {
            km_fields_fail(&f, backend, err, "nothing is compiled for backend '%s'",
                           km_backend_names[i]);
            return km_fields_hint_names(backends, err);
        }
    b = km_manifest_pick(&f, "backend", backend->string.data, backend, backends, err);
    if (b < 0 || km_manifest_check_names(&f, "depends", &k->depends, depends, err) < 0 ||
        check_capabilities(&f, &k->cuda_capabilities, err) < 0)
        return KM_EFORMAT;
    k->backend = numbers[b];
    if (!m->backends[k->backend])
        return km_fields_fail(&f, backend, err,
                              "'backend' is '%s', which 'backends' in [general] does not name",
                              km_backend_names[k->backend]);
    return 0;
}

int km_manifest_read_kernels(km_manifest *m, const km_toml *document, km_err *err)
{
    const km_toml *kernels = km_toml_get(document, "kernel");
    km_fields f = { &m->arena, m->path, "[kernel]" };
    size_t n = kernels ? kernels->table.count : 0;

    if (n > KM_KERNEL_SECTIONS_MAX)
        return km_fields_fail(&f, kernels, err, "%zu kernel sections; the limit is %d", n,
                              KM_KERNEL_SECTIONS_MAX);
    m->kernels = km_arena_array(&m->arena, n + 1, sizeof *m->kernels);
    if (!m->kernels)
        return km_fail_nomem(err);
    for (; m->kernel_count < n; m->kernel_count++) {
        const km_toml_entry *e = &kernels->table.entries[m->kernel_count];
        if (e->value->kind != KM_TOML_TABLE) {
            km_fields_fail(&f, e->value, err, "key '%s' stands outside a kernel's table", e->key);
            return km_hint(err, "each kernel has a table of its own: [kernel.<name>]");
        }
        if (read_kernel(m, e, &m->kernels[m->kernel_count], err) < 0)
            return KM_EFORMAT;
    }
    return 0;
}

/* The wheel's version must say the same major version as build.toml. */
static int check_wheel_version(const km_manifest *m, const km_fields *f, const km_toml *wheel,
                               km_err *err)
{
    km_version v;

    if (!m->card.wheel_version)
        return 0;
    if (!km_version_parse(m->card.wheel_version, &v) || v.part[0] != m->version)
        return km_fields_fail(f, km_toml_get(wheel, "version"), err,
                              "'version' is '%s'; it must be numbers and dots, and start with "
                              "build.toml's version, %lld",
                              m->card.wheel_version, (long long)m->version);
    return 0;
}

/* The card prints it in a line for the shell. */
static int check_index(const km_manifest *m, const km_fields *f, const km_toml *wheel, km_err *err)
{
    const char *url = m->card.index;

    if (!url)
        return 0;
    if ((km_starts_with(url, "https://") || km_starts_with(url, "http://") ||
         km_starts_with(url, "file://")) &&
        !url[strspn(url,
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/.-_~%+@=")])
        return 0;
    return km_fields_fail(f, km_toml_get(wheel, "index"), err,
                          "'index' is '%s', which is no address of an index", url);
}

int km_manifest_read_card(km_manifest *m, km_err *err)
{
    static const km_field rows[] = {
        { "summary", KM_FIELD_TEXT, offsetof(km_card, summary), true },
        { "operators", KM_FIELD_LIST, offsetof(km_card, operators), false },
        { "layers", KM_FIELD_LIST, offsetof(km_card, layers), false },
        { "models", KM_FIELD_LIST, offsetof(km_card, models), false },
        { "dtypes", KM_FIELD_LIST, offsetof(km_card, dtypes), false },
        { "shapes", KM_FIELD_LIST, offsetof(km_card, shapes), false },
        { "limits", KM_FIELD_LIST, offsetof(km_card, limits), false },
        { "entry-points", KM_FIELD_INT, offsetof(km_card, entry_points), false },
        { "wheel", KM_FIELD_TABLE, 0, false },
        KM_FIELD_END,
    };
    static const km_field wheel_rows[] = {
        { "version", KM_FIELD_TEXT, offsetof(km_card, wheel_version), true },
        { "requires", KM_FIELD_LIST, offsetof(km_card, requires), false },
        { "requires-python", KM_FIELD_TEXT, offsetof(km_card, requires_python), false },
        { "index", KM_FIELD_TEXT, offsetof(km_card, index), false },
        KM_FIELD_END,
    };
    const char *dir = strchr(m->path, '/') ? km_path_dir(&m->arena, m->path) : "";
    const char *path = dir ? km_path_join(&m->arena, dir, "card.toml") : NULL;
    km_fields f = { &m->arena, path, "" };
    const km_toml *wheel;
    km_toml *document;
    int rc;

    if (!path)
        return km_fail_nomem(err);
    m->has_card = km_file_exists(path);
    if (!m->has_card)
        return 0;
    rc = km_toml_read(&m->arena, path, &document, err);
    if (rc < 0)
        return rc;
    if (km_fields_read(&f, document, rows, &m->card, err) < 0)
        return KM_EFORMAT;
    wheel = km_toml_get(document, "wheel");
    f.table = "[wheel]";
    if (!wheel)
        return 0;
    if (km_fields_read(&f, wheel, wheel_rows, &m->card, err) < 0 ||
        check_index(m, &f, wheel, err) < 0)
        return KM_EFORMAT;
    return check_wheel_version(m, &f, wheel, err);
}
