#include "formats/cubin.h"

#include <gelf.h>
#include <libelf.h>
#include <string.h>

#include "core/limits.h"
#include "core/str.h"

#define MACHINE_CUDA 190

#define PARAMETERS ".nv.constant0."

/* The sections' names are read through libelf, which checks their offsets. */
static int add_entries(km_arena *a, Elf *elf, const char **names, size_t *count, km_err *err)
{
    Elf_Scn *section = NULL;
    size_t strings;
    GElf_Shdr header;

    if (elf_getshdrstrndx(elf, &strings) != 0)
        return 0;
    while ((section = elf_nextscn(elf, section)) && gelf_getshdr(section, &header)) {
        const char *name = elf_strptr(elf, strings, header.sh_name);
        if (!name || !km_starts_with(name, PARAMETERS))
            continue;
        if (*count == KM_CUBIN_ENTRIES_MAX)
            return km_fail(err, KM_ELIMIT, "more than %d entry points", KM_CUBIN_ENTRIES_MAX);
        names[*count] = km_arena_strdup(a, name + strlen(PARAMETERS));
        if (!names[(*count)++])
            return km_fail_nomem(err);
    }
    return 0;
}

int km_cubin_entries(km_arena *a, const void *data, size_t size, const char *name,
                     const char **names, size_t *count, km_err *err)
{
    GElf_Ehdr header;
    Elf *elf = NULL;
    int rc;

    if (elf_version(EV_CURRENT) != EV_NONE)
        elf = elf_memory((char *)(uintptr_t)data, size);
    if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) ||
        header.e_machine != MACHINE_CUDA)
        rc = km_fail(err, KM_EFORMAT, "'%s' is no cubin", name);
    else
        rc = add_entries(a, elf, names, count, err);
    elf_end(elf);
    return rc;
}
