#include "bench/divert.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { JUMP_SLOT = R_X86_64_JUMP_SLOT, GLOB_DAT = R_X86_64_GLOB_DAT, ABSOLUTE = R_X86_64_64 };
#elif defined(__aarch64__)
enum { JUMP_SLOT = R_AARCH64_JUMP_SLOT, GLOB_DAT = R_AARCH64_GLOB_DAT, ABSOLUTE = R_AARCH64_ABS64 };
#else
enum { JUMP_SLOT = -1, GLOB_DAT = -1, ABSOLUTE = -1 }; /* nothing is diverted there */
#endif

/* What a library's dynamic section says of its relocations. */
struct tables {
    uintptr_t base;
    const ElfW(Sym) * symbols;
    const char *names;
    const ElfW(Rela) * data, *calls;
    size_t data_count, call_count;
};

/* glibc has already made most addresses absolute. */
static const void *at(const struct link_map *map, ElfW(Addr) address)
{
    uintptr_t absolute = address < map->l_addr ? map->l_addr + address : address;

    return (const void *)absolute; // NOLINT(performance-no-int-to-ptr)
}

static void read_dynamic(const struct link_map *map, struct tables *out)
{
    *out = (struct tables){ .base = map->l_addr };
    for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++)
        switch (d->d_tag) {
        case DT_SYMTAB:
            out->symbols = at(map, d->d_un.d_ptr);
            break;
        case DT_STRTAB:
            out->names = at(map, d->d_un.d_ptr);
            break;
        case DT_RELA:
            out->data = at(map, d->d_un.d_ptr);
            break;
        case DT_RELASZ:
            out->data_count = d->d_un.d_val / sizeof *out->data;
            break;
        case DT_JMPREL:
            out->calls = at(map, d->d_un.d_ptr);
            break;
        case DT_PLTRELSZ:
            out->call_count = d->d_un.d_val / sizeof *out->calls;
            break;
        default:
            break;
        }
}

/* Writes an address, which may lie in a page that was made read-only once it was filled. */
static bool write_address(uintptr_t where, km_function to)
{
    uintptr_t page = where & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    void *start = (void *)page; // NOLINT(performance-no-int-to-ptr)

    /* It stays writable: whether it was before is not known here, and the loader may yet write. */
    if (mprotect(start, where + sizeof to - page, PROT_READ | PROT_WRITE) != 0)
        return false;
    memcpy((void *)where, &to, sizeof to); // NOLINT(performance-no-int-to-ptr)
    return true;
}

/* Adds to *changed; false when a place could not be written. */
static bool divert_in(const struct tables *t, const ElfW(Rela) * list, size_t count,
                      const char *name, km_function to, int *changed)
{
    for (size_t i = 0; list && i < count; i++) {
        const ElfW(Sym) *symbol = &t->symbols[ELF64_R_SYM(list[i].r_info)];
        int type = (int)ELF64_R_TYPE(list[i].r_info);

        if ((type != JUMP_SLOT && type != GLOB_DAT && type != ABSOLUTE) ||
            strcmp(t->names + symbol->st_name, name) != 0)
            continue;
        if (!write_address(t->base + list[i].r_offset, to))
            return false;
        ++*changed;
    }
    return true;
}

int km_divert(const char *library, const char *name, km_function to)
{
    void *handle = dlopen(library, RTLD_NOLOAD | RTLD_LAZY);
    struct link_map *map;
    struct tables t;
    int changed = 0;

    if (!handle)
        return 0;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0) {
        read_dynamic(map, &t);
        if (t.symbols && t.names &&
            !(divert_in(&t, t.data, t.data_count, name, to, &changed) &&
              divert_in(&t, t.calls, t.call_count, name, to, &changed)))
            changed = 0;
    }
    dlclose(handle); /* one holder less; it stays loaded */
    return changed;
}
