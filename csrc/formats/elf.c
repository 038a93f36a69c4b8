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
    const char *strings; /* .dynstr, a terminated copy in the arena */
    size_t strings_size; /* with the last terminator; 0: there is none */
    size_t versions_max; /* what .gnu.version_r has room for */
    uint16_t *by_index;  /* of a .gnu.version entry: 1 + the place in version_needs; 0: unknown */
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
    const unsigned char *ident = data;
    Elf64_Shdr first = { 0 };
    uint64_t sections;

    if (r->size_bytes < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG) != 0)
        return bad(r, "not an ELF file");
    if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB)
        return bad(r, "a %s-endian ELF file of %s bits; only little-endian ones of 64 are read",
                   ident[EI_DATA] == ELFDATA2MSB ? "big" : "little",
                   ident[EI_CLASS] == ELFCLASS32   ? "32"
                   : ident[EI_CLASS] == ELFCLASS64 ? "64"
                                                   : "no known number of");
    if (r->size_bytes < sizeof *header)
        return bad(r, "ELF header is cut short at byte %zu", r->size_bytes);
    memcpy(header, data, sizeof *header);
    if (ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
        return bad(r, "ELF version %u", ident[EI_VERSION]);
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
    if (header->sh_flags & SHF_COMPRESSED)
        return bad(r, "%s is compressed", t->what);
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
    int rc = 0;

    while (rc == 0 && (section = elf_nextscn(r->elf, section)) != NULL) {
        if (!gelf_getshdr(section, &header))
            return bad(r, "section %zu: libelf: %s", elf_ndxscn(section), elf_errmsg(-1));
        rc = take_table(r, section, &header);
    }
    for (int i = DYNAMIC + 1; rc == 0 && i < TABLES; i++)
        if (r->tables[i].found && !r->tables[DYNAMIC].found)
            rc = bad(r, "%s without .dynamic", r->tables[i].what);
    return rc;
}

/* All tables must name their texts in one string table, as the dynamic linker knows but one. */
static int read_strings(struct reader *r)
{
    const GElf_Word link = r->tables[DYNAMIC].header.sh_link;
    GElf_Shdr header;
    Elf_Data *data;
    Elf_Scn *section;

    for (int i = 0; i < TABLES; i++) {
        const struct table *t = &r->tables[i];
        if (t->found && i != VERSIONS && t->header.sh_link != link)
            return bad(r, "%s has a string table of its own", t->what);
    }
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

static int get_text(const struct reader *r, uint64_t offset, const char *what, const char **text)
{
    if (offset >= r->strings_size)
        return bad(r, "%s: text at byte %" PRIu64 " of a string table of %zu", what, offset,
                   r->strings_size);
    *text = r->strings + offset;
    return 0;
}

/* Where the dynamic linker looks for things, as .dynamic has it. */
struct addresses {
    uint64_t strings, strings_size, symbols, versions, needs, needs_count;
};

static int take_entry(struct reader *r, const GElf_Dyn *entry, km_elf *out, struct addresses *at)
{
    uint64_t value = entry->d_un.d_val;

    switch (entry->d_tag) {
    case DT_NEEDED:
        return get_text(r, value, "DT_NEEDED", &out->needed[out->needed_count++]);
    case DT_SONAME:
        return get_text(r, value, "DT_SONAME", &out->soname);
    case DT_RPATH:
        return get_text(r, value, "DT_RPATH", &out->rpath);
    case DT_RUNPATH:
        return get_text(r, value, "DT_RUNPATH", &out->runpath);
    case DT_TEXTREL:
        out->text_relocations = true;
        break;
    case DT_FLAGS:
        out->text_relocations |= (value & DF_TEXTREL) != 0;
        break;
    case DT_STRTAB:
        at->strings = value;
        break;
    case DT_STRSZ:
        at->strings_size = value;
        break;
    case DT_SYMTAB:
        at->symbols = value;
        break;
    case DT_VERSYM:
        at->versions = value;
        break;
    case DT_VERNEED:
        at->needs = value;
        break;
    case DT_VERNEEDNUM:
        at->needs_count = value;
        break;
    }
    return 0;
}

static int read_dynamic(struct reader *r, km_elf *out, struct addresses *at)
{
    const struct table *t = &r->tables[DYNAMIC];
    size_t count = t->header.sh_size / sizeof(Elf64_Dyn);
    GElf_Dyn entry = { 0 };
    int rc = 0;

    if (count > KM_ELF_SYMBOLS_MAX)
        return too_many(r, "entries in .dynamic", count, KM_ELF_SYMBOLS_MAX);
    out->needed = km_arena_array(r->arena, count, sizeof *out->needed);
    if (!out->needed)
        return km_fail_nomem(r->err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!gelf_getdyn(t->data, (int)i, &entry))
            return bad(r, ".dynamic entry %zu: libelf: %s", i, elf_errmsg(-1));
        if (entry.d_tag == DT_NULL)
            return 0;
        rc = take_entry(r, &entry, out, at);
    }
    return rc < 0 ? rc : bad(r, ".dynamic does not end with DT_NULL");
}

