#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

extern "C" {
#include "formats/toml.h"
}

namespace
{

// A parsed document. The text is a heap block of exactly its size and is freed before anybody looks
// at the tree, so that a sanitizer sees a read beyond it and a tree that borrows from it.
struct Doc {
    km_arena arena = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_toml *root = nullptr;
    int rc;

    explicit Doc(const std::string &text)
    {
        std::unique_ptr<char[]> exact(new char[text.size()]);
        memcpy(exact.get(), text.data(), text.size());
        rc = km_toml_parse(&arena, exact.get(), text.size(), "t.toml", &root, &err);
    }
    Doc(const Doc &) = delete;
    Doc &operator=(const Doc &) = delete;
    ~Doc()
    {
        km_arena_release(&arena);
    }
    const km_toml *get(const char *key) const
    {
        return km_toml_get(root, key);
    }
    std::string place() const
    {
        return err.place;
    }
    std::string message() const
    {
        return err.message;
    }
};

std::string text_of(const km_toml *v)
{
    return v ? std::string(v->string.data, v->string.length) : "(missing)";
}

std::string repeat(const std::string &piece, size_t times)
{
    std::string all;
    for (size_t i = 0; i < times; i++)
        all += piece;
    return all;
}

std::string place_of(const km_toml *v)
{
    return std::to_string(v->line) + ":" + std::to_string(v->column);
}

// Every feature once; the cut test walks through it byte by byte.
const char kSample[] = R"(# a comment: ü
title = "TOML \u00e9\n\"x\"" # behind
'lit key'."quoted\tkey".bare = 'C:\new'
multi = """
first \
   second "" ""\u0041"""""
raw = '''
it''s
raw''''
int = [ +1_000, -0, 0xDEAD_beef, 0o17, 0b1_0, # comment
  9223372036854775807, -9223372036854775808, ]
float = [1.5, -2e3, 6.626e-34, +inf, -nan, 1_0.0_1E+0_2]
bool = { yes = true, no.no = false, empty = {} }
when = [1979-05-27T07:32:00Z, 1979-05-27 00:32:00.999-07:00, 1979-05-27T07:32:00, 1979-05-27, 07:32:00.5]

[server.alpha]
ip.v4 = "10.0.0.1"
[server]
[[rack]]
slot = 1
[[rack.unit]]
[rack.unit.part]
[[rack]]
)";

} // namespace

// A value that is read as another value than the file says.
TEST(Toml, ReadsEveryKindOfValue)
{
    Doc d(kSample);
    ASSERT_EQ(d.rc, 0) << d.message() << " at " << d.place();
    EXPECT_EQ(text_of(d.get("title")), "TOML \u00e9\n\"x\"");
    EXPECT_EQ(text_of(d.get("multi")), "first second \"\" \"\"A\"\"");
    EXPECT_EQ(text_of(d.get("raw")), "it''s\nraw'");
    const km_toml *lit = km_toml_get(d.get("lit key"), "quoted\tkey");
    EXPECT_EQ(text_of(km_toml_get(lit, "bare")), "C:\\new");

    const int64_t ints[] = { 1000, 0, 0xDEADBEEF, 15, 2, INT64_MAX, INT64_MIN };
    const km_toml *v = d.get("int");
    ASSERT_EQ(v->array.count, std::size(ints));
    EXPECT_FALSE(v->array.of_tables);
    for (size_t i = 0; i < std::size(ints); i++) {
        EXPECT_EQ(v->array.items[i]->kind, KM_TOML_INT);
        EXPECT_EQ(v->array.items[i]->integer, ints[i]);
    }
    v = d.get("float");
    ASSERT_EQ(v->array.count, 6u);
    EXPECT_EQ(v->array.items[0]->real, 1.5);
    EXPECT_EQ(v->array.items[1]->real, -2000.0);
    EXPECT_EQ(v->array.items[2]->real, 6.626e-34);
    EXPECT_EQ(v->array.items[3]->real, INFINITY);
    EXPECT_TRUE(std::isnan(v->array.items[4]->real) && std::signbit(v->array.items[4]->real));
    EXPECT_EQ(v->array.items[5]->real, 1001.0);
    EXPECT_TRUE(km_toml_get(d.get("bool"), "yes")->boolean);
    EXPECT_FALSE(km_toml_get(km_toml_get(d.get("bool"), "no"), "no")->boolean);
    EXPECT_EQ(km_toml_get(d.get("bool"), "empty")->table.count, 0u);
    v = d.get("when");
    ASSERT_EQ(v->array.count, 5u);
    EXPECT_EQ(v->array.items[1]->kind, KM_TOML_DATETIME);
    EXPECT_EQ(text_of(v->array.items[1]), "1979-05-27 00:32:00.999-07:00");
    EXPECT_EQ(text_of(v->array.items[4]), "07:32:00.5");
    v = d.get("rack");
    ASSERT_EQ(v->array.count, 2u);
    EXPECT_TRUE(v->array.of_tables);
    EXPECT_EQ(km_toml_get(v->array.items[0], "slot")->integer, 1);
    EXPECT_EQ(km_toml_get(v->array.items[0], "unit")->array.count, 1u);
    EXPECT_EQ(v->array.items[1]->table.count, 0u);
}

