#include "pkg/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/elf.h"
#include "pkg/torch_symbols.h"

/* What kernmill/isa.h asks for by name, and so does every library that was built with it. */
#define ISA_VARIABLE "KERNMILL_CPU_ISA"

static int take_glibc(km_arena *a, const km_elf *elf, km_library_facts *out, km_err *err)
{
    const km_elf_version *newest = km_elf_newest_need(elf, "GLIBC");

    if (!newest || !km_elf_newest(elf, "GLIBC", &out->glibc.part[0], &out->glibc.part[1]))
        return 0;
    out->glibc.count = 2;
    out->glibc_symbol = "";
    for (size_t i = 0; i < elf->import_count && !*out->glibc_symbol; i++)
        if (elf->imports[i].version && strcmp(elf->imports[i].version, newest->version) == 0)
            out->glibc_symbol = km_arena_strdup(a, elf->imports[i].name);
    return out->glibc_symbol ? 0 : km_fail_nomem(err);
}

/* The table starts at KM_TORCH_MINOR_OLDEST, which may mean older. */
static int take_torch(km_arena *a, const km_elf *elf, km_library_facts *out, km_err *err)
{
    for (size_t i = 0; i < elf->import_count; i++) {
        const km_elf_import *import = &elf->imports[i];
        out->uses_python |= km_starts_with(import->name, "Py") ||
                            km_starts_with(import->name, "_Py");
    }
    for (size_t i = 0; i < elf->import_count; i++) {
        const km_elf_import *import = &elf->imports[i];
        const km_torch_symbol *symbol = import->weak ? NULL : km_torch_symbol_find(import->name);
        if (!symbol || symbol->minor <= KM_TORCH_MINOR_OLDEST || symbol->minor <= out->torch_minor)
            continue;
        out->torch_minor = symbol->minor;
        out->torch_symbol = km_arena_strdup(a, import->name);
        if (!out->torch_symbol)
            return km_fail_nomem(err);
    }
    for (size_t i = 0; i < elf->needed_count; i++)
        if (km_starts_with(elf->needed[i], "libcudart.so."))
            out->cudart = (unsigned)atoi(elf->needed[i] + strlen("libcudart.so."));
    return 0;
}

static unsigned get32(const unsigned char *p)
{
    unsigned value;

    memcpy(&value, p, sizeof value);
    return value;
}

/* GNU_PROPERTY_X86_ISA_1_NEEDED: glibc refuses the file on a lesser processor. */
static unsigned x86_level_of(const void *data, size_t size)
{
    enum { HEADER = 16, PROPERTY = 8 };
    const unsigned needed = 0xc0008002u;
    const void *section;
    const unsigned char *note;
    size_t length, end;
    unsigned level = 0;

    if (km_elf_section(data, size, ".note.gnu.property", &section, &length, NULL) < 0 ||
        length < HEADER)
        return 0;
    note = section;
    end = HEADER + (size_t)get32(note + 4);
    for (size_t at = HEADER; at + PROPERTY + 4 <= end && end <= length;) {
        unsigned type = get32(note + at), bytes = get32(note + at + 4);
        unsigned bits = get32(note + at + PROPERTY);
        for (unsigned i = 0; type == needed && i < 4; i++)
            level = bits >> i & 1 ? i + 1 : level;
        if (bytes > length)
            break;
        at += PROPERTY + (bytes + 7u) / 8 * 8;
    }
    return level > 1 ? level : 0;
}

static int add_container(km_arena *a, const void *data, size_t size, km_library_facts *out,
                         km_err *err)
{
    km_fatbin read = KM_FATBIN_INIT, *keep = &out->kernels[out->kernel_count];
    km_err why = KM_ERR_INIT;
    int rc = 0;

    if (km_fatbin_read(&read, data, size, &why) < 0) {
        out->images_broken = km_arena_strdup(a, why.message);
        return out->images_broken ? 0 : km_fail_nomem(err);
    }
    keep->images = km_arena_array(a, read.count + 1, sizeof *keep->images);
    if (keep->images) {
        memcpy(keep->images, read.images, read.count * sizeof *keep->images);
        keep->count = read.count;
        out->kernel_count += read.count != 0;
    } else {
        rc = km_fail_nomem(err);
    }
    km_fatbin_release(&read);
    return rc;
}