/* The place in the file of what is loaded at an address, or the file's size. */
static uint64_t file_offset(const struct reader *r, size_t segments, uint64_t address)
{
    GElf_Phdr s;

    for (size_t i = 0; i < segments; i++)
        if (gelf_getphdr(r->elf, (int)i, &s) && s.p_type == PT_LOAD && s.p_vaddr <= address &&
            address - s.p_vaddr < s.p_filesz)
            return s.p_offset + (address - s.p_vaddr);
    return r->size_bytes;
}

static int check_place(const struct reader *r, size_t segments, uint64_t address,
                       const GElf_Shdr *section, const char *what)
{
    if (!address && !section)
        return 0;
    if (!section)
        return bad(r, "%s is loaded at address 0x%" PRIx64 " but has no section", what, address);
    if (!address || file_offset(r, segments, address) != section->sh_offset)
        return bad(r,
                   "%s: section at byte %" PRIu64 ", loaded from elsewhere (address 0x%" PRIx64 ")",
                   what, section->sh_offset, address);
    return 0;
}

/* Whether the sections are the tables that the dynamic linker will use. */
static int check_places(const struct reader *r, size_t segments, const struct addresses *at)
{
    const uint64_t address[] = { 0, at->symbols, at->versions, at->needs };
    GElf_Shdr strings = { 0 };
    int rc;

    for (int i = SYMBOLS; i < TABLES; i++) {
        const struct table *t = &r->tables[i];
        rc = check_place(r, segments, address[i], t->found ? &t->header : NULL, t->what);
        if (rc < 0)
            return rc;
    }
    if (r->tables[NEEDS].found && at->needs_count != r->tables[NEEDS].header.sh_info)
        return bad(r, ".gnu.version_r has %u libraries, DT_VERNEEDNUM says %" PRIu64,
                   r->tables[NEEDS].header.sh_info, at->needs_count);
    gelf_getshdr(elf_getscn(r->elf, r->tables[DYNAMIC].header.sh_link), &strings);
    if (at->strings_size != strings.sh_size)
        return bad(r, ".dynstr has %" PRIu64 " bytes, DT_STRSZ says %" PRIu64, strings.sh_size,
                   at->strings_size);
    return check_place(r, segments, at->strings, &strings, ".dynstr");
}

/* Looks at the segments. Leaves in *dynamic whether there is something to link. */
static int read_segments(const struct reader *r, size_t segments, km_elf *out, bool *dynamic)
{
    const struct table *t = &r->tables[DYNAMIC];
    GElf_Phdr s;

    out->has_executable_stack = r->x86_64; /* what no PT_GNU_STACK means there */
    *dynamic = false;
    for (size_t i = 0; i < segments; i++) {
        if (!gelf_getphdr(r->elf, (int)i, &s))
            return bad(r, "program header %zu: libelf: %s", i, elf_errmsg(-1));
        if (s.p_type == PT_GNU_STACK)
            out->has_executable_stack = s.p_flags & PF_X;
        if (s.p_type != PT_DYNAMIC)
            continue;
        *dynamic = true;
        if (!t->found || t->header.sh_offset != s.p_offset || t->header.sh_size != s.p_filesz)
            return bad(r,
                       "the dynamic segment at byte %" PRIu64 " is not a section; was the file "
                       "stripped of its section headers?",
                       s.p_offset);
    }
    return t->found && !*dynamic ? bad(r, ".dynamic without a dynamic segment") : 0;
}

/* The versions wanted of one library: `need` stands at `at` in .gnu.version_r. */
static int read_versions(struct reader *r, const GElf_Verneed *need, uint64_t at, km_elf *out)
{
    const struct table *t = &r->tables[NEEDS];
    const char *library = "";
    GElf_Vernaux entry;
    int rc = get_text(r, need->vn_file, ".gnu.version_r", &library);

    at += need->vn_aux;
    for (size_t i = 0; rc == 0 && i < need->vn_cnt; i++) {
        km_elf_version *v = &out->version_needs[out->version_need_count];
        size_t index;
        if (out->version_need_count == r->versions_max)
            return bad(r, ".gnu.version_r has entries that overlap");
        if (at % 4 || at > t->header.sh_size || !gelf_getvernaux(t->data, (int)at, &entry))
            return bad(r, ".gnu.version_r entry at its byte %" PRIu64 " leaves it", at);
        index = entry.vna_other & VERSION_INDEX_MASK;
        if (index < 2 || r->by_index[index])
            return bad(r, ".gnu.version_r: version index %zu is %s", index,
                       index < 2 ? "reserved" : "used twice");
        if (!entry.vna_next != (i + 1 == need->vn_cnt))
            return bad(r, ".gnu.version_r: versions of '%s' are not %u", library, need->vn_cnt);
        v->library = library;
        v->weak = entry.vna_flags & VER_FLG_WEAK;
        rc = get_text(r, entry.vna_name, ".gnu.version_r", &v->version);
        r->by_index[index] = (uint16_t)++out->version_need_count;
        at += entry.vna_next;
    }
    return rc;
}

