/* What a built library needs of the machine it is loaded on, and which images it holds. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "formats/elf.h"
#include "formats/fatbin.h"
#include "pkg/check.h"
#include "pkg/torch_symbols.h"

/* One library under inspection. */
struct inspection {
    km_findings *f;
    const char *name;
    const km_library_rules *rules;
    km_elf elf;
    km_err *err;
    int rc;
};

static void find(struct inspection *s, const char *code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void find(struct inspection *s, const char *code, const char *hint, const char *format, ...)
{
    char message[512];
    va_list ap;

    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    if (s->rc == 0)
        s->rc = km_findings_add(s->f, KM_FINDING_ERROR, code, s->name, hint, s->err, "%s", message);
}

static void check_needed(struct inspection *s)
{
    static const char *const allowed[] = { "libtorch_cpu.so",
                                           "libtorch.so",
                                           "libc10.so",
                                           "libc.so.6",
                                           "libm.so.6",
                                           "libdl.so.2",
                                           "libpthread.so.0",
                                           "librt.so.1",
                                           "libgcc_s.so.1",
                                           "libstdc++.so.6",
                                           "ld-linux-x86-64.so.2",
                                           "ld-linux-aarch64.so.1",
                                           NULL };
    bool torch = false;

    for (size_t i = 0; i < s->elf.needed_count; i++) {
        const char *needed = s->elf.needed[i];
        bool known = false;
        torch |= strcmp(needed, "libtorch_cpu.so") == 0;
        for (int j = 0; allowed[j]; j++)
            known |= strcmp(allowed[j], needed) == 0;
        if (known)
            continue;
        if (km_starts_with(needed, "libtorch_cuda") || km_starts_with(needed, "libc10_cuda"))
            find(s, "needs-cuda-torch", "look its functions up with dlopen(..., RTLD_NOLOAD)",
                 "needs '%s', which a CPU torch lacks", needed);
        else if (km_starts_with(needed, "libcudart"))
            find(s, "needs-cudart", "launch through the driver (kernmill/launch.h)",
                 "needs '%s', which ties it to one CUDA major", needed);
        else if (km_starts_with(needed, "libpython"))
            find(s, "needs-python", "", "needs '%s', which ties it to one Python", needed);
        else
            find(s, "needs-library", "", "needs '%s', which is not on every machine", needed);
    }
    if (!torch)
        find(s, "no-torch", "link against libtorch_cpu.so",
             "does not name libtorch_cpu.so among the libraries it needs");
}

/* The imports that a version family's newest need comes from. */
static const char *names_with_version(struct inspection *s, const char *version)
{
    km_str names = KM_STR_INIT;
    const char *copy;

    for (size_t i = 0; i < s->elf.import_count && names.length < 200; i++)
        if (s->elf.imports[i].version && strcmp(s->elf.imports[i].version, version) == 0)
            km_str_printf(&names, "%s%s", names.length ? ", " : "", s->elf.imports[i].name);
    copy = km_arena_strdup(&s->f->arena, names.data);
    km_str_release(&names);
    return copy ? copy : "";
}

/* manylinux_2_28 and its companions for C++. */
static void check_floor(struct inspection *s)
{
    const struct {
        const char *family;
        unsigned major, minor, patch;
    } floors[] = { { "GLIBC", 2, s->rules->glibc_minor, 0 },
                   { "GLIBCXX", 3, 4, 24 },
                   { "CXXABI", 1, 3, 11 } };

    for (size_t i = 0; i < sizeof floors / sizeof floors[0]; i++) {
        const km_elf_version *newest = km_elf_newest_need(&s->elf, floors[i].family);
        unsigned v[3] = { 0 };
        char text[160];
        if (!newest ||
            sscanf(strchr(newest->version, '_') + 1, "%u.%u.%u", &v[0], &v[1], &v[2]) < 2)
            continue;
        if (v[0] < floors[i].major || (v[0] == floors[i].major && v[1] < floors[i].minor) ||
            (v[0] == floors[i].major && v[1] == floors[i].minor && v[2] <= floors[i].patch))
            continue;
        snprintf(text, sizeof text, "%s, above the floor of glibc 2.%u (manylinux_2_%u)",
                 newest->version, s->rules->glibc_minor, s->rules->glibc_minor);
        find(s, "glibc-floor", "build with older functions, or against an older glibc",
             "needs %s, for: %s", text, names_with_version(s, newest->version));
    }
}

/* Whether a mangled name has to do with torch's namespaces: a function, a class's table or type
 * information, or a template made for one of them. */
static bool is_torch_cpp(const char *name)
{
    static const char *const parts[] = {
        "N2at", "NK2at", "N3c10", "NK3c10", "N5torch", "NK5torch"
    };

    for (size_t i = 0; km_starts_with(name, "_Z") && i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(name, parts[i]))
            return true;
    return false;
}

static void check_import(struct inspection *s, const km_elf_import *import)
{
    const km_torch_symbol *symbol;
    char when[32];

    if (is_torch_cpp(import->name)) {
        find(s, "torch-cpp-symbol", "use the stable C functions (kernmill/torch.h)",
             "imports the C++ symbol '%s', which changes between torch releases%s", import->name,
             "");
        return;
    }
    if (km_starts_with(import->name, "Py") || km_starts_with(import->name, "_Py")) {
        find(s, "python-symbol", "", "imports '%s': it would be tied to a Python%s", import->name,
             "");
        return;
    }
    if (import->weak ||
        !(km_starts_with(import->name, "aoti_") || km_starts_with(import->name, "torch_")))
        return;
    symbol = km_torch_symbol_find(import->name);
    if (!symbol) {
        find(s, "torch-symbol-unknown", "", "imports '%s', which no known torch exports",
             import->name);
        return;
    }
    snprintf(when, sizeof when, "2.%u", symbol->minor);
    if (symbol->cuda)
        find(s, "torch-symbol-cuda", "look it up with dlopen(\"libtorch_cuda.so\", RTLD_NOLOAD)",
             "imports '%s' from libtorch_cuda, which a CPU torch lacks", import->name);
    else if (symbol->minor > s->rules->torch_minor)
        find(s, "torch-symbol-new", "declare it weak and test it before the call",
             "imports '%s', which torch has from %s on only", import->name, when);
}

static void check_linking(struct inspection *s)
{
    const char *path = s->elf.rpath ? s->elf.rpath : s->elf.runpath;

    if (path)
        find(s, "rpath", "link without -rpath", "carries a library search path: '%s'", path);
    if (s->elf.has_executable_stack)
        find(s, "executable-stack", "link with -z noexecstack", "asks for an executable stack");
    if (s->elf.text_relocations)
        find(s, "text-relocations", "compile with -fPIC", "has text relocations");
    for (size_t i = 0; i < s->elf.import_count; i++)
        check_import(s, &s->elf.imports[i]);
}

/* Whether a declared "9.0a" or "7.5+PTX" is among the images; the latter is kept by PTX alone,
 * which the driver compiles for 7.5 and newer. */
static bool holds(const km_fatbin *images, const char *declared)
{
    const char *dot = strchr(declared, '.');
    unsigned sm = (unsigned)atoi(declared) * 10 + (dot ? (unsigned)(dot[1] - '0') : 0);
    bool specific = dot && dot[2] == 'a', ptx = strstr(declared, "+PTX") != NULL;
    bool has_cubin = false, has_ptx = false;

    for (size_t i = 0; i < images->count; i++) {
        const km_image *image = &images->images[i];
        if (image->sm != sm || image->arch_specific != specific)
            continue;
        has_cubin |= image->kind == KM_IMAGE_CUBIN;
        has_ptx |= image->kind == KM_IMAGE_PTX;
    }
    return ptx ? has_ptx : has_cubin;
}

static void check_images(struct inspection *s, const void *data, size_t size)
{
    km_fatbin images = KM_FATBIN_INIT;
    km_err why = KM_ERR_INIT;
    const void *section;
    size_t section_size;

    if (km_elf_section(data, size, ".nv_fatbin", &section, &section_size, &why) < 0) {
        if (s->rules->wants_images)
            find(s, "no-images", "", "holds no GPU images (no .nv_fatbin section)");
        return;
    }
    if (km_fatbin_read_all(&images, section, section_size, &why) < 0) {
        find(s, "broken-images", "", "its GPU images cannot be read: %s", why.message);
        return;
    }
    if (!images.count)
        find(s, "no-images", "", "its .nv_fatbin section is empty");
    for (const char *const *a = s->rules->archs; a && *a; a++)
        if (!holds(&images, *a))
            find(s, "image-missing", "", "is declared to run on %s and holds no image for it", *a);
    km_fatbin_release(&images);
}

int km_check_library(km_findings *f, const void *data, size_t size, const char *name,
                     const km_library_rules *rules, km_err *err)
{
    struct inspection s = { .f = f, .name = name, .rules = rules, .err = err };

    if (km_elf_read(&f->arena, data, size, name, &s.elf, err) < 0)
        return err ? err->code : KM_EFORMAT;
    if (rules->machine && strcmp(s.elf.machine, rules->machine) != 0)
        find(&s, "machine", "", "is made for %s, not for %s", s.elf.machine, rules->machine);
    check_needed(&s);
    check_floor(&s);
    check_linking(&s);
    check_images(&s, data, size);
    return s.rc;
}
