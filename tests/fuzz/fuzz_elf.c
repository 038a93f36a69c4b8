/* Any bytes as a library: an error, or lists whose texts all can be read. */
#include <stdint.h>
#include <string.h>

#include "formats/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t length_of(const char *text)
{
    return text ? strlen(text) : 0;
}

static size_t read_texts(const km_elf *elf)
{
    size_t n = length_of(elf->soname) + length_of(elf->rpath) + length_of(elf->runpath);

    for (size_t i = 0; i < elf->needed_count; i++)
        n += strlen(elf->needed[i]);
    for (size_t i = 0; i < elf->export_count; i++)
        n += strlen(elf->exports[i]);
    for (size_t i = 0; i < elf->version_need_count; i++)
        n += strlen(elf->version_needs[i].library) + strlen(elf->version_needs[i].version);
    for (size_t i = 0; i < elf->import_count; i++)
        n += strlen(elf->imports[i].name) + length_of(elf->imports[i].version) +
             length_of(elf->imports[i].library);
    return n + (km_elf_newest_need(elf, "GLIBC") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    km_arena a = KM_ARENA_INIT;
    const void *bytes;
    size_t n = 0;
    km_elf elf;
    km_err err;

    if (km_elf_read(&a, data, size, "fuzz", &elf, &err) == 0)
        n = read_texts(&elf);
    if (km_elf_section(data, size, ".nv_fatbin", &bytes, &n, &err) == 0 && n)
        n += ((const uint8_t *)bytes)[n - 1];
    km_arena_release(&a);
    return n == SIZE_MAX; /* so that the texts are read */
}