/* As every version has an index of its own, there are fewer than VERSIONS_MAX, and a chain that
 * comes back to itself is found by its second use of an index. */
static int read_needs(struct reader *r, km_elf *out)
{
    const struct table *t = &r->tables[NEEDS];
    GElf_Verneed need;
    uint64_t at = 0;
    int rc = 0;

    r->versions_max = t->header.sh_size / sizeof(Elf64_Vernaux);
    if (r->versions_max > VERSIONS_MAX)
        r->versions_max = VERSIONS_MAX;
    r->by_index = km_arena_array(r->arena, VERSIONS_MAX, sizeof *r->by_index);
    out->version_needs = km_arena_array(r->arena, r->versions_max, sizeof *out->version_needs);
    if (!r->by_index || !out->version_needs)
        return km_fail_nomem(r->err);
    for (size_t i = 0; rc == 0 && i < t->header.sh_info; i++) {
        if (at % 4 || at > t->header.sh_size || !gelf_getverneed(t->data, (int)at, &need))
            return bad(r, ".gnu.version_r entry at its byte %" PRIu64 " leaves it", at);
        if (need.vn_version != VER_NEED_CURRENT || !need.vn_cnt ||
            !need.vn_next != (i + 1 == t->header.sh_info))
            return bad(r, ".gnu.version_r: entry %zu of %u is damaged", i + 1, t->header.sh_info);
        rc = read_versions(r, &need, at, out);
        at += need.vn_next;
    }
    return rc;
}

enum symbol_use { UNLINKED, IMPORT, EXPORT };

static enum symbol_use use_of(const GElf_Sym *s)
{
    unsigned binding = GELF_ST_BIND(s->st_info), visibility = GELF_ST_VISIBILITY(s->st_other);

    if (binding != STB_GLOBAL && binding != STB_WEAK && binding != STB_GNU_UNIQUE)
        return UNLINKED;
    if (s->st_shndx == SHN_UNDEF)
        return IMPORT;
    return visibility == STV_HIDDEN || visibility == STV_INTERNAL ? UNLINKED : EXPORT;
}

static int add_import(struct reader *r, size_t i, const GElf_Sym *symbol, km_elf *out)
{
    km_elf_import *import = &out->imports[out->import_count++];
    const km_elf_version *version;
    GElf_Versym index = 0;
    int rc = get_text(r, symbol->st_name, ".dynsym", &import->name);

    import->weak = GELF_ST_BIND(symbol->st_info) == STB_WEAK;
    if (rc < 0 || !r->tables[VERSIONS].found)
        return rc;
    if (!gelf_getversym(r->tables[VERSIONS].data, (int)i, &index))
        return bad(r, ".gnu.version entry %zu: libelf: %s", i, elf_errmsg(-1));
    index &= VERSION_INDEX_MASK;
    if (index < 2) /* local, global */
        return 0;
    if (!r->by_index || !r->by_index[index])
        return bad(r, "symbol '%s' has version %u, which .gnu.version_r does not name",
                   import->name, index);
    version = &out->version_needs[r->by_index[index] - 1];
    import->version = version->version;
    import->library = version->library;
    return 0;
}

static int read_symbol(struct reader *r, size_t i, km_elf *out)
{
    GElf_Sym symbol;

    if (!gelf_getsym(r->tables[SYMBOLS].data, (int)i, &symbol))
        return bad(r, ".dynsym entry %zu: libelf: %s", i, elf_errmsg(-1));
    switch (use_of(&symbol)) {
    case UNLINKED:
        break;
    case IMPORT:
        return add_import(r, i, &symbol, out);
    case EXPORT:
        return get_text(r, symbol.st_name, ".dynsym", &out->exports[out->export_count++]);
    }
    return 0;
}

