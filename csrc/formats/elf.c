#include "formats/elf.h"

#include <elf.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VERSION_INDEX_MASK 0x7fff /* the highest bit of a .gnu.version entry says "hidden" */
#define VERSIONS_MAX       0x8000
#define NUMBERS_MAX        4 /* in a version such as 3.4.21 */

/* A section by which the dynamic linker works: its header and its bytes. */
struct table {
    const char *what; /* for messages */
    GElf_Word type;
    bool found;
    GElf_Shdr header;
    Elf_Data *data;
    size_t index; /* of the section */
};

enum { DYNAMIC, SYMBOLS, VERSIONS, NEEDS, TABLES };

struct reader {
    km_arena *arena;
    const char *name;
    km_err *err;
    Elf *elf;
    size_t size_bytes;
    bool x86_64;
    struct table tables[TABLES];
    const char *strings;           /* .dynstr, a terminated copy in the arena */
    size_t strings_size;           /* with the last terminator; 0: there is none */
    const km_elf_version **by_index; /* the version that a .gnu.version entry means, or NULL */
};

static int bad(const struct reader *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int bad(const struct reader *r, const char *format, ...)
{
    char text[KM_ERR_MESSAGE_BYTES];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return km_fail_at(r->err, KM_EFORMAT, r->name, 0, 0, "%s", text);
}

static int too_many(const struct reader *r, const char *what, size_t count, size_t limit)
{
    return km_fail_at(r->err, KM_ELIMIT, r->name, 0, 0, "%zu %s; the limit is %zu", count, what,
                      limit);
}

static bool inside(const struct reader *r, uint64_t offset, uint64_t size)
{
    return offset <= r->size_bytes && size <= r->size_bytes - offset;
}

/* The header and the two tables it points to, before libelf sees the file: libelf computes with
 * these numbers before it checks them. */
static int check_header(const struct reader *r, const void *data, Elf64_Ehdr *header)
{
    static const unsigned char kind[] = { ELFCLASS64, ELFDATA2LSB, EV_CURRENT };
    Elf64_Shdr first = { 0 };
    uint64_t sections;

    if (r->size_bytes < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG) != 0)
        return bad(r, "not an ELF file");
    if (memcmp((const char *)data + EI_CLASS, kind, sizeof kind) != 0)
        return bad(r, "not a 64-bit little-endian ELF file (class %u, byte order %u, version %u)",
                   ((const unsigned char *)data)[EI_CLASS], ((const unsigned char *)data)[EI_DATA],
                   ((const unsigned char *)data)[EI_VERSION]);
    if (r->size_bytes < sizeof *header)
        return bad(r, "ELF header is cut short at byte %zu", r->size_bytes);
    memcpy(header, data, sizeof *header);
    if (header->e_phnum == PN_XNUM)
        return bad(r, "more than %d program headers", PN_XNUM - 1);
    if (header->e_phnum && (header->e_phentsize != sizeof(Elf64_Phdr) ||
                            !inside(r, header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr))))
        return bad(r, "%u program headers at byte %" PRIu64 " leave the file", header->e_phnum,
                   header->e_phoff);
    if (!header->e_shoff)
        return header->e_shnum ? bad(r, "%u section headers at byte 0", header->e_shnum) : 0;
    if (header->e_shentsize != sizeof first || !inside(r, header->e_shoff, sizeof first))
        return bad(r, "section headers at byte %" PRIu64 " leave the file", header->e_shoff);
    memcpy(&first, (const char *)data + header->e_shoff, sizeof first);
    sections = header->e_shnum ? header->e_shnum : first.sh_size;
    if (sections > KM_ELF_SECTIONS_MAX)
        return too_many(r, "sections", sections, KM_ELF_SECTIONS_MAX);
    if (!inside(r, header->e_shoff, sections * sizeof first))
        return bad(r, "%" PRIu64 " section headers at byte %" PRIu64 " leave the file", sections,
                   header->e_shoff);
    return 0;
}