static int take_images(km_arena *a, const void *data, size_t size, km_library_facts *out,
                       km_err *err)
{
    const void *section;
    size_t length, at = 0, n, count = 0;

    if (km_elf_section(data, size, ".nv_fatbin", &section, &length, NULL) < 0)
        return 0;
    for (; (n = km_fatbin_container(section, length, &at)) > 0; at += n)
        count++;
    if (at < length)
        out->images_broken = "its .nv_fatbin section is cut short";
    out->kernels = km_arena_array(a, count + 1, sizeof *out->kernels);
    if (!out->kernels)
        return km_fail_nomem(err);
    at = 0;
    while ((n = km_fatbin_container(section, length, &at)) > 0) {
        if (add_container(a, (const char *)section + at, n, out, err) < 0)
            return KM_ENOMEM;
        at += n;
    }
    return 0;
}

int km_library_facts_read(km_arena *a, const void *data, size_t size, const char *name,
                          km_library_facts *out, km_err *err)
{
    km_arena scratch = KM_ARENA_INIT;
    km_err why = KM_ERR_INIT;
    km_elf elf;
    int rc = 0;

    *out = (km_library_facts){ .name = km_arena_strdup(a, name) };
    if (km_elf_read(&scratch, data, size, name, &elf, &why) < 0) {
        out->broken = km_arena_strdup(a, why.message);
        rc = out->broken ? 0 : km_fail_nomem(err);
        goto out;
    }
    out->machine = strcmp(elf.machine, "x86_64") == 0 ? "x86_64" : "aarch64";
    out->x86_level = x86_level_of(data, size);
    out->picks_isa = memmem(data, size, ISA_VARIABLE, sizeof ISA_VARIABLE) != NULL;
    rc = take_glibc(a, &elf, out, err);
    if (rc == 0)
        rc = take_torch(a, &elf, out, err);
    if (rc == 0)
        rc = take_images(a, data, size, out, err);
out:
    km_arena_release(&scratch);
    return rc;
}

/* One library of a folder, read and let go. */
static int read_library(km_arena *a, const char *dir, const char *name, km_library_facts *out,
                        km_err *err)
{
    km_arena scratch = KM_ARENA_INIT;
    const char *path = km_path_join(&scratch, dir, name);
    km_err why = KM_ERR_INIT;
    size_t size;
    char *data;
    int rc;

    if (path && km_file_read(&scratch, path, KM_FILE_BYTES_MAX, &data, &size, &why) == 0) {
        rc = km_library_facts_read(a, data, size, name, out, err);
    } else {
        *out = (km_library_facts){ .name = km_arena_strdup(a, name),
                                   .broken = km_arena_strdup(a, why.message) };
        rc = out->broken ? 0 : km_fail_nomem(err);
    }
    km_arena_release(&scratch);
    return rc;
}

/* What ends with .so below dir/prefix. Links are followed, since the client's cache is made of
 * them.
 */
static int walk(km_arena *a, const char *dir, const char *prefix, unsigned depth, km_libraries *out,
                km_err *err)
{
    km_arena scratch = KM_ARENA_INIT;
    const char *here = *prefix ? km_path_join(&scratch, dir, prefix) : dir;
    km_names names;
    int rc = 0;

    if (!here || km_dir_list(&scratch, here, &names, NULL) < 0)
        names.count = 0;
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *name = km_arena_printf(&scratch, "%s%s%s", prefix, *prefix ? "/" : "",
                                           names.names[i]);
        const char *path = name ? km_path_join(&scratch, dir, name) : NULL;
        if (!path)
            rc = km_fail_nomem(err);
        else if (km_dir_exists(path) && depth)
            rc = walk(a, dir, name, depth - 1, out, err);
        else if (!km_ends_with(name, ".so") || !km_file_exists(path))
            continue;
        else if (out->count == KM_LIBRARIES_MAX)
            rc = km_fail(err, KM_ELIMIT, "'%s' has more than %d libraries", dir, KM_LIBRARIES_MAX);
        else
            rc = read_library(a, dir, name, &out->items[out->count++], err);
    }
    km_arena_release(&scratch);
    return rc;
}

int km_libraries_read(km_arena *a, const char *dir, km_libraries *out, km_err *err)
{
    *out = (km_libraries){ km_arena_array(a, KM_LIBRARIES_MAX, sizeof *out->items), 0 };
    return out->items ? walk(a, dir, "", KM_PACKAGE_DEPTH_MAX, out, err) : km_fail_nomem(err);
}
