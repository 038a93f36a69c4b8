#include <gtest/gtest.h>

#include <cmath>
#include <string>

extern "C" {
#include "formats/toml_write.h"
}

namespace
{

/* What a document of one key reads as. */
const km_toml *read(km_arena *a, const std::string &text)
{
    km_toml *document = nullptr;
    km_err err = KM_ERR_INIT;

    EXPECT_EQ(km_toml_parse(a, text.data(), text.size(), "t", &document, &err), 0)
        << text << ": " << err.message;
    return document && document->table.count ? document->table.entries[0].value : nullptr;
}

// Whatever a text or a key holds, it reads back as it was.
TEST(TomlWrite, TextsAndKeys)
{
    for (const char *text : { "", "x", "it's", "\"q\"", "a\\b", "it's \"q\" \\", "a\nb\t\x7f\x01",
                              "{\"uuid\":\"a\"}", "\xc3\xa9", "a.b c" }) {
        km_arena a = KM_ARENA_INIT;
        km_str s = KM_STR_INIT;
        km_toml_add_key(&s, text);
        km_str_add(&s, " = ");
        km_toml_add_text(&s, text);
        const km_toml *value = read(&a, s.data);
        ASSERT_TRUE(value && value->kind == KM_TOML_STRING) << s.data;
        EXPECT_STREQ(value->string.data, text);
        EXPECT_NE(km_toml_get(read(&a, std::string("d.") + s.data), text), nullptr);
        km_str_release(&s);
        km_arena_release(&a);
    }
}

// A float stays one, and the same.
TEST(TomlWrite, Reals)
{
    for (double real :
         { 0.0, 1.0, -2.0, 1e-6, 0.1, 1.0 / 3, 1e300, 5e-324, 123456789.0, HUGE_VAL }) {
        km_arena a = KM_ARENA_INIT;
        km_str s = KM_STR_INIT;
        km_str_add(&s, "x = ");
        km_toml_add_real(&s, real);
        const km_toml *value = read(&a, s.data);
        ASSERT_TRUE(value && value->kind == KM_TOML_FLOAT) << s.data;
        EXPECT_EQ(value->real, real) << s.data;
        km_str_release(&s);
        km_arena_release(&a);
    }
}

// A value is written as it was read.
TEST(TomlWrite, Values)
{
    const std::string text =
        "x = ['a\"b', 1, 2.5, true, [1979-05-27], { y = -3, \"a b\" = [] }, {}]";
    km_arena a = KM_ARENA_INIT;
    km_str s = KM_STR_INIT;

    km_str_add(&s, "x = ");
    km_toml_add_value(&s, read(&a, text));
    EXPECT_EQ(s.data, text);
    km_str_release(&s);
    km_arena_release(&a);
}

} // namespace
