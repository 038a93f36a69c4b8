#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include "core/file.h"
#include "formats/fatbin.h"
}

namespace
{

constexpr uint64_t LZ4 = 0x2000, ZSTD = 0x8000, ARCH = 0x100000, FAMILY = 0x200000;

struct Entry {
    unsigned kind = KM_IMAGE_CUBIN;
    unsigned sm = 90;
    uint64_t flags = 0;
    unsigned major = 1, minor = 7;
    uint32_t compressed = 0;
    uint64_t whole = 0;
    std::string payload = std::string(8, 'x');
    uint32_t header = 64;
    unsigned version = 0x101;
};

template <class T> void put(std::string *to, T value)
{
    for (size_t i = 0; i < sizeof value; i++)
        to->push_back(char(value >> (8 * i)));
}

std::string make_entry(const Entry &e)
{
    std::string s;

    put(&s, uint16_t(e.kind));
    put(&s, uint16_t(e.version));
    put(&s, e.header);
    put(&s, uint64_t(e.payload.size()));
    put(&s, e.compressed);
    put(&s, uint32_t(0));
    put(&s, uint16_t(e.minor));
    put(&s, uint16_t(e.major));
    put(&s, e.sm);
    put(&s, uint64_t(0));
    put(&s, e.flags);
    put(&s, uint64_t(0));
    put(&s, e.whole);
    s.resize(e.header > 64 ? e.header : 64);
    return s + e.payload;
}

std::string make_fatbin(const std::vector<Entry> &entries)
{
    std::string body, s;

    for (const Entry &e : entries)
        body += make_entry(e);
    put(&s, 0xBA55ED50u);
    put(&s, uint16_t(1));
    put(&s, uint16_t(16));
    put(&s, uint64_t(body.size()));
    return s + body;
}

/* What a reader makes of bytes that end where their memory ends, so that a sanitizer sees one byte
 * too many. */
class Fatbin
{
  public:
    explicit Fatbin(const std::string &bytes, bool all = false)
    {
        std::vector<char> exact(bytes.begin(), bytes.end());
        rc = (all ? km_fatbin_read_all : km_fatbin_read)(&f, exact.data(), exact.size(), &err);
    }
    ~Fatbin()
    {
        km_fatbin_release(&f);
    }
    Fatbin(const Fatbin &) = delete;
    Fatbin &operator=(const Fatbin &) = delete;

