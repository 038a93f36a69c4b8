#include <gtest/gtest.h>

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

extern "C" {
#include "core/file.h"
#include "core/proc.h"
#include "formats/elf.h"
}

namespace
{

/* A file as the reader sees it: a copy of exactly its bytes, freed before anybody looks at the
 * result, so that a sanitizer sees reads beyond it and texts borrowed from it. */
class File
{
  public:
    explicit File(const std::string &bytes, size_t shift = 0)
    {
        std::vector<char> exact(shift);
        exact.insert(exact.end(), bytes.begin(), bytes.end());
        exact.shrink_to_fit();
        rc = km_elf_read(&arena, exact.data() + shift, bytes.size(), "t.so", &elf, &err);
    }
    ~File()
    {
        km_arena_release(&arena);
    }
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    km_arena arena = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_elf elf = {};
    int rc;
};

std::string read_file(const std::string &path)
{
    std::ifstream f(path, std::ios::binary);

    EXPECT_TRUE(f) << path;
    return std::string(std::istreambuf_iterator<char>(f), {});
}

std::string corpus(const char *name)
{
    return read_file(std::string(KM_SOURCE_DIR "/tests/fuzz/corpus/elf/") + name);
}

std::string run(std::vector<std::string> words)
{
    km_proc_result result = KM_PROC_RESULT_INIT;
    std::vector<const char *> argv;
    km_err err = KM_ERR_INIT;
    km_proc p = {};

    for (const std::string &w : words)
        argv.push_back(w.c_str());
    argv.push_back(nullptr);
    p.argv = argv.data();
    EXPECT_EQ(km_proc_check(&p, &result, &err), 0) << err.message;
    std::string out = result.out.data;
    km_proc_result_release(&result);
    return out;
}

/* Compiles C into a shared library (or whatever `flags` make of it) and gives its bytes. */
std::string compile(const std::string &source, const std::vector<std::string> &flags,
                    bool strip = true)
{
    char dir[] = "/tmp/km_elf_test.XXXXXX";
    std::vector<std::string> argv = { "gcc", "-fPIC", "-Os", "-o" };

    EXPECT_TRUE(mkdtemp(dir));
    std::string at = dir, c = at + "/t.c", so = at + "/t.so";
    std::ofstream(c) << source;
    argv.push_back(so);
    argv.push_back(c);
    argv.insert(argv.end(), flags.begin(), flags.end());
    if (strip)
        argv.push_back("-s");
    run(argv);
    std::string bytes = read_file(so);
    EXPECT_EQ(km_dir_remove(dir, nullptr), 0);
    return bytes;
}

std::vector<std::string> list(const char *const *texts, size_t count)
{
    return std::vector<std::string>(texts, texts + count);
}

std::vector<std::string> imports(const km_elf &elf)
{
    std::vector<std::string> out;

    for (size_t i = 0; i < elf.import_count; i++) {
        const km_elf_import &m = elf.imports[i];
        out.push_back(std::string(m.name) + (m.version ? std::string("@") + m.version : ""));
    }
    return out;
}

const char calls[] = "extern int puts(const char *); extern double pow(double, double);\n"
                     "extern void maybe(void) __attribute__((weak));\n"
                     "int calls(double x) { if (maybe) maybe();\n"
                     "  return puts(\"x\") + (int)pow(x, 0.5); }\n"
                     "int data = 3; static int inner(void) { return 1; }\n"
                     "int (*pointer)(void) = inner;\n"
                     "__attribute__((visibility(\"hidden\"))) int hidden(void) { return 1; }\n"
                     "__attribute__((weak)) int weakly(void) { return 2; }\n";
const std::vector<std::string> bare = { "-shared", "-nostdlib", "-Wl,--build-id=none" };

std::vector<std::string> with(std::vector<std::string> flags, std::vector<std::string> more)
{
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
}

// Everything a checker asks: who provides what in which version, and what the file offers.
TEST(Elf, ReadsALibrary)
{
    File f(compile(
        calls, with(bare, { "-lm", "-lc", "-Wl,-soname,libt.so.1", "-Wl,-rpath,$ORIGIN/lib" })));

    ASSERT_EQ(f.rc, 0) << f.err.message;
    EXPECT_STREQ(f.elf.soname, "libt.so.1");
    EXPECT_EQ(f.elf.bits, 64u);
    EXPECT_EQ(list(f.elf.needed, f.elf.needed_count),
              (std::vector<std::string>{ "libm.so.6", "libc.so.6" }));
    EXPECT_STREQ(f.elf.runpath, "$ORIGIN/lib");
    EXPECT_EQ(f.elf.rpath, nullptr);
    EXPECT_FALSE(f.elf.has_executable_stack);
    EXPECT_FALSE(f.elf.text_relocations);

    std::vector<std::string> exports = list(f.elf.exports, f.elf.export_count);
    std::sort(exports.begin(), exports.end());
    EXPECT_EQ(exports, (std::vector<std::string>{ "calls", "data", "pointer", "weakly" }));
    ASSERT_EQ(f.elf.import_count, 3u);
    for (size_t i = 0; i < 3; i++) {
        const km_elf_import &m = f.elf.imports[i];
        if (std::string(m.name) == "maybe") {
            EXPECT_TRUE(m.weak);
            EXPECT_EQ(m.version, nullptr);
            EXPECT_EQ(m.library, nullptr);
        } else {
            EXPECT_FALSE(m.weak);
            EXPECT_STREQ(m.library, std::string(m.name) == "pow" ? "libm.so.6" : "libc.so.6");
            EXPECT_EQ(std::string(m.version).substr(0, 6), "GLIBC_");
        }
    }
    EXPECT_EQ(f.elf.version_need_count, 2u);
}

// .symtab says nothing: a stripped library reads the same.
TEST(Elf, StrippedOrNot)
{
    std::vector<std::string> flags = with(bare, { "-lm", "-lc", "-g" });
    File whole(compile(calls, flags, false)), stripped(compile(calls, flags));

    ASSERT_EQ(whole.rc, 0) << whole.err.message;
    ASSERT_EQ(stripped.rc, 0) << stripped.err.message;
    EXPECT_EQ(imports(whole.elf), imports(stripped.elf));
    EXPECT_EQ(list(whole.elf.exports, whole.elf.export_count),
              list(stripped.elf.exports, stripped.elf.export_count));
}

// What a wheel must not have is seen.
TEST(Elf, SeesBadHabits)
{
    File stack(compile(calls, with(bare, { "-Wl,-z,execstack" })));
    File text(compile("__asm__(\".text; .quad outside\");",
                      with(bare, { "-Wl,-z,notext", "-Wl,-z,execstack" })));
    File rpath(compile(calls, with(bare, { "-Wl,--disable-new-dtags,-rpath,/opt/x" })));

    ASSERT_EQ(stack.rc, 0) << stack.err.message;
    EXPECT_TRUE(stack.elf.has_executable_stack);
    ASSERT_EQ(text.rc, 0) << text.err.message;
    EXPECT_TRUE(text.elf.text_relocations);
    ASSERT_EQ(rpath.rc, 0) << rpath.err.message;
    EXPECT_STREQ(rpath.elf.rpath, "/opt/x");
    EXPECT_EQ(rpath.elf.runpath, nullptr);
}

Elf64_Ehdr header_of(const std::string &bytes)
{
    Elf64_Ehdr h;

    memcpy(&h, bytes.data(), sizeof h);
    return h;
}

/* The number of the first section of a type, and its header's place. */
size_t find_section(const std::string &bytes, uint32_t type, size_t *at)
{
    Elf64_Ehdr h = header_of(bytes);
    Elf64_Shdr s;

    for (size_t i = 0; i < h.e_shnum; i++) {
        *at = h.e_shoff + i * sizeof s;
        memcpy(&s, &bytes[*at], sizeof s);
        if (s.sh_type == type)
            return i;
    }
    ADD_FAILURE() << "no section of type " << type;
    return 0;
}

template <class T> std::string patch(std::string bytes, size_t at, T value)
{
    memcpy(&bytes[at], &value, sizeof value);
    return bytes;
}

template <class T>
std::string patch_section(const std::string &bytes, uint32_t type, size_t field, T value)
{
    size_t at;

    find_section(bytes, type, &at);
    return patch(bytes, at + field, value);
}

Elf64_Shdr section_of(const std::string &bytes, uint32_t type)
{
    Elf64_Shdr s;
    size_t at;

    find_section(bytes, type, &at);
    memcpy(&s, &bytes[at], sizeof s);
    return s;
}

// No PT_GNU_STACK means an executable stack on x86_64, and none on aarch64.
TEST(Elf, MissingStackHeader)
{
    std::string bytes = corpus("uses.elf");
    Elf64_Ehdr h = header_of(bytes);

    for (size_t i = 0; i < h.e_phnum; i++) {
        size_t at = h.e_phoff + i * sizeof(Elf64_Phdr);
        uint32_t type;
        memcpy(&type, &bytes[at], sizeof type);
        if (type == PT_GNU_STACK)
            bytes = patch(bytes, at, uint32_t(PT_NULL));
    }
    File x86(bytes);
    ASSERT_EQ(x86.rc, 0) << x86.err.message;
    EXPECT_TRUE(x86.elf.has_executable_stack);
    EXPECT_STREQ(x86.elf.machine, "x86_64");
    File arm(patch(bytes, offsetof(Elf64_Ehdr, e_machine), uint16_t(EM_AARCH64)));
    ASSERT_EQ(arm.rc, 0) << arm.err.message;
    EXPECT_FALSE(arm.elf.has_executable_stack);
    EXPECT_STREQ(arm.elf.machine, "aarch64");
}

// Files that are something else are called by what they are.
TEST(Elf, NamesWhatItDoesNotRead)
{
    std::string so = corpus("uses.elf");
    auto message = [](const std::string &bytes) {
        File f(bytes);
        EXPECT_EQ(f.rc, KM_EFORMAT);
        EXPECT_STREQ(f.err.place, "t.so");
        return std::string(f.err.message);
    };

    EXPECT_EQ(message(""), "not an ELF file");
    EXPECT_EQ(message("#!/bin/sh\nexit 0\n"), "not an ELF file");
    EXPECT_EQ(message(patch(so, EI_CLASS, char(ELFCLASS32))),
              "a little-endian ELF file of 32 bits; only little-endian ones of 64 are read");
    EXPECT_EQ(message(patch(so, EI_DATA, char(ELFDATA2MSB))),
              "a big-endian ELF file of 64 bits; only little-endian ones of 64 are read");
    EXPECT_EQ(message(patch(so, offsetof(Elf64_Ehdr, e_machine), uint16_t(EM_RISCV))),
              "made for machine 243; only x86_64 (62) and aarch64 (183) are read");
    EXPECT_EQ(message(corpus("sm_90.cubin")), "a cubin (device code), not a library for the CPU");
    EXPECT_EQ(message(compile(calls, { "-c" }, false)),
              "ELF type 1 is not a shared library or a program");
    EXPECT_NE(message(patch(patch(patch(so, offsetof(Elf64_Ehdr, e_shoff), uint64_t(0)),
                                  offsetof(Elf64_Ehdr, e_shnum), uint16_t(0)),
                            offsetof(Elf64_Ehdr, e_shstrndx), uint16_t(0)))
                  .find("stripped of its section headers"),
              std::string::npos);
}

// A program that links nothing at run time is no error.
TEST(Elf, StaticProgram)
{
    File f(compile("void _start(void) { for (;;) ; }", { "-static", "-nostdlib", "-no-pie" }));

    ASSERT_EQ(f.rc, 0) << f.err.message;
    EXPECT_EQ(f.elf.needed_count + f.elf.import_count + f.elf.export_count, 0u);
}

// The tables that are listed are those that the dynamic linker uses, and they fit together.
TEST(Elf, RefusesTablesThatDisagree)
{
    std::string so = corpus("uses.elf");
    auto refused = [](const std::string &bytes, const char *why) {
        File f(bytes);
        EXPECT_EQ(f.rc, KM_EFORMAT) << why;
        EXPECT_NE(std::string(f.err.message).find(why), std::string::npos) << f.err.message;
    };
    Elf64_Shdr symbols = section_of(so, SHT_DYNSYM), needs = section_of(so, SHT_GNU_verneed),
               versions = section_of(so, SHT_GNU_versym), strings = section_of(so, SHT_STRTAB);

    refused(patch_section(so, SHT_DYNSYM, offsetof(Elf64_Shdr, sh_offset), symbols.sh_offset + 8),
            "loaded from elsewhere");
    refused(patch_section(so, SHT_DYNSYM, offsetof(Elf64_Shdr, sh_offset), UINT64_MAX - 7),
            "leaves the file");
    refused(patch_section(so, SHT_DYNSYM, offsetof(Elf64_Shdr, sh_type), SHT_PROGBITS),
            "has no section");
    refused(patch_section(so, SHT_DYNSYM, offsetof(Elf64_Shdr, sh_size), symbols.sh_size - 24),
            ".gnu.version does not describe");
    refused(patch_section(so, SHT_GNU_versym, offsetof(Elf64_Shdr, sh_type), SHT_DYNSYM),
            "two sections are .dynsym");
    refused(patch_section(so, SHT_DYNAMIC, offsetof(Elf64_Shdr, sh_type), SHT_PROGBITS),
            "without .dynamic");
    refused(patch_section(so, SHT_GNU_verneed, offsetof(Elf64_Shdr, sh_link), 1u),
            "string table of its own");
    refused(patch_section(so, SHT_GNU_verneed, offsetof(Elf64_Shdr, sh_info), 1u),
            "DT_VERNEEDNUM says 2");
    refused(patch_section(so, SHT_STRTAB, offsetof(Elf64_Shdr, sh_size), strings.sh_size + 1),
            "DT_STRSZ");
    refused(patch(so, strings.sh_offset + strings.sh_size - 1, 'x'), "does not end with a zero");
    refused(patch(so, symbols.sh_offset + 24, uint32_t(strings.sh_size)), ".dynsym: text at byte");
    refused(patch(so, versions.sh_offset + 2, uint16_t(77)), "version 77");
    refused(patch(so, needs.sh_offset + offsetof(Elf64_Verneed, vn_cnt), uint16_t(2)), "are not 2");
    refused(patch(so, needs.sh_offset + offsetof(Elf64_Verneed, vn_cnt), uint16_t(0)), "damaged");
    refused(patch(so, needs.sh_offset + offsetof(Elf64_Verneed, vn_aux), 0xfffffff0u), "leaves it");
    refused(patch(so, needs.sh_offset + offsetof(Elf64_Verneed, vn_next), 0xfffffff0u),
            "leaves it");
    refused(patch(so, needs.sh_offset + offsetof(Elf64_Verneed, vn_next), 2u), "leaves it");
}

// Entries that overlap would be more than the list has room for. (libelf 0.188 refuses them by
// their alignment; our own guard is behind it.)
TEST(Elf, OverlappingVersions)
{
    std::string so = corpus("uses.elf");
    Elf64_Shdr needs = section_of(so, SHT_GNU_verneed), dynamic = section_of(so, SHT_DYNAMIC);
    const uint32_t count = 8; /* where 7 fit side by side */
    size_t at = needs.sh_offset;

    so = patch_section(so, SHT_GNU_verneed, offsetof(Elf64_Shdr, sh_size), uint64_t(112));
    so = patch_section(so, SHT_GNU_verneed, offsetof(Elf64_Shdr, sh_info), 1u);
    for (size_t i = dynamic.sh_offset; i < dynamic.sh_offset + dynamic.sh_size; i += 16) {
        uint64_t tag;
        memcpy(&tag, &so[i], sizeof tag);
        if (tag == DT_VERNEEDNUM)
            so = patch(so, i + 8, uint64_t(1));
    }
    so = patch(so, at, Elf64_Verneed{ 1, uint16_t(count), 1, 12, 0 });
    for (uint32_t i = 0; i < count; i++) /* each entry's last word is the next one's first */
        so = patch(so, at + 12 + i * 12,
                   Elf64_Vernaux{ i ? 12u : 0u, 0, uint16_t(2 + i), 1, i + 1 < count ? 12u : 0u });
    File f(so);
    EXPECT_EQ(f.rc, KM_EFORMAT);
    EXPECT_EQ(f.elf.version_need_count, 0u);
}

// More sections than the limit are refused by count, before anything is read of them.
TEST(Elf, HoldsTheLimits)
{
    std::string so = corpus("tiny.elf");
    Elf64_Ehdr h = header_of(so);
    so = patch(so, offsetof(Elf64_Ehdr, e_shnum), uint16_t(0));
    so = patch(so, h.e_shoff + offsetof(Elf64_Shdr, sh_size), uint64_t(KM_ELF_SECTIONS_MAX + 1));
    File sections(so);
    EXPECT_EQ(sections.rc, KM_ELIMIT) << sections.err.message;

    std::string many = corpus("uses.elf");
    many = patch_section(many, SHT_DYNSYM, offsetof(Elf64_Shdr, sh_size),
                         uint64_t(KM_ELF_SYMBOLS_MAX + 1) * 24);
    many.resize(many.size() + size_t(KM_ELF_SYMBOLS_MAX + 1) * 24);
    File symbols(many);
    EXPECT_EQ(symbols.rc, KM_ELIMIT) << symbols.err.message;
}

// A half-written library is an error at every length.
TEST(Elf, CutAtEveryByte)
{
    std::string so = corpus("uses.elf");

    for (size_t n = 0; n < so.size(); n++) {
        File f(so.substr(0, n));
        EXPECT_EQ(f.rc, KM_EFORMAT) << n;
        EXPECT_TRUE(!f.elf.machine && !f.elf.import_count) << n;
    }
}

// Damage gives an error or texts that can be read; memory is never misused.
TEST(Elf, EveryBitFlipped)
{
    std::string so = corpus("uses.elf");
    size_t length = 0;

    for (size_t bit = 0; bit < so.size() * 8; bit++) {
        std::string damaged = so;
        damaged[bit / 8] = char(damaged[bit / 8] ^ (1 << (bit % 8)));
        File f(damaged);
        if (f.rc == 0) {
            for (const std::string &i : imports(f.elf))
                length += i.size();
        } else {
            EXPECT_TRUE(f.rc == KM_EFORMAT || f.rc == KM_ELIMIT) << bit;
        }
        const void *bytes;
        size_t size;
        km_elf_section(damaged.data(), damaged.size(), ".dynstr", &bytes, &size, nullptr);
    }
    EXPECT_GT(length, 0u);
}

// Bytes inside a bigger buffer need no alignment.
TEST(Elf, AnyAlignment)
{
    std::string so = corpus("uses.elf");

    for (size_t shift = 0; shift < 8; shift++) {
        File f(so, shift);
        ASSERT_EQ(f.rc, 0) << f.err.message;
        EXPECT_EQ(f.elf.import_count, 3u);
    }
}

// The image that NVIDIA's tools would find is found, as it was put in.
TEST(Elf, SectionByName)
{
    std::string so = corpus("image.elf"),
                image = read_file(KM_SOURCE_DIR "/tests/fuzz/corpus/fatbin/ptx_75_stored.bin");
    km_err err = KM_ERR_INIT;
    const void *bytes;
    size_t size;

    ASSERT_EQ(km_elf_section(so.data(), so.size(), ".nv_fatbin", &bytes, &size, &err), 0)
        << err.message;
    EXPECT_TRUE(bytes >= so.data() && bytes < so.data() + so.size());
    EXPECT_EQ(std::string((const char *)bytes, size), image);
    EXPECT_EQ(km_elf_section(so.data(), so.size(), ".nv_fat", &bytes, &size, &err), KM_ENOENT);
    EXPECT_EQ(km_elf_section(so.data(), 100, ".nv_fatbin", &bytes, &size, &err), KM_EFORMAT);
    std::string cubin = corpus("sm_90.cubin");
    EXPECT_EQ(km_elf_section(cubin.data(), cubin.size(), ".nv.info", &bytes, &size, &err), 0)
        << err.message;
}

// Versions are compared as numbers: 2.9 is older than 2.17.
TEST(Elf, NewestNeed)
{
    km_elf_version needs[] = { { "libc.so.6", "GLIBC_2.9", false },
                               { "libc.so.6", "GLIBC_2.17", false },
                               { "libc.so.6", "GLIBC_2.2.5", false },
                               { "libc.so.6", "GLIBC_PRIVATE", false },
                               { "libc.so.6", "GLIBC_ABI_DT_RELR", false },
                               { "libstdc++.so.6", "GLIBCXX_3.4.9", false },
                               { "libstdc++.so.6", "GLIBCXX_3.4.21", false },
                               { "libstdc++.so.6", "GLIBCXX_3.4", false },
                               { "libx.so", "X_1.2.3.4.5", false },
                               { "libx.so", "X_", false },
                               { "libx.so", "X_1.", false } };
    unsigned major = 0, minor = 0;
    km_elf elf = {};

    elf.version_needs = needs;
    elf.version_need_count = sizeof needs / sizeof needs[0];
    ASSERT_TRUE(km_elf_newest(&elf, "GLIBC", &major, &minor));
    EXPECT_EQ(major, 2u);
    EXPECT_EQ(minor, 17u);
    EXPECT_STREQ(km_elf_newest_need(&elf, "GLIBCXX")->version, "GLIBCXX_3.4.21");
    EXPECT_FALSE(km_elf_newest(&elf, "CXXABI", &major, &minor));
    EXPECT_FALSE(km_elf_newest(&elf, "X", &major, &minor));
    EXPECT_EQ(minor, 17u);
}

/* What readelf lists as undefined: "puts@GLIBC_2.2.5", in its order. */
std::vector<std::string> readelf_imports(const std::string &path)
{
    std::istringstream lines(run({ "readelf", "-W", "--dyn-syms", path }));
    std::vector<std::string> out;
    std::string line;

    while (std::getline(lines, line)) {
        std::istringstream words(line);
        std::string number, value, size, type, bind, visibility, index, name;
        words >> number >> value >> size >> type >> bind >> visibility >> index >> name;
        if (index == "UND" && !name.empty() && bind != "LOCAL")
            out.push_back(name);
    }
    return out;
}

// Another reader sees the same imports in real libraries.
TEST(Elf, AgreesWithReadelf)
{
    size_t compared = 0;

    for (const char *path : { "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6",
                              "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
                              "/usr/lib/x86_64-linux-gnu/libelf.so.1", "/bin/ls" }) {
        if (!km_file_exists(path))
            continue;
        File f(read_file(path));
        ASSERT_EQ(f.rc, 0) << path << f.err.message;
        EXPECT_EQ(imports(f.elf), readelf_imports(path)) << path;
        compared++;
    }
    EXPECT_GT(compared, 0u);
}

} // namespace
