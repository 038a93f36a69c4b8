#include "scratch.h"

#include <algorithm>
#include <cstring>
#include <string>

extern "C" {
#include "core/hash.h"
}

namespace
{

std::string hex_of(const std::string &text)
{
    char hex[KM_SHA256_HEX_BYTES];
    km_sha256 h;

    EXPECT_EQ(km_hash_bytes(text.data(), text.size(), &h, nullptr), 0);
    km_hash_hex(&h, hex);
    return hex;
}

} // namespace

// The vectors of FIPS 180-4: a hash that others compute differently proves nothing.
TEST(Hash, KnownVectors)
{
    EXPECT_EQ(hex_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hex_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(hex_of(std::string(1000000, 'a')),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// A file hashed in pieces, from memory and from the disk is one file.
TEST(Hash, PiecesAndFilesAgree)
{
    Scratch dir;
    const std::string text(100000, 'x'), path = dir.put("f", text);
    km_sha256 whole, pieces, file;
    km_hasher h;

    km_hasher_init(&h);
    for (size_t i = 0; i < text.size(); i += 777)
        km_hasher_add(&h, text.data() + i, std::min<size_t>(777, text.size() - i));
    ASSERT_EQ(km_hasher_final(&h, &pieces, nullptr), 0);
    ASSERT_EQ(km_hash_bytes(text.data(), text.size(), &whole, nullptr), 0);
    ASSERT_EQ(km_hash_file(path.c_str(), &file, nullptr), 0);
    EXPECT_EQ(memcmp(&whole, &pieces, sizeof whole), 0);
    EXPECT_EQ(memcmp(&whole, &file, sizeof whole), 0);
    EXPECT_EQ(km_hash_file((dir / "none").c_str(), &file, nullptr), KM_ENOENT);
}

// A cache key over texts: ("ab","c") and ("a","bc") must not share an image.
TEST(Hash, TextsKeepTheirBorders)
{
    const char *const first[] = { "ab", "c" }, *const second[] = { "a", "bc" };
    km_sha256 a, b;
    km_hasher h;

    km_hasher_init(&h);
    for (const char *text : first)
        km_hasher_add_text(&h, text);
    ASSERT_EQ(km_hasher_final(&h, &a, nullptr), 0);
    km_hasher_init(&h);
    for (const char *text : second)
        km_hasher_add_text(&h, text);
    ASSERT_EQ(km_hasher_final(&h, &b, nullptr), 0);
    EXPECT_NE(memcmp(&a, &b, sizeof a), 0);
}

// A lock has digits, metadata.json base64: they are compared by way of the bytes.
TEST(Hash, BackFromDigits)
{
    char hex[KM_SHA256_HEX_BYTES];
    km_sha256 h, back;

    for (size_t i = 0; i < sizeof h.bytes; i++)
        h.bytes[i] = (unsigned char)(i * 9);
    km_hash_hex(&h, hex);
    ASSERT_TRUE(km_hash_from_hex(hex, &back));
    EXPECT_EQ(memcmp(&h, &back, sizeof h), 0);
    EXPECT_FALSE(km_hash_from_hex(hex + 1, &back));
    hex[63] = 'A';
    EXPECT_FALSE(km_hash_from_hex(hex, &back)) << "one spelling of a digest";
}

// Hub metadata wants padding, a wheel's RECORD the URL alphabet without: pip compares the texts.
TEST(Hash, BothAlphabets)
{
    char padded[KM_SHA256_BASE64_BYTES], url[KM_SHA256_BASE64_BYTES];
    km_sha256 h;

    memset(&h, 0xff, sizeof h);
    h.bytes[0] = 0xfb; /* gives '+' and '/' */
    km_hash_base64(&h, padded);
    km_hash_base64url(&h, url);
    EXPECT_STREQ(padded, "+/////////////////////////////////////////8=");
    EXPECT_STREQ(url, "-_________________________________________8");
}