static int open_elf(struct reader *r, const void *data)
{
    elf_version(EV_CURRENT);
    r->elf = elf_memory((char *)data, r->size_bytes); /* opened for reading: not written to */
    if (!r->elf || elf_kind(r->elf) != ELF_K_ELF)
        return bad(r, "libelf: %s", elf_errmsg(-1));
    return 0;
}

static int check_kind(struct reader *r, const Elf64_Ehdr *header, km_elf *out)
{
    if (header->e_machine == EM_CUDA)
        return bad(r, "a cubin (device code), not a library for the CPU");
    if (header->e_machine != EM_X86_64 && header->e_machine != EM_AARCH64)
        return bad(r, "made for machine %u; only x86_64 (%d) and aarch64 (%d) are read",
                   header->e_machine, EM_X86_64, EM_AARCH64);
    if (header->e_type != ET_DYN && header->e_type != ET_EXEC)
        return bad(r, "ELF type %u is not a shared library or a program", header->e_type);
    r->x86_64 = header->e_machine == EM_X86_64;
    out->machine = r->x86_64 ? "x86_64" : "aarch64";
    out->bits = 64;
    return 0;
}

/* Takes the section when it is one of the tables. */
static int take_table(struct reader *r, Elf_Scn *section, const GElf_Shdr *header)
{
    struct table *t = r->tables;

    while (t < r->tables + TABLES && t->type != header->sh_type)
        t++;
    if (t == r->tables + TABLES)
        return 0;
    if (t->found)
        return bad(r, "two sections are %s", t->what);
    if (!inside(r, header->sh_offset, header->sh_size))
        return bad(r, "%s, %" PRIu64 " bytes at byte %" PRIu64 ", leaves the file", t->what,
                   header->sh_size, header->sh_offset);
    t->found = true;
    t->header = *header;
    t->index = elf_ndxscn(section);
    t->data = header->sh_size ? elf_getdata(section, NULL) : NULL;
    if (header->sh_size && (!t->data || t->data->d_size != header->sh_size))
        return bad(r, "%s: libelf: %s", t->what, elf_errmsg(-1));
    return 0;
}

static int find_tables(struct reader *r)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;

    while ((section = elf_nextscn(r->elf, section)) != NULL) {
        if (!gelf_getshdr(section, &header))
            return bad(r, "section %zu: libelf: %s", elf_ndxscn(section), elf_errmsg(-1));
        if (take_table(r, section, &header) < 0)
            return r->err ? r->err->code : KM_EFORMAT;
    }
    return 0;
}

/* All tables must name their texts in one string table, as the dynamic linker knows but one. */
static int read_strings(struct reader *r)
{
    GElf_Word link = 0;
    GElf_Shdr header;
    Elf_Data *data;
    Elf_Scn *section;

    for (int i = 0; i < TABLES; i++) {
        const struct table *t = &r->tables[i];
        if (!t->found || i == VERSIONS)
            continue;
        if (link && t->header.sh_link != link)
            return bad(r, "%s has a string table of its own", t->what);
        link = t->header.sh_link;
    }
    if (!link)
        return 0;
    section = elf_getscn(r->elf, link);
    if (!section || !gelf_getshdr(section, &header) || header.sh_type != SHT_STRTAB ||
        !inside(r, header.sh_offset, header.sh_size) || !header.sh_size)
        return bad(r, "section %u is not the string table it should be", link);
    data = elf_rawdata(section, NULL);
    if (!data || data->d_size != header.sh_size)
        return bad(r, "string table: libelf: %s", elf_errmsg(-1));
    if (((const char *)data->d_buf)[data->d_size - 1])
        return bad(r, "string table at byte %" PRIu64 " does not end with a zero",
                   header.sh_offset);
    r->strings_size = data->d_size;
    r->strings = km_arena_strndup(r->arena, data->d_buf, data->d_size - 1);
    return r->strings ? 0 : km_fail_nomem(r->err);
}