static int read_symbols(struct reader *r, km_elf *out)
{
    const struct table *t = &r->tables[SYMBOLS], *v = &r->tables[VERSIONS];
    size_t count = t->header.sh_size / sizeof(Elf64_Sym);
    int rc = 0;

    if (count > KM_ELF_SYMBOLS_MAX)
        return too_many(r, "symbols", count, KM_ELF_SYMBOLS_MAX);
    if (v->found &&
        (v->header.sh_link != t->index || v->header.sh_size != count * sizeof(Elf64_Half)))
        return bad(r, ".gnu.version does not describe the %zu symbols of .dynsym", count);
    out->imports = km_arena_array(r->arena, count, sizeof *out->imports);
    out->exports = km_arena_array(r->arena, count, sizeof *out->exports);
    if (!out->imports || !out->exports)
        return km_fail_nomem(r->err);
    for (size_t i = 1; rc == 0 && i < count; i++) /* entry 0 is empty */
        rc = read_symbol(r, i, out);
    return rc;
}

static int read_file(struct reader *r, const void *data, km_elf *out)
{
    struct addresses at = { 0 };
    Elf64_Ehdr header = { 0 };
    bool dynamic;
    int rc;

    if (r->size_bytes > KM_FILE_BYTES_MAX)
        return too_many(r, "bytes", r->size_bytes, KM_FILE_BYTES_MAX);
    if ((rc = check_header(r, data, &header)) < 0 || (rc = check_kind(r, &header, out)) < 0 ||
        (rc = open_elf(r, data)) < 0 || (rc = find_tables(r)) < 0 ||
        (rc = read_segments(r, header.e_phnum, out, &dynamic)) < 0 || !dynamic)
        return rc;
    if ((rc = read_strings(r)) < 0 || (rc = read_dynamic(r, out, &at)) < 0 ||
        (rc = check_places(r, header.e_phnum, &at)) < 0)
        return rc;
    if (r->tables[NEEDS].found && (rc = read_needs(r, out)) < 0)
        return rc;
    return r->tables[SYMBOLS].found ? read_symbols(r, out) : 0;
}

int km_elf_read(km_arena *a, const void *data, size_t size, const char *name, km_elf *out,
                km_err *err)
{
    struct reader r = { .arena = a,
                        .name = name,
                        .err = err,
                        .size_bytes = size,
                        .tables = { { .what = ".dynamic", .type = SHT_DYNAMIC },
                                    { .what = ".dynsym", .type = SHT_DYNSYM },
                                    { .what = ".gnu.version", .type = SHT_GNU_versym },
                                    { .what = ".gnu.version_r", .type = SHT_GNU_verneed } } };
    int rc;

    *out = (km_elf){ 0 };
    rc = read_file(&r, data, out);
    elf_end(r.elf);
    if (rc < 0)
        *out = (km_elf){ 0 };
    return rc;
}

/* Whether the text at `offset` of a string table is `name`. */
static bool is_named(const Elf_Data *names, uint64_t offset, const char *name)
{
    size_t n = strlen(name) + 1;

    return offset <= names->d_size && n <= names->d_size - offset &&
           memcmp((const char *)names->d_buf + offset, name, n) == 0;
}

static int find_section(struct reader *r, const char *name, GElf_Shdr *header)
{
    Elf_Scn *section = NULL;
    Elf_Data *names;
    size_t index;

    if (elf_getshdrstrndx(r->elf, &index) < 0)
        return bad(r, "section names: libelf: %s", elf_errmsg(-1));
    section = elf_getscn(r->elf, index);
    if (!section || !gelf_getshdr(section, header) || header->sh_type != SHT_STRTAB ||
        !inside(r, header->sh_offset, header->sh_size))
        return bad(r, "section %zu, the names of sections, is not a string table in the file",
                   index);
    names = elf_rawdata(section, NULL);
    if (!names)
        return bad(r, "section names: libelf: %s", elf_errmsg(-1));
    for (section = NULL; (section = elf_nextscn(r->elf, section)) != NULL;)
        if (gelf_getshdr(section, header) && is_named(names, header->sh_name, name))
            return 0;
    return km_fail(r->err, KM_ENOENT, "there is no section '%s'", name);
}

int km_elf_section(const void *data, size_t size, const char *section, const void **bytes,
                   size_t *bytes_size, km_err *err)
{
    struct reader r = { .name = section, .err = err, .size_bytes = size };
    Elf64_Ehdr header = { 0 };
    GElf_Shdr found = { 0 };
    int rc;

    rc = check_header(&r, data, &header);
    if (rc == 0)
        rc = open_elf(&r, data);
    if (rc == 0)
        rc = find_section(&r, section, &found);
    if (rc == 0 && (found.sh_type == SHT_NOBITS || !inside(&r, found.sh_offset, found.sh_size)))
        rc = bad(&r, "%" PRIu64 " bytes at byte %" PRIu64 " leave the file", found.sh_size,
                 found.sh_offset);
    if (rc == 0) {
        *bytes = (const char *)data + found.sh_offset;
        *bytes_size = found.sh_size;
    }
    elf_end(r.elf);
    return rc;
}
