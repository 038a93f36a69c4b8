#include <gtest/gtest.h>

#include <sys/stat.h>
#include <zip.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

extern "C" {
#include "core/file.h"
#include "formats/zip.h"
}

namespace
{

const km_zip_limits generous = { 64u << 20, 256u << 20 };

/* An archive as the reader sees it: exactly its bytes, freed before anybody looks at the result. */
class Archive
{
  public:
    explicit Archive(const std::string &bytes, const km_zip_limits &limits = generous)
    {
        std::unique_ptr<char[]> exact(new char[bytes.size()]);
        memcpy(exact.get(), bytes.data(), bytes.size());
        rc = km_zip_read(&arena, exact.get(), bytes.size(), "t.whl", &limits, &zip, &err);
    }
    ~Archive()
    {
        km_arena_release(&arena);
    }
    Archive(const Archive &) = delete;
    Archive &operator=(const Archive &) = delete;

    /* "name mode size content" of every member. */
    std::string text() const
    {
        std::string s;

        for (size_t i = 0; i < zip.count; i++) {
            const km_zip_entry &e = zip.entries[i];
            s += std::string(e.name) + " " + std::to_string(e.mode) + " " + std::to_string(e.size) +
                 " " + std::string((const char *)e.data, e.size) + "\n";
        }
        return s;
    }

