#include "formats/cubin.h"

#include <gelf.h>
#include <libelf.h>
#include <string.h>

#include "core/str.h"

#define MACHINE_CUDA 190

/* The sections' names are read through libelf, which checks their offsets. */
static size_t count_sections(Elf *elf, const char *prefix)
{
    Elf_Scn *section = NULL;
    size_t names, count = 0;
    GElf_Shdr header;

    if (elf_getshdrstrndx(elf, &names) != 0)
        return 0;
    while ((section = elf_nextscn(elf, section)) && gelf_getshdr(section, &header)) {
        const char *name = elf_strptr(elf, names, header.sh_name);
        count += name && km_starts_with(name, prefix);
    }
    return count;
}

int km_cubin_count_entries(const void *data, size_t size, const char *name, size_t *count,
                           km_err *err)
{
    GElf_Ehdr header;
    Elf *elf = NULL;
    int rc = 0;

    if (elf_version(EV_CURRENT) != EV_NONE)
        elf = elf_memory((char *)(uintptr_t)data, size);
    if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) ||
        header.e_machine != MACHINE_CUDA)
        rc = km_fail(err, KM_EFORMAT, "'%s' is no cubin", name);
    else
        *count = count_sections(elf, ".nv.constant0.");
    elf_end(elf);
    return rc;
}