// A string that ends a quote too early or too late, or whose escapes and line ends mean another
// text.
TEST(Toml, ReadsStringsExactly)
{
    const struct {
        const char *text, *value;
    } cases[] = {
        { R"("")", "" },
        { R"("\b\t\n\f\r\"\\\u00E9\uD7FF\uE000\U0010FFFF")",
          "\b\t\n\f\r\"\\\xC3\xA9\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF" },
        { R"('\u00E9 "')", R"(\u00E9 ")" },
        { R"("""a""")", "a" },
        { R"(""""a""")", "\"a" },
        { R"("""a"""")", "a\"" },
        { R"("""""a""""")", "\"\"a\"\"" },
        { R"("""a""\"""")", "a\"\"\"" },
        { "''''''", "" },
        { "'''''a'b''c'''''", "''a'b''c''" },
        { "\"\"\"\n\na\n\"\"\"", "\na\n" },
        { "\"\"\"\r\n\r\na\r\n\"\"\"", "\na\n" },
        { "'''\r\n\r\na\\\r\n'''", "\na\\\n" },
        { "\"\"\"a \\ \t\r\n\n \t\n  b\\\n\"\"\"", "a b" },
        { "\"\"\"\\\n\"\"\"", "" },
    };

    for (const auto &c : cases) {
        Doc d(std::string("a = ") + c.text);
        ASSERT_EQ(d.rc, 0) << c.text << "\n" << d.message();
        EXPECT_EQ(text_of(d.get("a")), c.value) << c.text;
    }
}

// The place in "build.toml:14:1: unknown key": an error that points elsewhere sends people astray.
TEST(Toml, KnowsWhereKeysAndValuesStand)
{
    Doc d("\n  a = 1\r\n\t'b' . c = [ 2,\n 'x' ]\n\xC3\xBC.x = 1\n");
    ASSERT_EQ(d.rc, -3);
    EXPECT_EQ(d.place(), "t.toml:5:1");

    Doc e(
        "\n  a = 1\r\n\t'b' . c = [ 2,\n 'x' ]\n'\xC3\xBC' = 1\n[ t . u ]\n[[r]]\nk={q=0}\n[t]\n");
    ASSERT_EQ(e.rc, 0) << e.message();
    EXPECT_EQ(place_of(e.root), "1:1");
    EXPECT_EQ(place_of(e.get("a")), "2:7");
    const km_toml_entry *entries = e.root->table.entries;
    const char *keys[] = { "a", "b", "\xC3\xBC", "t", "r" };
    const unsigned lines[] = { 2, 3, 5, 6, 7 }, columns[] = { 3, 2, 1, 3, 3 };
    ASSERT_EQ(e.root->table.count, 5u);
    for (size_t i = 0; i < 5; i++) {
        EXPECT_STREQ(entries[i].key, keys[i]);
        EXPECT_EQ(entries[i].key_length, strlen(keys[i]));
        EXPECT_EQ(entries[i].key_line, lines[i]);
        EXPECT_EQ(entries[i].key_column, columns[i]);
    }
    EXPECT_EQ(place_of(e.get("b")), "3:2");
    const km_toml *c = km_toml_get(e.get("b"), "c");
    EXPECT_EQ(place_of(c), "3:12");
    EXPECT_EQ(place_of(c->array.items[0]), "3:14");
    EXPECT_EQ(place_of(c->array.items[1]), "4:2");
    EXPECT_EQ(place_of(e.get("\xC3\xBC")), "5:8"); // columns are bytes
    EXPECT_EQ(place_of(e.get("t")), "9:2");        // defined later than first mentioned
    EXPECT_EQ(place_of(km_toml_get(e.get("t"), "u")), "6:7");
    EXPECT_EQ(place_of(e.get("r")), "7:3");
    EXPECT_EQ(place_of(km_toml_get(e.get("r")->array.items[0], "k")), "8:3");
}

// A manifest cut at any byte is an error with a place or the shorter document that it is, never a
// crash and never half a tree.
TEST(Toml, CutAtEveryByte)
{
    const std::string whole = kSample;
    Doc full(whole);
    size_t accepted = 0;

    ASSERT_EQ(full.rc, 0);
    for (size_t n = 0; n < whole.size(); n++) {
        Doc d(whole.substr(0, n));
        if (d.rc == 0) {
            accepted++;
            ASSERT_LE(d.root->table.count, full.root->table.count);
            for (size_t i = 0; i < d.root->table.count; i++)
                EXPECT_STREQ(d.root->table.entries[i].key, full.root->table.entries[i].key);
        } else {
            EXPECT_EQ(d.rc, KM_EFORMAT) << n;
            EXPECT_EQ(d.root, nullptr);
            EXPECT_EQ(d.place().rfind("t.toml:", 0), 0u) << n;
            EXPECT_NE(d.message(), "");
        }
    }
    EXPECT_GT(accepted, 20u); // at least after each line
}

// A wrong document that is taken for a right one, or an error that does not say what is wrong.
TEST(Toml, SaysWhatIsWrongAndWhere)
{
    const struct {
        const char *text, *place, *message;
    } cases[] = {
        // lines
        { "a = 1 b = 2", "1:7", "found 'b' behind the value; expected the end of the line" },
        { "[a] b = 1", "1:5", "found 'b' behind the header; expected the end of the line" },
        { "= 1", "1:1", "found '='; expected a key" },
        { "a.\n= 1", "1:3", "found the end of the line; expected a key after the dot" },
        { "a\n", "1:2", "found the end of the line after key 'a'; expected '='" },
        { "a b = 1", "1:3", "found 'b' after key 'a'; expected '='" },
        { "a = # 1", "1:5", "found a comment; expected a value" },
        { "a =", "1:4", "found the end of the file; expected a value" },
        { "\xC3\xBC = 1", "1:1", "found '\xC3\xBC'; expected a key" },
        { "\"\"\"a\"\"\" = 1", "1:3", "found '\"' after key ''; expected '='" },
        // headers
        { "[a", "1:3", "found the end of the file in a table header; expected ']'" },
        { "[[a]\n", "1:5", "found the end of the line in a table header; expected ']]'" },
        { "[]", "1:2", "found ']'; expected a key" },
        { "[ [a] ]", "1:3", "found '['; expected a key" },
        { "[a]]", "1:4", "found ']' behind the header" },
        // keys and tables
        { "name = 1\n\n\n  name = 2", "4:3", "key 'name' is set twice; first at line 1" },
        { "a.b = 1\na.'b' = 2", "2:3", "key 'a.b' is set twice; first at line 1" },
        { "a = 1\na.b = 2", "2:1", "'a' is an integer (line 1): it holds no keys" },
        { "a = [1]\na.b = 2", "2:1", "'a' is an array (line 1): it holds no keys" },
        { "a = {}\na.b = 2", "2:1", "'a' is an inline table (line 1): nothing can be added" },
        { "[a.b]\n[a]\nb.c = 1", "3:1", "table 'b' has a header at line 1: a dotted key" },
        { "[[a.b]]\n[a]\nb.c = 1", "3:1", "'b' is an array of tables (line 1): a dotted key" },
        { "x = {a = {b = 1}, a.c = 2}", "1:19", "'a' is an inline table (line 1)" },
        { "x = {a = 1, a = 2}", "1:13", "key 'a' is set twice; first at line 1" },
        { "[a]\n[b]\n[a]", "3:2", "table 'a' is defined twice; first at line 1" },
        { "a.b.c = 1\n[a.b]", "2:4",
          "table 'a.b' is defined twice; first by a dotted key at line 1" },
        { "[a.b.c]\n[a]\nb.x = 1\n[a.b]", "4:4",
          "'a.b' is defined twice; first by a dotted key at line 3" },
        { "a = {}\n[a]", "2:2", "table 'a' is defined twice; first as an inline table at line 1" },
        { "a = {}\n[a.b]", "2:2", "'a' is an inline table (line 1): nothing can be added" },
        { "a = 1\n[a]", "2:2", "'a' is an integer (line 1); it cannot become a table" },
        { "a = 1\n[a.b]", "2:2", "'a' is an integer (line 1): it holds no keys" },
        { "[[a]]\n[a]", "2:2", "'a' is an array of tables (line 1); expected [[a]]" },
        { "[a]\n[[a]]", "2:3", "'a' is a table (line 1): [[...]] cannot add to it" },
        { "[a.b]\n[[a]]", "2:3", "'a' is a table (line 1): [[...]] cannot add to it" },
        { "a = []\n[[a]]", "2:3", "'a' is an array (line 1): [[...]] cannot add to it" },
        { "a = [{}]\n[a.b]", "2:2", "'a' is an array (line 1): it holds no keys" },
        { "[[a]]\n[a.b]\n[a.b]", "3:4", "table 'a.b' is defined twice; first at line 2" },
        { "\"a\\nb\" = 1\n'''", "2:3", "found ''' after key ''; expected '='" },
        { "\"a\\nb\" = 1\n\"a\\nb\" = 1", "2:1", "key 'a\\u000Ab' is set twice" },
        // arrays and inline tables
        { "a = [1 2]", "1:8", "found '2' in the array that starts at 1:5; expected ',' or ']'" },
        { "a = [1,\n\n", "3:1", "found the end of the file in the array that starts at 1:5" },
        { "a = [,]", "1:6", "found ','; expected a value" },
        { "a = {b = 1 c = 2}", "1:12",
          "found 'c' in the inline table that starts at 1:5; expected" },
        { "a = {b = 1,}", "1:12", "found '}'; expected a key" },
        { "a = {b = 1\n}", "1:11", "found the end of the line in the inline table that starts at" },
        { "a = {b = 1,\n c = 2}", "1:12", "found the end of the line; expected a key" },
        { "a = {\n}", "1:6", "found the end of the line; expected a key" },
        { "a = {b = 1 # c\n}", "1:12", "found a comment in the inline table" },
        // strings
        { "a = \"b\n", "1:5", "string is not closed; expected \" before the end of the line" },
        { "a = 'b", "1:5", "string is not closed; expected ' before the end of the line" },
        { "a = \"\"\"\n\n\"\"", "1:5",
          "string is not closed; expected \"\"\" before the end of the file" },
        { "a = '''b\n''", "1:5", "string is not closed; expected ''' before the end of the file" },
        { "a = \"\\q\"", "1:6", "unknown escape \\ and 'q'; expected one of btnfr\"\\uU" },
        { "a = \"\\", "1:5", "string is not closed" },
        { "a = \"x\\u12g4\"", "1:7", "\\u must be followed by 4 hexadecimal digits" },
        { "a = \"\\U0000004\"", "1:6", "\\U must be followed by 8 hexadecimal digits" },
        { "a = \"\\uD800\"", "1:6",
          "U+D800 is no character: it is a surrogate or beyond U+10FFFF" },
        { "a = \"\\uDFFF\"", "1:6", "U+DFFF is no character" },
        { "a = \"\\U00110000\"", "1:6", "U+110000 is no character" },
        { "a = \"\"\"b \\ c\"\"\"", "1:10", "a backslash before white space must end its line" },
        { "a = \"\"\"b\"\"\"\"\"\"", "1:14", "found '\"' behind the value" },
        // scalars
        { "a = yes", "1:5", "'yes' is no value" },
        { "a = True", "1:5", "'True' is no value" },
        { "a = +", "1:5", "'+' is not a valid number: expected a digit" },
        { "a = 01", "1:5", "'01' is not a valid number: a decimal number must not start with 0" },
        { "a = 1__0", "1:5", "an underscore must stand between two digits" },
        { "a = 1_", "1:5", "an underscore must stand between two digits" },
        { "a = 1_.0", "1:5", "an underscore must stand between two digits" },
        { "a = .5", "1:5", "'.5' is not a valid number: expected a digit" },
        { "a = 5.", "1:5", "'5.' is not a valid number: expected a digit" },
        { "a = 5e", "1:5", "'5e' is not a valid number: expected a digit" },
        { "a = 1.2.3", "1:5", "there is something behind the number" },
        { "a = 1f", "1:5", "there is something behind the number" },
        { "a = +0x1", "1:5", "a sign needs a decimal number" },
        { "a = 0x", "1:5", "expected a digit" },
        { "a = 0x1g", "1:5", "expected hexadecimal digits" },
        { "a = 0o18", "1:5", "expected digits from 0 to 7" },
        { "a = 0b12", "1:5", "expected digits 0 and 1" },
        { "a = 9223372036854775808", "1:5", "an integer must fit 64 bits" },
        { "a = -9223372036854775809", "1:5", "an integer must fit 64 bits" },
        { "a = 0xFFFFFFFFFFFFFFFF", "1:5", "an integer must fit 64 bits" },
        { "a = infinity", "1:5", "'infinity' is no value" },
        // dates and times
        { "a = 2023-02-29", "1:5",
          "'2023-02-29' is not a valid date or time: that month has no such" },
        { "a = 2023-13-01", "1:5", "expected a month from 01 to 12" },
        { "a = 2023-00-01", "1:5", "expected a month from 01 to 12" },
        { "a = 2023-01-00", "1:5", "expected a day from 01 to 31" },
        { "a = 2023-1-1", "1:5", "expected a month from 01 to 12" },
        { "a = 23-01-01", "1:5", "expected YYYY-MM-DD" },
        { "a = 2023-01-01T", "1:5", "expected an hour from 00 to 23" },
        { "a = 2023-01-01 1", "1:5", "expected an hour from 00 to 23" },
        { "a = 2023-01-01x", "1:5", "expected 'T' before the time" },
        { "a = 24:00:00", "1:5", "expected an hour from 00 to 23" },
        { "a = 12:60:00", "1:5", "expected a minute from 00 to 59" },
        { "a = 12:00", "1:5", "expected a ':' and a second from 00 to 60" },
        { "a = 12:00:61", "1:5", "expected a ':' and a second from 00 to 60" },
        { "a = 12:00:00.", "1:5", "expected a digit after the '.'" },
        { "a = 12:00:00Z", "1:5", "there is something behind the time" },
        { "a = 2023-01-01T00:00:00+24:00", "1:5", "expected an offset from 00:00 to 23:59" },
        { "a = 2023-01-01T00:00:00+1", "1:5", "expected an offset from 00:00 to 23:59" },
        // bytes
        { "\xEF\xBB\xBF"
          "a = yes",
          "1:5", "'yes' is no value" },
        { "a = 1\n\xEF\xBB\xBF"
          "b = 1",
          "2:1", "found '\?\?\?'; expected a key" },
        { "a = 1\n# \xC0\x80", "2:3", "byte 0xC0 is not UTF-8 here" },
        { "a = '\xED\xA0\x80'", "1:6", "byte 0xED is not UTF-8 here" },
        { "a = '\xF4\x90\x80\x80'", "1:6", "byte 0xF4 is not UTF-8 here" },
        { "a = '\xE2\x82'", "1:6", "byte 0xE2 is not UTF-8 here" },
        { "a = '\xF0\x9F\x98", "1:6", "byte 0xF0 is not UTF-8 here" },
        { "# \x7F", "1:3", "control character U+007F; a string may hold it as \\u007F" },
        { "a = \"\x01\"", "1:6", "control character U+0001" },
        { "a = 1\rb = 2", "1:6", "a carriage return stands without a line feed" },
        { "a = 1\n\r", "2:1", "a carriage return stands without a line feed" },
    };

    for (const auto &c : cases) {
        Doc d(c.text);
        EXPECT_EQ(d.rc, KM_EFORMAT) << c.text;
        EXPECT_EQ(d.root, nullptr) << c.text;
        EXPECT_EQ(d.place(), std::string("t.toml:") + c.place) << c.text << "\n" << d.message();
        EXPECT_NE(d.message().find(c.message), std::string::npos) << c.text << "\n" << d.message();
    }
}

// A document that TOML allows and that a stricter reader than the others would refuse.
TEST(Toml, AcceptsWhatTheRulesAllow)
{
    const char *cases[] = {
        "",
        "\n\r\n",
        "\xEF\xBB\xBF",
        "\xEF\xBB\xBF[a]",
        "# only a comment",
        "\t a\t=\t1 \t# c",
        "[a.b.c]\n[a.b]\n[a]",
        "[a.b.c]\n[a]\nb.x = 1",
        "a.b.c = 1\n[a.d]\nx = 1\n[a.b.e]",
        "[a]\nb.c = 1\nb.d.e = 2\n[a.b.f]",
        "[[a]]\n[[a.b]]\n[a.b.c]\n[[a.b]]\n[a.b.c]\n[[a]]\n[a.b]",
        "[[a.b]]\n[a]\nc = 1",
        "1.2 = 3\n- = 1\n_ = 2\n'' = 3\n\"a.b\" = 4",
        "a = [\n# c\n1\n,\n# d\n]\n",
        "a = [[], [[]], {}, [{}]]",
        "a = {b.c = 1, b.d = [\n1,\n2\n], 'e f' = \"\"\"\n\"\"\"}",
        "a = \"\"\"\\\n  \\\n  \"\"\"",
        "a = ''''''\nb = '''''''\nc = ''''''''",
        "a = \"\\U0010FFFF\\uD7FF\\uE000\\u0000\"",
        "a = '\xF4\x8F\xBF\xBF\xEF\xBF\xBF\xC2\x80'",
        "a = 0000-02-29\nb = 2000-02-29t23:59:60z\nc = 00:00:00.1234567890123",
        "a = 0e5\nb = -0.0\nc = 1e400\nd = 1e-400\ne = 0x7fff_ffff_ffff_ffff",
    };

    for (const char *text : cases) {
        Doc d(text);
        EXPECT_EQ(d.rc, 0) << text << "\n" << d.place() << ": " << d.message();
    }
}

// A check for "no text" by strlen, where the file's text goes on behind a zero.
TEST(Toml, TextsAndKeysMayHoldZeros)
{
    Doc d("a = \"x\\u0000y\"\n\"k\\u0000l\" = 1\nk = 2\n");
    ASSERT_EQ(d.rc, 0) << d.message();
    EXPECT_EQ(text_of(d.get("a")), std::string("x\0y", 3));
    EXPECT_EQ(d.root->table.entries[1].key_length, 3u);
    EXPECT_EQ(d.get("k")->integer, 2);
}

// A crash where a caller asks for a key of what is no table, or is not there at all.
TEST(Toml, GetOfWhatIsNotThere)
{
    Doc d("a = 1\n");
    EXPECT_EQ(d.get("b"), nullptr);
    EXPECT_EQ(d.get(""), nullptr);
    EXPECT_EQ(km_toml_get(d.get("a"), "b"), nullptr);
    EXPECT_EQ(km_toml_get(nullptr, "b"), nullptr);
    EXPECT_STREQ(km_toml_kind_name(KM_TOML_STRING), "string");
    EXPECT_STREQ(km_toml_kind_name(d.get("a")->kind), "integer");
    EXPECT_STREQ(km_toml_kind_name(d.root->kind), "table");
}

// Broken or hostile input that costs the stack, the memory or minutes instead of a message.
TEST(Toml, LimitsHoldAndAreReachable)
{
    const size_t depth = KM_TOML_DEPTH_MAX, parts = KM_TOML_KEY_PARTS_MAX;
    const std::string key = repeat("a.", parts - 1) + "a";
    const std::string most[] = {
        "a = " + repeat("[", depth) + repeat("]", depth),
        "a = " + repeat("{a=", depth - 1) + "1" + repeat("}", depth - 1),
        key + " = 1",
        "[" + key + "]",
        "[" + repeat("a.", parts - 4) + "a]\nb.c.d = 1",
        "[[" + repeat("a.", parts - 3) + "a]]\nb = 1",
    };
    const std::string more[] = {
        "a = " + repeat("[", depth + 1),
        "a = " + repeat("{a=", depth + 1),
        key + ".a = 1",
        "[" + key + ".a]",
        "[" + key + "]\nb = 1",
        "[[" + key + "]]",
        "[[a]]\n[" + repeat("a.", parts - 1) + "a]",
        repeat("a.", KM_TOML_BYTES_MAX / 2 - 2) + "a=1",
        "a = " + repeat("[", KM_TOML_BYTES_MAX - 4),
    };

    for (const std::string &text : most) {
        Doc d(text);
        EXPECT_EQ(d.rc, 0) << text.substr(0, 200) << "\n" << d.message();
    }
    for (const std::string &text : more) {
        Doc d(text);
        EXPECT_EQ(d.rc, KM_ELIMIT) << text.substr(0, 200) << "\n" << d.message();
        EXPECT_EQ(d.place().rfind("t.toml:", 0), 0u);
    }
}

TEST(Toml, LimitsOfSizeAndCount)
{
    Doc full("#" + repeat("x", KM_TOML_BYTES_MAX - 1));
    EXPECT_EQ(full.rc, 0) << full.message();
    Doc over("#" + repeat("x", KM_TOML_BYTES_MAX));
    EXPECT_EQ(over.rc, KM_ELIMIT);
    EXPECT_EQ(over.message(), "4194305 bytes of TOML; the limit is 4194304");

    // The document and the array are values too.
    Doc most("a=[" + repeat("1,", KM_TOML_VALUES_MAX - 2) + "]");
    EXPECT_EQ(most.rc, 0) << most.message();
    Doc more("a=[" + repeat("1,", KM_TOML_VALUES_MAX - 1) + "]");
    EXPECT_EQ(more.rc, KM_ELIMIT);
    EXPECT_NE(more.message().find("more than 1000000 values"), std::string::npos);
}

namespace
{

unsigned height(const km_toml_table *t, uint32_t top)
{
    if (!top)
        return 0;
    const km_toml_entry *e = &t->entries[top - 1];
    return 1 + std::max(height(t, e->left), height(t, e->right));
}

} // namespace

// A generated manifest with 100000 keys that takes minutes: the index must stay shallow whatever
// order the keys come in.
TEST(Toml, ManyKeysStayFast)
{
    const size_t count = 100000;

    for (int order = 0; order < 3; order++) {
        std::string text;
        for (size_t i = 0; i < count; i++) {
            size_t n = order == 0 ? i : order == 1 ? count - 1 - i : i * 7919 % count;
            std::string digits = std::to_string(1000000 + n);
            text += "k" + digits + "=" + std::to_string(n) + "\n";
        }
        Doc d(text);
        ASSERT_EQ(d.rc, 0) << d.message();
        ASSERT_EQ(d.root->table.count, count);
        EXPECT_LE(height(&d.root->table, d.root->table.top), 34u); // 2 * log2(100001)
        for (size_t i = 0; i < count; i++) {
            const km_toml_entry *e = &d.root->table.entries[i];
            ASSERT_EQ(d.get(e->key), e->value);
            ASSERT_EQ(e->key_line, i + 1);
        }
        Doc twice(text + "k1000000=1");
        EXPECT_EQ(twice.rc, KM_EFORMAT);
        EXPECT_EQ(twice.place(), "t.toml:100001:1");
    }
}

// Long or unprintable keys that spoil the terminal, or an error text that ends inside a character.
TEST(Toml, ErrorsShowKeysPrintableAndShort)
{
    const std::string key = repeat("\xC3\xBC", 500), line = "'" + key + "' = 1\n";
    Doc d(line + line);
    EXPECT_EQ(d.rc, KM_EFORMAT);
    EXPECT_LT(d.message().size(), 160u);
    EXPECT_NE(d.message().find("\xC3\xBC...'"), std::string::npos) << d.message();
    Doc dotted(repeat("'\\'.", 30) + repeat("'" + key + "'.", 30) + "a = 1\n" +
               repeat("'\\'.", 30) + repeat("'" + key + "'.", 30) + "a = 1\n");
    EXPECT_EQ(dotted.rc, KM_EFORMAT);
    EXPECT_LT(dotted.message().size(), 160u);
}

// Memory that runs out in the middle of a document: an error, and nothing else.
TEST(Toml, OutOfMemoryAtEveryAllocation)
{
    const std::string text = kSample;
    int failures = 0, rc = -1;

    for (size_t budget = 0; rc < 0; budget += 16) {
        km_arena a = KM_ARENA_INIT;
        km_err err = KM_ERR_INIT;
        km_toml *root;
        a.used_bytes = KM_ARENA_BYTES_MAX - budget;
        rc = km_toml_parse(&a, text.data(), text.size(), "t.toml", &root, &err);
        if (rc < 0) {
            ASSERT_EQ(rc, KM_ENOMEM) << err.message;
            ASSERT_EQ(root, nullptr);
            failures++;
        }
        km_arena_release(&a);
        ASSERT_LT(budget, 1u << 20);
    }
    EXPECT_GT(failures, 100);
}

// A caller that needs the code alone, and an empty text that has no address.
TEST(Toml, TakesNullForWhatMayBeNull)
{
    km_arena a = KM_ARENA_INIT;
    km_toml *root;

    EXPECT_EQ(km_toml_parse(&a, "a = yes", 7, "t.toml", &root, nullptr), KM_EFORMAT);
    EXPECT_EQ(km_toml_parse(&a, "a = {b = 1\n}", 12, "t.toml", &root, nullptr), KM_EFORMAT);
    EXPECT_EQ(km_toml_parse(&a, nullptr, 0, "t.toml", &root, nullptr), 0);
    EXPECT_EQ(root->table.count, 0u);
    km_arena_release(&a);
}

// Files: the tree must outlive the text, and errors must name the file.
TEST(Toml, ReadsFiles)
{
    const std::string path = testing::TempDir() + "toml_test.toml";
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_toml *root;

    std::ofstream(path) << "a = 'text'\n";
    ASSERT_EQ(km_toml_read(&a, path.c_str(), &root, &err), 0) << err.message;
    EXPECT_EQ(text_of(km_toml_get(root, "a")), "text");
    std::ofstream(path) << "a = text\n";
    EXPECT_EQ(km_toml_read(&a, path.c_str(), &root, &err), KM_EFORMAT);
    EXPECT_EQ(err.place, path + ":1:5");
    EXPECT_STREQ(err.hint, "put text in quotes; booleans are true and false");
    std::ofstream(path) << repeat("#", KM_TOML_BYTES_MAX + 1);
    EXPECT_EQ(km_toml_read(&a, path.c_str(), &root, &err), KM_ELIMIT);
    remove(path.c_str());
    EXPECT_EQ(km_toml_read(&a, path.c_str(), &root, &err), KM_ENOENT);
    EXPECT_EQ(root, nullptr);
    km_arena_release(&a);
}
