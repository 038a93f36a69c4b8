#include <gtest/gtest.h>

#include <string>

extern "C" {
#include "core/str.h"
}

namespace
{

class Str : public testing::Test
{
  protected:
    ~Str() override
    {
        km_str_release(&s);
    }

    km_str s = KM_STR_INIT;
};

// `data` is handed to functions that want a C string, whatever happened before.
TEST_F(Str, IsAlwaysTerminated)
{
    EXPECT_STREQ(s.data, "");
    km_str_add(&s, "");
    EXPECT_STREQ(s.data, "");
    km_str_add_bytes(&s, "a\0b", 3);
    EXPECT_EQ(std::string(s.data, s.length + 1), std::string("a\0b\0", 4));
    km_str_clear(&s);
    EXPECT_STREQ(s.data, "");
    km_str_release(&s);
    EXPECT_STREQ(s.data, "");
    EXPECT_STREQ(km_str_empty, "");
}

// Growing moves the text; every way to append must carry it along.
TEST_F(Str, GrowsWithoutLosingText)
{
    std::string want;

    for (int i = 0; i < 3000; i++) {
        km_str_add(&s, "word");
        km_str_add_char(&s, ' ');
        km_str_printf(&s, "%d\n", i);
        want += "word " + std::to_string(i) + "\n";
    }
    EXPECT_EQ(std::string(s.data, s.length), want);
    km_str_printf(&s, "%s", "");
    EXPECT_EQ(s.length, want.size());
    EXPECT_EQ(km_str_check(&s, nullptr), 0);
}

// The first failure is kept, so that one check at the end is enough; what was there stays readable.
TEST_F(Str, FailureSticks)
{
    km_err err = KM_ERR_INIT;

    km_str_add(&s, "kept");
    km_str_add_bytes(&s, "", KM_STR_BYTES_MAX); /* refused before a byte is read */
    km_str_add(&s, " lost");
    km_str_add_char(&s, '!');
    km_str_printf(&s, "%d", 1);
    EXPECT_STREQ(s.data, "kept");
    EXPECT_EQ(km_str_check(&s, &err), KM_ELIMIT);
    EXPECT_STREQ(err.message, "text is longer than 268435456 bytes");
    km_str_clear(&s);
    EXPECT_EQ(km_str_check(&s, &err), 0);
    km_str_add(&s, "again");
    EXPECT_STREQ(s.data, "again");
}

// A failed text that never had memory must be as harmless as one that had.
TEST_F(Str, FailsFromTheStart)
{
    km_str_add_bytes(&s, "", SIZE_MAX);
    EXPECT_EQ(km_str_check(&s, nullptr), KM_ELIMIT);
    EXPECT_STREQ(s.data, "");
    s.failed = KM_ENOMEM;
    km_str_add(&s, "x");
    EXPECT_EQ(km_str_check(&s, nullptr), KM_ENOMEM);
    EXPECT_STREQ(s.data, "");
}

// The ceiling is the sum, not one append.
TEST_F(Str, CeilingIsTheSum)
{
    const std::string chunk(64 << 20, 'x');

    for (int i = 0; i < 3; i++)
        km_str_add_bytes(&s, chunk.data(), chunk.size());
    km_str_add_bytes(&s, chunk.data(), chunk.size() - 1);
    EXPECT_EQ(km_str_check(&s, nullptr), 0);
    EXPECT_EQ(s.length, KM_STR_BYTES_MAX - 1);
    EXPECT_EQ(s.data[s.length], '\0');
    km_str_add_char(&s, 'x');
    EXPECT_EQ(km_str_check(&s, nullptr), KM_ELIMIT);
}

// File kinds are told by these two; a name shorter than its ending must not be read before its
// start.
TEST(StrEnds, PrefixAndSuffix)
{
    EXPECT_TRUE(km_starts_with("libtorch", "lib"));
    EXPECT_TRUE(km_starts_with("lib", ""));
    EXPECT_FALSE(km_starts_with("li", "lib"));
    EXPECT_TRUE(km_ends_with("a.so", ".so"));
    EXPECT_TRUE(km_ends_with(".so", ".so"));
    EXPECT_FALSE(km_ends_with("so", ".so"));
    EXPECT_FALSE(km_ends_with("a.so.1", ".so"));
    EXPECT_TRUE(km_ends_with("", ""));
}

// "did you mean" is worth its line only when it is what was meant, and says nothing otherwise.
TEST(Nearest, SlipsOfTheKeyboard)
{
    static const char *const keys[] = { "backend",     "depends",           "src",
                                        "include",     "cxx-flags",         "cuda-flags",
                                        "cuda-minver", "cuda-capabilities", nullptr };
    const struct {
        const char *word, *meant;
    } cases[] = {
        { "cuda-capabilites", "cuda-capabilities" }, /* a letter left out */
        { "cuda_capabilities", "cuda-capabilities" },
        { "bakcend", "backend" }, /* two swapped */
        { "backends", "backend" },
        { "scr", "src" },
        { "srcs", "src" },
        { "sources", nullptr }, /* rather nothing than something else */
        { "includes", "include" },
        { "inlcude", "include" },
        { "cxxflags", "cxx-flags" },
        { "cuda-flag", "cuda-flags" },
        { "dependencies", "depends" },
        { "backend", "backend" },
        { "std", nullptr },
        { "x", nullptr },
        { "", nullptr },
        { "optimise", nullptr },
        { "zzzzzzzzzz", nullptr },
    };

    for (const auto &c : cases) {
        const char *found = km_nearest(c.word, keys);
        EXPECT_STREQ(found ? found : "(nothing)", c.meant ? c.meant : "(nothing)") << c.word;
    }
}

// Names from a file may have any length: the table of distances has 64 columns.
TEST(Nearest, LongWordsAreLeftAlone)
{
    const std::string longest(64, 'a'), longer(65, 'a'), huge(100000, 'a');
    const char *const keys[] = { huge.c_str(), longer.c_str(), longest.c_str(), nullptr };
    static const char *const none[] = { nullptr };

    EXPECT_EQ(km_nearest(longest.c_str(), keys), longest.c_str());
    EXPECT_EQ(km_nearest(longer.c_str(), keys), nullptr);
    EXPECT_EQ(km_nearest(huge.c_str(), keys), nullptr);
    EXPECT_EQ(km_nearest("a", none), nullptr);
}

// With two equally near, the first of the table: the answer must not depend on anything else.
TEST(Nearest, FirstOfEquals)
{
    static const char *const names[] = { "cpu", "tpu", "xpu", nullptr };

    EXPECT_STREQ(km_nearest("gpu", names), "cpu");
    EXPECT_STREQ(km_nearest("tpu", names), "tpu");
}

} // namespace