    int rc;
    km_fatbin f = KM_FATBIN_INIT;
    km_err err = KM_ERR_INIT;
};

std::string corpus(const char *name)
{
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    std::string path = std::string(KM_SOURCE_DIR "/tests/fuzz/corpus/fatbin/") + name, bytes;
    char *data;
    size_t size;

    EXPECT_EQ(km_file_read(&a, path.c_str(), 1 << 20, &data, &size, &err), 0) << err.message;
    if (!err.code)
        bytes.assign(data, size);
    km_arena_release(&a);
    return bytes;
}

Entry compressed(uint64_t codec, unsigned sm = 90)
{
    Entry e;

    e.sm = sm;
    e.flags = codec;
    e.compressed = 13;
    e.whole = 4000;
    e.payload = std::string(16, 'z');
    return e;
}

std::string message_of(const Fatbin &f)
{
    return f.err.message;
}

// Every field that plans and checks are made from comes out as it went in.
TEST(Fatbin, ListsEveryImage)
{
    Entry ptx, plain, lto;
    ptx.kind = KM_IMAGE_PTX;
    ptx.sm = 80;
    ptx.major = 8;
    ptx.minor = 8;
    ptx.header = 80;
    lto.kind = 8;
    Entry lz4 = compressed(LZ4 | ARCH), zstd = compressed(ZSTD | FAMILY, 100);
    zstd.header = 112;
    Fatbin f(make_fatbin({ ptx, plain, lz4, zstd, lto }));

    ASSERT_EQ(f.rc, 0) << f.err.message;
    ASSERT_EQ(f.f.count, 5u);
    const km_image *i = f.f.images;
    EXPECT_EQ(i[0].kind, KM_IMAGE_PTX);
    EXPECT_EQ(i[0].sm, 80u);
    EXPECT_EQ(i[0].isa_major, 8u);
    EXPECT_EQ(i[0].isa_minor, 8u);
    EXPECT_EQ(i[1].kind, KM_IMAGE_CUBIN);
    EXPECT_EQ(i[1].compression, KM_STORED);
    EXPECT_EQ(i[1].stored_bytes, 8u);
    EXPECT_EQ(i[1].image_bytes, 8u);
    EXPECT_FALSE(i[1].arch_specific || i[1].family_specific);
    EXPECT_EQ(i[2].compression, KM_LZ4);
    EXPECT_TRUE(i[2].arch_specific);
    EXPECT_EQ(i[2].stored_bytes, 13u);
    EXPECT_EQ(i[2].image_bytes, 4000u);
    EXPECT_EQ(i[3].compression, KM_ZSTD);
    EXPECT_TRUE(i[3].family_specific);
    EXPECT_EQ(i[4].kind, KM_IMAGE_OTHER);
}

// The files that nvcc 13.0 wrote, not only those that this test made up.
TEST(Fatbin, ReadsWhatNvccWrites)
{
    Fatbin stored(corpus("sm_90_stored.bin")), lz4(corpus("sm_90a_lz4.bin")),
        zstd(corpus("sm_100f_zstd.bin")), ptx(corpus("ptx_75_stored.bin")),
        mixed(corpus("mixed_zstd.bin"));

    ASSERT_EQ(stored.f.count, 1u) << stored.err.message;
    EXPECT_EQ(stored.f.images[0].sm, 90u);
    EXPECT_EQ(stored.f.images[0].image_bytes, 3832u);
    EXPECT_EQ(stored.f.images[0].isa_minor, 8u);
    EXPECT_FALSE(stored.f.images[0].arch_specific);
    ASSERT_EQ(lz4.f.count, 1u) << lz4.err.message;
    EXPECT_EQ(lz4.f.images[0].compression, KM_LZ4);
    EXPECT_TRUE(lz4.f.images[0].arch_specific);
    ASSERT_EQ(zstd.f.count, 1u) << zstd.err.message;
    EXPECT_EQ(zstd.f.images[0].compression, KM_ZSTD);
    EXPECT_EQ(zstd.f.images[0].sm, 100u);
    EXPECT_TRUE(zstd.f.images[0].family_specific);
    ASSERT_EQ(ptx.f.count, 1u) << ptx.err.message;
    EXPECT_EQ(ptx.f.images[0].kind, KM_IMAGE_PTX);
    EXPECT_EQ(ptx.f.images[0].isa_major, 9u);
    EXPECT_EQ(ptx.f.images[0].isa_minor, 0u);
    ASSERT_EQ(mixed.f.count, 3u) << mixed.err.message;
    EXPECT_EQ(mixed.f.images[2].kind, KM_IMAGE_OTHER);
}

// What we ship: images of NVRTC 12.9, compressed by LZ4, joined by fatbinary 13.0.
TEST(Fatbin, ReadsWhatWeShip)
{
    Fatbin f(corpus("release_lz4.bin"));
    const unsigned drivers[] = { 575, 525, 525, 570 };

    ASSERT_EQ(f.f.count, 4u) << f.err.message;
    for (size_t i = 0; i < 4; i++) {
        EXPECT_EQ(f.f.images[i].compression, KM_LZ4);
        EXPECT_EQ(km_image_min_driver(&f.f.images[i]), drivers[i]) << i;
    }
    EXPECT_EQ(km_fatbin_pick(&f.f, 75), &f.f.images[0]);
    EXPECT_EQ(km_fatbin_pick(&f.f, 86), &f.f.images[1]);
    EXPECT_EQ(km_fatbin_pick(&f.f, 90), &f.f.images[2]);
    EXPECT_EQ(km_fatbin_pick(&f.f, 103), &f.f.images[3]);
    EXPECT_EQ(km_fatbin_pick(&f.f, 120), &f.f.images[0]);
}

// A half-written file is an error, never a shorter list.
TEST(Fatbin, CutAtEveryByte)
{
    for (const std::string &bytes :
         { make_fatbin({ Entry(), compressed(LZ4) }), corpus("mixed_zstd.bin") })
        for (size_t n = 0; n < bytes.size(); n++) {
            Fatbin one(bytes.substr(0, n)), all(bytes.substr(0, n), true);
            EXPECT_EQ(one.rc, KM_EFORMAT) << n;
            EXPECT_EQ(all.rc, KM_EFORMAT) << n;
            EXPECT_TRUE(!one.f.images && !one.f.count && !all.f.images && !all.f.count) << n;
        }
}

// Damage gives an error or another list, and the sanitizers find nothing.
TEST(Fatbin, EveryBitFlipped)
{
    std::string bytes = make_fatbin({ Entry(), compressed(ZSTD) });

    for (size_t bit = 0; bit < bytes.size() * 8; bit++) {
        std::string damaged = bytes;
        damaged[bit / 8] = char(damaged[bit / 8] ^ (1 << (bit % 8)));
        Fatbin f(damaged);
        if (f.rc == 0) {
            EXPECT_EQ(f.f.count, 2u) << bit;
            km_fatbin_pick(&f.f, 90);
        } else {
            EXPECT_EQ(f.rc, KM_EFORMAT) << bit;
        }
    }
}

// Each lie is answered with its place and its name.
TEST(Fatbin, SaysWhatIsWrong)
{
    Entry both = compressed(LZ4 | ZSTD), unknown = compressed(0), empty = compressed(LZ4),
          longer = compressed(LZ4), small, old, sm;
    empty.compressed = 0;
    longer.compressed = 17;
    small.header = 63;
    old.version = 0x100;
    sm.sm = 0;

    EXPECT_EQ(message_of(Fatbin("")), "fatbin at byte 0: header is cut short");
    EXPECT_EQ(message_of(Fatbin(std::string(64, 'a'))), "byte 0 is not the start of a fatbin");
    EXPECT_EQ(message_of(Fatbin(make_fatbin({ Entry(), both }))),
              "fatbin entry at byte 88: LZ4 and zstd at once");
    EXPECT_NE(message_of(Fatbin(make_fatbin({ unknown }))).find("unknown method"),
              std::string::npos);
    EXPECT_EQ(Fatbin(make_fatbin({ empty })).rc, KM_EFORMAT);
    EXPECT_EQ(Fatbin(make_fatbin({ longer })).rc, KM_EFORMAT);
    EXPECT_EQ(message_of(Fatbin(make_fatbin({ small }))),
              "fatbin entry at byte 16: header of 63 bytes");
    EXPECT_EQ(message_of(Fatbin(make_fatbin({ old }))),
              "fatbin entry at byte 16: version 0x100, not 0x101");
    EXPECT_EQ(message_of(Fatbin(make_fatbin({ sm }))), "fatbin entry at byte 16: sm number 0");
    std::string bytes = make_fatbin({ Entry() });
    memset(&bytes[16 + 8], 0xff, 8);
    EXPECT_EQ(message_of(Fatbin(bytes)),
              "fatbin entry at byte 16: payload of 18446744073709551615 bytes leaves the file");
    bytes = make_fatbin({ Entry() });
    memset(&bytes[16 + 4], 0xff, 4);
    EXPECT_EQ(message_of(Fatbin(bytes)), "fatbin entry at byte 16: header of 4294967295 bytes");
    bytes = make_fatbin({ Entry() });
    memset(&bytes[8], 0xff, 8);
    EXPECT_EQ(Fatbin(bytes).rc, KM_EFORMAT);
    EXPECT_EQ(message_of(Fatbin(make_fatbin({ Entry() }) + std::string(8, '\0'))),
              "fatbin ends at byte 88 of 96");
}

// A library linked from several objects has several containers in one section.
TEST(Fatbin, ReadsASectionOfSeveral)
{
    std::string zeros(24, '\0'), one = make_fatbin({ Entry() }),
                                 two = make_fatbin({ compressed(LZ4), compressed(ZSTD) });
    Fatbin f(zeros + one + two + zeros + make_fatbin({}) + zeros, true);

    ASSERT_EQ(f.rc, 0) << f.err.message;
    EXPECT_EQ(f.f.count, 3u);
    EXPECT_EQ(Fatbin(one + zeros).rc, KM_EFORMAT);
    EXPECT_EQ(Fatbin(zeros, true).rc, KM_EFORMAT);
    EXPECT_EQ(Fatbin("", true).rc, KM_EFORMAT);
    EXPECT_EQ(message_of(Fatbin(one + zeros + "?", true)),
              "fatbin at byte 112: header is cut short");
}

// No input makes the list longer than the limit.
TEST(Fatbin, HoldsTheLimit)
{
    std::vector<Entry> entries(KM_FATBIN_IMAGES_MAX);
    Fatbin most(make_fatbin(entries));
    EXPECT_EQ(most.f.count, size_t(KM_FATBIN_IMAGES_MAX));
    entries.push_back(Entry());
    Fatbin more(make_fatbin(entries));
    EXPECT_EQ(more.rc, KM_ELIMIT);
    EXPECT_EQ(more.f.count, 0u);
}

Entry image(unsigned kind, unsigned sm, uint64_t flags = 0)
{
    Entry e;

    e.kind = kind;
    e.sm = sm;
    e.flags = flags;
    return e;
}

/* The picked image as "90a", "ptx80" or "none". */
std::string pick(const std::vector<Entry> &entries, uint32_t sm)
{
    Fatbin f(make_fatbin(entries));
    const km_image *i = km_fatbin_pick(&f.f, sm);

    if (!i)
        return "none";
    return (i->kind == KM_IMAGE_PTX ? "ptx" : "") + std::to_string(i->sm) +
           (i->arch_specific ? "a" : "") + (i->family_specific ? "f" : "");
}

// A machine is told that it can run a library exactly when its driver will find an image.
TEST(Fatbin, PicksWhatTheDriverWould)
{
    const unsigned PTX = KM_IMAGE_PTX, CUBIN = KM_IMAGE_CUBIN;
    std::vector<Entry> fat = { image(PTX, 75),         image(CUBIN, 80), image(CUBIN, 86),
                               image(CUBIN, 90, ARCH), image(CUBIN, 90), image(CUBIN, 100) };

    EXPECT_EQ(pick(fat, 70), "none");
    EXPECT_EQ(pick(fat, 75), "ptx75");
    EXPECT_EQ(pick(fat, 80), "80");
    EXPECT_EQ(pick(fat, 86), "86");
    EXPECT_EQ(pick(fat, 89), "86");
    EXPECT_EQ(pick(fat, 90), "90a");
    EXPECT_EQ(pick(fat, 103), "100");
    EXPECT_EQ(pick(fat, 120), "ptx75");
    EXPECT_EQ(pick({ image(CUBIN, 86) }, 80), "none");
    EXPECT_EQ(pick({ image(CUBIN, 90, ARCH) }, 91), "none");
    EXPECT_EQ(pick({ image(CUBIN, 100, FAMILY) }, 103), "100f");
    EXPECT_EQ(pick({ image(CUBIN, 100, FAMILY) }, 120), "none");
    EXPECT_EQ(pick({ image(PTX, 90, ARCH), image(PTX, 80) }, 100), "ptx80");
    EXPECT_EQ(pick({ image(PTX, 90, ARCH), image(PTX, 80) }, 90), "ptx90a");
    EXPECT_EQ(pick({ image(PTX, 100, FAMILY) }, 103), "ptx100f");
    EXPECT_EQ(pick({ image(PTX, 100, FAMILY) }, 120), "none");
    EXPECT_EQ(pick({ image(8, 90) }, 90), "none");
}

unsigned driver(km_image_kind kind, unsigned sm, unsigned major, unsigned minor,
                km_compression compression = KM_STORED)
{
    km_image i = {};

    i.kind = kind;
    i.sm = sm;
    i.isa_major = major;
    i.isa_minor = minor;
    i.compression = compression;
    return km_image_min_driver(&i);
}

// The floors that plan, card and explain state.
TEST(Fatbin, OldestDriver)
{
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 90, 1, 7), 525u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 90, 1, 7, KM_LZ4), 525u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 90, 1, 7, KM_ZSTD), 550u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 75, 1, 8), 580u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 90, 1, 8, KM_ZSTD), 580u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 100, 1, 8), 570u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 120, 1, 8, KM_ZSTD), 570u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 103, 1, 8), 575u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 110, 1, 8), 580u);
    EXPECT_EQ(driver(KM_IMAGE_CUBIN, 90, 1, 9), 580u);
    EXPECT_EQ(driver(KM_IMAGE_PTX, 80, 8, 8), 575u);
    EXPECT_EQ(driver(KM_IMAGE_PTX, 80, 9, 0), 580u);
    EXPECT_EQ(driver(KM_IMAGE_PTX, 80, 9, 5), 590u);
    EXPECT_EQ(driver(KM_IMAGE_PTX, 80, 7, 8), 525u);
    EXPECT_EQ(driver(KM_IMAGE_PTX, 80, 8, 0, KM_ZSTD), 550u);
    EXPECT_EQ(driver(KM_IMAGE_OTHER, 80, 1, 65), 0u);
}

} // namespace
