/* formats/elf.h: what the dynamic linker will ask of a shared library, and what it will get.
 *
 * Read through libelf from .dynamic, .dynsym, .gnu.version and .gnu.version_r; never from .symtab,
 * which says nothing about what is linked at run time and is gone after strip. Only the 64-bit
 * little-endian files of x86_64 and aarch64 are read.
 *
 * The dynamic linker itself goes by segments and addresses, not by sections: where the two disagree
 * about a table, the file is refused, so that what is listed here is what will be linked. Every
 * offset, index and string is checked against its table before it is used.
 */
#ifndef KERNMILL_FORMATS_ELF_H
#define KERNMILL_FORMATS_ELF_H

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

/* A symbol that some other library has to provide. */
typedef struct {
    const char *name;
    const char *version; /* "GLIBC_2.17", or NULL: any */
    const char *library; /* the file that provides it, "libc.so.6"; NULL with no version */
    bool weak;           /* may be missing: its address is then NULL */
} km_elf_import;

/* A version that the named library must define, or the dynamic linker refuses to start. */
typedef struct {
    const char *library;
    const char *version;
    bool weak; /* only a warning when it is missing */
} km_elf_version;

typedef struct {
    const char *machine; /* "x86_64" or "aarch64" */
    unsigned bits;       /* 64 */
    const char *soname;  /* or NULL */
    const char **needed; /* in the order of the file */
    size_t needed_count;
    const char *rpath; /* or NULL */
    const char *runpath;
    km_elf_import *imports; /* in the order of .dynsym */
    size_t import_count;
    const char **exports; /* defined, global or weak, visible; in the order of .dynsym */
    size_t export_count;
    km_elf_version *version_needs; /* in the order of .gnu.version_r */
    size_t version_need_count;
    bool has_executable_stack; /* asked for, or (x86_64) not declined: glibc 2.41 won't dlopen it */
    bool text_relocations;
} km_elf;

/* Reads the shared library or program of `size` bytes at `data` (any alignment); everything in *out
 * lives in the arena, nothing in `data`. `name` is what errors call the file.
 * Errors: KM_EFORMAT, with what is wrong and where, also for files of another kind or machine;
 * KM_ELIMIT beyond KM_ELF_SYMBOLS_MAX symbols or KM_ELF_SECTIONS_MAX sections. */
int km_elf_read(km_arena *a, const void *data, size_t size, const char *name, km_elf *out,
                km_err *err);

/* The bytes of the first section called `section` (".nv_fatbin"), as stored, of an ELF file of any
 * machine (64-bit, little-endian). *bytes points into `data`.
 * Errors: KM_ENOENT when there is none, else as km_elf_read. */
int km_elf_section(const void *data, size_t size, const char *section, const void **bytes,
                   size_t *bytes_size, km_err *err);

/* The highest version of a family ("GLIBC", "GLIBCXX", "CXXABI") that the file needs, by number:
 * 2.9 < 2.17 < 3.4 < 3.4.21. Names that are not numbers (GLIBC_PRIVATE, GLIBC_ABI_DT_RELR) do not
 * count. NULL when there is none. Borrowed. */
const km_elf_version *km_elf_newest_need(const km_elf *elf, const char *family);

/* The first two numbers of km_elf_newest_need; false, and nothing stored, when there is none. */
bool km_elf_newest(const km_elf *elf, const char *family, unsigned *major, unsigned *minor);

#endif