    km_arena arena = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_zip zip = {};
    int rc;
};

struct Member {
    std::string name;
    std::string data;
    mode_t mode = 0644;
};

std::string write_zip(const std::vector<Member> &members, km_err *err = nullptr)
{
    km_str bytes = KM_STR_INIT;
    km_zip_writer w;
    km_err e = KM_ERR_INIT;
    int rc = km_zip_writer_init(&w, &e);

    for (size_t i = 0; rc == 0 && i < members.size(); i++)
        rc = km_zip_writer_add(&w, members[i].name.c_str(), members[i].data.data(),
                               members[i].data.size(), members[i].mode, &e);
    if (rc == 0)
        rc = km_zip_writer_finish(&w, &bytes, &e);
    km_zip_writer_release(&w);
    EXPECT_TRUE(rc == 0 || err) << e.message;
    if (err)
        *err = e;
    std::string out(bytes.data, bytes.length);
    km_str_release(&bytes);
    return out;
}

const std::vector<Member> wheel = { { "pkg/__init__.py", "import torch\n" },
                                    { "pkg/run.sh", "#!/bin/sh\n", 0755 },
                                    { "pkg/empty", "" },
                                    { "pkg/caf\xc3\xa9.txt", std::string("a\0b", 3) } };

// What is written is what is read, with modes and order.
TEST(Zip, WritesAndReads)
{
    Archive a(write_zip(wheel));

    ASSERT_EQ(a.rc, 0) << a.err.message;
    ASSERT_EQ(a.zip.count, wheel.size());
    for (size_t i = 0; i < wheel.size(); i++) {
        const km_zip_entry &e = a.zip.entries[i];
        EXPECT_EQ(e.name, wheel[i].name);
        EXPECT_EQ(std::string((const char *)e.data, e.size), wheel[i].data);
        EXPECT_EQ(e.mode, S_IFREG | wheel[i].mode);
        EXPECT_EQ(e.data[e.size], 0);
        EXPECT_EQ(km_zip_find(&a.zip, wheel[i].name.c_str()), &e);
    }
    EXPECT_EQ(km_zip_find(&a.zip, "pkg"), nullptr);
}

unsigned get16(const std::string &s, size_t at)
{
    return (unsigned char)s[at] | unsigned((unsigned char)s[at + 1]) << 8;
}

uint32_t get32(const std::string &s, size_t at)
{
    return get16(s, at) | get16(s, at + 2) << 16;
}

size_t central_of(const std::string &s)
{
    return get32(s, s.size() - 22 + 16);
}

// A wheel's hash must not depend on where and when it was made.
TEST(Zip, SameBytesAnywhereAnyTime)
{
    const char *old = getenv("TZ");
    std::string before = old ? old : "", here = write_zip(wheel);

    for (const char *zone : { "Asia/Tokyo", "America/St_Johns", "UTC" }) {
        setenv("TZ", zone, 1);
        tzset();
        EXPECT_EQ(write_zip(wheel), here) << zone;
    }
    if (old)
        setenv("TZ", before.c_str(), 1);
    else
        unsetenv("TZ");
    tzset();

    size_t at = 0, central = central_of(here);
    for (const Member &m : wheel) {
        EXPECT_EQ(get32(here, at), 0x04034b50u);
        EXPECT_EQ(get16(here, at + 8), 0u) << "stored";
        EXPECT_EQ(get32(here, at + 10), 0x00210000u) << "1980-01-01 00:00";
        EXPECT_EQ(get16(here, at + 28), 0u) << "extra fields";
        EXPECT_EQ(get32(here, central + 12), 0x00210000u);
        EXPECT_EQ(get16(here, central + 30) + get16(here, central + 32), 0u);
        EXPECT_EQ(get32(here, central + 38), (0100000u | m.mode) << 16);
        at += 30 + m.name.size() + m.data.size();
        central += 46 + m.name.size();
    }
    EXPECT_EQ(at, central_of(here));
}

// The writer makes nothing that the reader would refuse.
TEST(Zip, WriterRefuses)
{
    auto refused = [](const std::vector<Member> &members) {
        km_err err = KM_ERR_INIT;
        EXPECT_EQ(write_zip(members, &err), "");
        return err.code;
    };

    EXPECT_EQ(refused({}), KM_EUSAGE);
    EXPECT_EQ(refused({ { "../x", "" } }), KM_EUSAGE);
    EXPECT_EQ(refused({ { "", "" } }), KM_EUSAGE);
    EXPECT_EQ(refused({ { "a/", "" } }), KM_EUSAGE);
    EXPECT_EQ(refused({ { "a\xff", "" } }), KM_EUSAGE);
    EXPECT_EQ(refused({ { "a", "", 0777 } }), KM_EUSAGE);
    EXPECT_EQ(refused({ { "a", "", S_IFLNK | 0644 } }), KM_EUSAGE);
    EXPECT_EQ(refused({ { "a", "" }, { "a", "" } }), KM_EUSAGE);
    EXPECT_EQ(refused({ { "a", "" }, { "A", "" } }), KM_EUSAGE);
    EXPECT_EQ(refused({ { "a", "" }, { "a/b", "" } }), KM_EUSAGE);
}

// A half-written archive is an error at every length; so is one byte more.
TEST(Zip, CutAtEveryByte)
{
    std::string bytes = write_zip(wheel);

    for (size_t n = 0; n < bytes.size(); n++)
        EXPECT_EQ(Archive(bytes.substr(0, n)).rc, KM_EFORMAT) << n;
    EXPECT_EQ(Archive(bytes + '\0').rc, KM_EFORMAT);
}

// A flipped bit is found, or it changed nothing that anybody reads.
TEST(Zip, EveryBitFlipped)
{
    std::string bytes = write_zip(wheel), text = Archive(bytes).text();
    size_t refused = 0;

    for (size_t bit = 0; bit < bytes.size() * 8; bit++) {
        std::string damaged = bytes;
        damaged[bit / 8] = char(damaged[bit / 8] ^ (1 << (bit % 8)));
        Archive a(damaged);
        EXPECT_TRUE(a.rc == KM_EFORMAT || a.rc == KM_ELIMIT || (a.rc == 0 && a.text() == text))
            << "bit " << bit % 8 << " of byte " << bit / 8;
        refused += a.rc < 0;
    }
    EXPECT_GT(refused, bytes.size() * 8 * 3 / 4);
}

uint32_t crc32_of(const std::string &s)
{
    uint32_t crc = ~0u;

    for (unsigned char c : s) {
        crc ^= c;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* A member with every field in hand, for archives that no honest writer makes. */
struct Raw {
    std::string name, data = "x";
    uint32_t attributes = (S_IFREG | 0644u) << 16;
    std::string local_name = name, extra = "";
    unsigned flags = 0, method = 0, system = 3;
};

void put16(std::string *s, unsigned v)
{
    s->push_back(char(v));
    s->push_back(char(v >> 8));
}

void put32(std::string *s, uint32_t v)
{
    put16(s, v & 0xffff);
    put16(s, v >> 16);
}

void put_common(std::string *s, const Raw &m, const std::string &name)
{
    put16(s, 10);
    put16(s, m.flags);
    put16(s, m.method);
    put32(s, 0x00210000);
    put32(s, crc32_of(m.data));
    put32(s, uint32_t(m.data.size()));
    put32(s, uint32_t(m.data.size()));
    put16(s, unsigned(name.size()));
    put16(s, unsigned(m.extra.size()));
}

std::string raw_zip(const std::vector<Raw> &members, const std::string &gap = "")
{
    std::string s, directory;

    for (const Raw &m : members) {
        put32(&directory, 0x02014b50);
        put16(&directory, m.system << 8 | 63);
        put_common(&directory, m, m.name);
        put16(&directory, 0);
        put32(&directory, 0);
        put32(&directory, m.attributes);
        put32(&directory, uint32_t(s.size()));
        directory += m.name + m.extra;
        put32(&s, 0x04034b50);
        put_common(&s, m, m.local_name);
        s += m.local_name + m.extra + m.data;
    }
    s += gap;
    size_t start = s.size();
    s += directory;
    put32(&s, 0x06054b50);
    put32(&s, 0);
    put16(&s, unsigned(members.size()));
    put16(&s, unsigned(members.size()));
    put32(&s, uint32_t(directory.size()));
    put32(&s, uint32_t(start));
    put16(&s, 0);
    return s;
}

Raw named(const std::string &name)
{
    Raw m;

    m.name = m.local_name = name;
    return m;
}

Raw with_attributes(uint32_t mode, uint32_t dos = 0)
{
    Raw m = named("a");

    m.attributes = mode << 16 | dos;
    return m;
}

void refused(const std::string &bytes, const std::string &why, int code = KM_EFORMAT)
{
    Archive a(bytes);

    EXPECT_EQ(a.rc, code) << why;
    EXPECT_NE(std::string(a.err.message).find(why), std::string::npos) << a.err.message;
    EXPECT_STREQ(a.err.place, "t.whl");
    EXPECT_EQ(a.zip.count, 0u);
}

// The tool that makes hostile archives makes honest ones too, or the tests below would be void.
TEST(Zip, RawIsReadable)
{
    Raw shared = named("caf\xc3\xa9");
    shared.flags = 0x800;
    Archive a(raw_zip({ named("a"), named("b/"), named("b/c"), shared, named("b!") }));

    EXPECT_EQ(a.rc, KM_EFORMAT); // a folder with content
    Raw folder = named("b/");
    folder.data = "";
    folder.attributes = (S_IFDIR | 0700u) << 16 | 0x10;
    Archive b(raw_zip({ named("a"), folder, named("b/c"), shared, named("b!") }));
    ASSERT_EQ(b.rc, 0) << b.err.message;
    EXPECT_EQ(b.zip.count, 5u);
    EXPECT_EQ(b.zip.entries[1].mode, mode_t(S_IFDIR | 0755));
    EXPECT_STREQ(b.zip.entries[1].name, "b/");
    EXPECT_EQ(Archive(raw_zip({})).rc, 0);
}

// Nothing is written outside the folder that an archive is unpacked into.
TEST(Zip, HostileNames)
{
    refused(raw_zip({ named("../x") }), "'..' part");
    refused(raw_zip({ named("a/../../x") }), "'..' part");
    refused(raw_zip({ named("/etc/passwd") }), "absolute");
    refused(raw_zip({ named("C:x") }), "drive letter");
    refused(raw_zip({ named("a\\b") }), "0x5c");
    refused(raw_zip({ named(std::string("a\0b", 3)) }), "zero byte");
    refused(raw_zip({ named("a\nb") }), "0x0a");
    refused(raw_zip({ named("") }), "empty");
    refused(raw_zip({ named("a//b") }), "empty part");
    refused(raw_zip({ named(std::string(4096, 'a')) }), "4096 bytes");
    for (const char *bad : { "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xc3", "\x80" }) {
        Raw m = named(bad);
        m.flags = 0x800;
        refused(raw_zip({ m }), "not UTF-8");
    }
    refused(raw_zip({ named("caf\xc3\xa9") }), "not marked as UTF-8");
}

// One name, one file: on every disk.
TEST(Zip, HostilePairs)
{
    Raw folder = named("pkg/");
    folder.data = "";
    folder.attributes = 0;

    refused(raw_zip({ named("a"), named("b"), named("a") }), "'a' is there twice");
    refused(raw_zip({ named("pkg/a.py"), named("x"), named("PKG/A.py") }), "differ in case only");
    refused(raw_zip({ named("pkg/x"), named("pkg!"), named("pkg") }),
            "'pkg' is a file, yet 'pkg/x' is in it");
    refused(raw_zip({ named("pkg/x"), named("PKG") }), "is a file, yet");
    refused(raw_zip({ folder, named("pkg") }), "is there twice");
}

// Only plain files and folders come out.
TEST(Zip, HostileModes)
{
    refused(raw_zip({ with_attributes(S_IFLNK | 0777) }), "not a regular file");
    refused(raw_zip({ with_attributes(S_IFCHR | 0644) }), "not a regular file");
    refused(raw_zip({ with_attributes(S_IFDIR | 0755) }), "not a regular file");
    refused(raw_zip({ with_attributes(S_IFREG | 0644, 0x10) }), "not a regular file");
    refused(raw_zip({ with_attributes(S_IFREG | 04755) }), "odd permissions 04755");
    refused(raw_zip({ with_attributes(S_IFREG | 0744) }), "odd permissions 0744");
    refused(raw_zip({ with_attributes(S_IFREG | 0044) }), "odd permissions 044");
    Raw vms = named("a");
    vms.system = 2;
    refused(raw_zip({ vms }), "system 2");
    for (mode_t plain : { 0u, 0600u, 0640u, 0664u, 0444u, S_IFREG | 0666u })
        EXPECT_EQ(Archive(raw_zip({ with_attributes(plain) })).zip.entries[0].mode,
                  S_IFREG | 0644u);
    for (mode_t executable : { 0700u, 0750u, 0775u, 0555u, S_IFREG | 0777u })
        EXPECT_EQ(Archive(raw_zip({ with_attributes(executable) })).zip.entries[0].mode,
                  S_IFREG | 0755u);
}

// An archive has one meaning: what two readers could see differently is refused.
TEST(Zip, HostileLayouts)
{
    std::string honest = raw_zip({ named("a"), named("b") });
    Raw renamed = named("a"), zip64 = named("a"), second = named("a"), locked = named("a"),
        bzip2 = named("a");
    renamed.local_name = "b";
    zip64.extra = std::string("\x01\0\0\0", 4);
    second.extra = std::string("\x75\x70\0\0", 4);
    locked.flags = 1;
    bzip2.method = 12;

    refused(honest + "x", "something behind its end");
    refused("x" + honest, "does not fill the space");
    refused(honest + honest, "does not fill the space");
    refused(raw_zip({ named("a") }, "hidden"), "6 bytes before the directory");
    refused(raw_zip({ renamed }), "the directory disagree");
    refused(raw_zip({ zip64 }), "zip64", KM_ELIMIT);
    refused(raw_zip({ second }), "second name");
    refused(raw_zip({ locked }), "encryption");
    refused(raw_zip({ bzip2 }), "method 12");
    for (size_t field : { 14, 18, 22 }) { /* CRC, compressed size, size of the local header */
        std::string damaged = honest;
        damaged[field] = char(damaged[field] + 1);
        refused(damaged, "the directory disagree");
    }
    std::string crc = honest;
    crc[30 + 1] = 'y';
    refused(crc, "CRC");
    std::string overlap = honest;
    overlap[central_of(honest) + 47 + 42] = 0; /* the second member is the first again */
    refused(overlap, "a gap, an overlap");
    std::string comment = honest;
    comment[honest.size() - 2] = 4;
    refused(comment, "comment");
    refused(comment + "PK\5\6", "not a zip archive");
}

/* An archive with one deflated member, made by libzip. */
std::string deflated(const std::string &data)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *to = zip_source_buffer_create(nullptr, 0, 0, &error);
    zip_source_keep(to);
    zip_t *z = zip_open_from_source(to, ZIP_TRUNCATE, &error);
    zip_file_add(z, "big", zip_source_buffer(z, data.data(), data.size(), 0), 0);
    zip_set_file_compression(z, 0, ZIP_CM_DEFLATE, 9);
    EXPECT_EQ(zip_close(z), 0);
    zip_stat_t st;
    zip_source_stat(to, &st);
    std::string bytes(st.size, '\0');
    zip_source_open(to);
    EXPECT_EQ(zip_source_read(to, &bytes[0], bytes.size()), zip_int64_t(bytes.size()));
    zip_source_close(to);
    zip_source_free(to);
    zip_error_fini(&error);
    return bytes;
}

// A small file cannot fill the memory, whether it says how big it gets or lies about it.
TEST(Zip, Bombs)
{
    std::string bomb = deflated(std::string(32u << 20, '\0'));
    ASSERT_LT(bomb.size(), 64u << 10);
    refused(bomb, "more than 200 times", KM_ELIMIT);
    Archive small(deflated(std::string(1u << 20, '\0')));
    ASSERT_EQ(small.rc, 0) << small.err.message;
    EXPECT_EQ(small.zip.entries[0].size, 1u << 20);

    std::string lie = bomb;
    for (size_t at : { size_t(22), central_of(bomb) + 24 })
        memcpy(&lie[at], "\x10\0\0", 4);
    refused(lie, "holds more bytes than it says (16)");
    std::string more = deflated(std::string(1000, '\0'));
    for (size_t at : { size_t(22), central_of(more) + 24 })
        memcpy(&more[at], "\xe9\x03\0", 4);
    Archive longer(more);
    EXPECT_EQ(longer.rc, KM_EFORMAT);
}

// The caller's limits hold for one member, for all of them, and for their number.
TEST(Zip, Limits)
{
    std::string bytes = write_zip(
        { { "a", std::string(100, 'a') }, { "b", std::string(50, 'b') } });

    EXPECT_EQ(Archive(bytes, { 100, 150 }).rc, 0);
    EXPECT_EQ(Archive(bytes, { 99, 150 }).rc, KM_ELIMIT);
    EXPECT_EQ(Archive(bytes, { 100, 149 }).rc, KM_ELIMIT);
    std::string many = raw_zip({});
    many[8] = many[9] = many[10] = many[11] = char(0xff);
    refused(many, "more than 65534 members", KM_ELIMIT);
}

// The most members there can be, quickly.
TEST(Zip, ManyMembers)
{
    std::vector<Raw> members;

    for (int i = 0; i < 65534; i++)
        members.push_back(named("d" + std::to_string(i % 256) + "/f" + std::to_string(i)));
    Archive most(raw_zip(members));
    ASSERT_EQ(most.rc, 0) << most.err.message;
    EXPECT_EQ(most.zip.count, 65534u);
}

// Archives by Python's zipfile, deflated, and streamed with the sizes behind the data.
TEST(Zip, ReadsWhatPythonWrites)
{
    for (const char *name : { "deflate.zip", "streamed.zip" }) {
        km_arena arena = KM_ARENA_INIT;
        km_err err = KM_ERR_INIT;
        std::string path = std::string(KM_SOURCE_DIR "/tests/fuzz/corpus/zip/") + name;
        char *data;
        size_t size;
        ASSERT_EQ(km_file_read(&arena, path.c_str(), 1 << 20, &data, &size, &err), 0);
        std::string bytes(data, size);
        km_arena_release(&arena);
        Archive a(bytes);
        EXPECT_EQ(a.rc, 0) << a.err.message;
        EXPECT_GE(a.zip.count, 2u);
        std::string text = a.text();
        for (size_t bit = 0; bit < size * 8; bit++) {
            std::string damaged = bytes;
            damaged[bit / 8] = char(damaged[bit / 8] ^ (1 << (bit % 8)));
            Archive b(damaged);
            EXPECT_TRUE(b.rc < 0 || b.text() == text)
                << name << " bit " << bit % 8 << " of byte " << bit / 8;
        }
    }
}

} // namespace
