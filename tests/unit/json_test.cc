#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

extern "C" {
#include "formats/json.h"
}

namespace
{

struct Doc {
    km_err err = KM_ERR_INIT;
    json_t *json = nullptr;
    int rc;

    explicit Doc(const std::string &text)
    {
        std::unique_ptr<char[]> exact(new char[text.size()]); // no terminator to lean on
        memcpy(exact.get(), text.data(), text.size());
        rc = km_json_parse(exact.get(), text.size(), "t.json", &json, &err);
    }
    Doc(const Doc &) = delete;
    Doc &operator=(const Doc &) = delete;
    ~Doc()
    {
        json_decref(json);
    }
};

std::string slurp(const std::string &path)
{
    std::ifstream in(path);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

} // namespace

// Input that two readers would read differently, or an error without a place.
TEST(Json, SaysWhatIsWrongAndWhere)
{
    const struct {
        std::string text;
        const char *place, *message;
    } cases[] = {
        { "", "t.json:1:1", "'[' or '{' expected near end of file" },
        { "1", "t.json:1:1", "'[' or '{' expected near '1'" },
        { "{\"a\": 1,\n \"a\": 2}", "t.json:2:4", "duplicate object key near '\"a\"'" },
        { "{\"a\": \"x\\u0000y\"}", "t.json:1:16", "\\u0000 is not allowed" },
        { "{} x", "t.json:1:4", "end of file expected near 'x'" },
        { "[1,]", "t.json:1:4", "unexpected token near ']'" },
        { "[\"\xC0\x80\"]", "t.json:1:2", "unable to decode byte 0xc0" },
        { "[9223372036854775808]", "t.json:1:20", "too big integer" },
        { "{\n\n\"a\" 1}", "t.json:3:5", "':' expected near '1'" },
    };

    for (const auto &c : cases) {
        Doc d(c.text);
        EXPECT_EQ(d.rc, KM_EFORMAT) << c.text;
        EXPECT_EQ(d.json, nullptr);
        EXPECT_STREQ(d.err.place, c.place) << c.text << "\n" << d.err.message;
        EXPECT_NE(std::string(d.err.message).find(c.message), std::string::npos) << d.err.message;
    }
}

// An answer of a server that broke off is an error, never a crash and never half an answer.
TEST(Json, CutAtEveryByte)
{
    const std::string whole =
        "{\"a\": [1, -2.5e3, true, null], \"\xC3\xBC\": {\"b\": \"\\u00e9\\n\"}}";

    ASSERT_EQ(Doc(whole).rc, 0);
    for (size_t n = 0; n < whole.size(); n++) {
        Doc d(whole.substr(0, n));
        EXPECT_EQ(d.rc, KM_EFORMAT) << n;
        EXPECT_EQ(d.json, nullptr) << n;
        EXPECT_EQ(std::string(d.err.place).rfind("t.json:1:", 0), 0u) << d.err.place;
    }
}

// Broken or hostile input that costs the stack or the memory instead of a message.
TEST(Json, LimitsHold)
{
    Doc deep(std::string(1000000, '['));
    EXPECT_EQ(deep.rc, KM_ELIMIT) << deep.err.message;
    Doc big(std::string(KM_JSON_BYTES_MAX + 1, ' '));
    EXPECT_EQ(big.rc, KM_ELIMIT);
    EXPECT_STREQ(big.err.message, "67108865 bytes of JSON; the limit is 67108864");
}

// A wrong type that is taken for a value, or a required key whose absence goes unseen.
TEST(Json, TypedMembers)
{
    Doc d("{\"t\": \"x\", \"i\": -5, \"o\": {\"k\": 1}, \"a\": [1], \"n\": null, \"r\": 1.5, "
          "\"b\": true}");
    const char *text = "kept";
    json_t *o = nullptr, *a = nullptr;
    int64_t i = 7;
    km_err err = KM_ERR_INIT;

    ASSERT_EQ(d.rc, 0);
    EXPECT_EQ(km_json_text_optional(d.json, "missing", &text, "f", &err), 0);
    EXPECT_EQ(km_json_text_optional(d.json, "n", &text, "f", &err), 0);
    EXPECT_STREQ(text, "kept");
    EXPECT_EQ(km_json_int_optional(d.json, "missing", &i, "f", &err), 0);
    EXPECT_EQ(i, 7);
    EXPECT_EQ(km_json_object_optional(d.json, "missing", &o, "f", &err), 0);
    EXPECT_EQ(km_json_array_optional(d.json, "missing", &a, "f", &err), 0);
    EXPECT_TRUE(!o && !a);

    EXPECT_EQ(km_json_text(d.json, "t", &text, "f", &err), 0);
    EXPECT_STREQ(text, "x");
    EXPECT_EQ(km_json_int(d.json, "i", &i, "f", &err), 0);
    EXPECT_EQ(i, -5);
    EXPECT_EQ(km_json_object(d.json, "o", &o, "f", &err), 0);
    EXPECT_EQ(km_json_array(d.json, "a", &a, "f", &err), 0);
    EXPECT_EQ(json_array_size(a), 1u);

    EXPECT_EQ(km_json_text(d.json, "missing", &text, "dir/f", &err), KM_EFORMAT);
    EXPECT_STREQ(err.place, "dir/f");
    EXPECT_STREQ(err.message, "key 'missing' is missing; expected a string");
    EXPECT_EQ(km_json_text(d.json, "n", &text, "f", &err), KM_EFORMAT);
    EXPECT_STREQ(err.message, "key 'n' is null; expected a string");
    EXPECT_EQ(km_json_int(d.json, "r", &i, "f", &err), KM_EFORMAT);
    EXPECT_STREQ(err.message, "key 'r' is a real number; expected an integer");
    EXPECT_EQ(km_json_int_optional(d.json, "b", &i, "f", &err), KM_EFORMAT);
    EXPECT_STREQ(err.message, "key 'b' is a boolean; expected an integer");
    EXPECT_EQ(km_json_object(d.json, "a", &o, "f", &err), KM_EFORMAT);
    EXPECT_STREQ(err.message, "key 'a' is an array; expected an object");
    EXPECT_EQ(km_json_array_optional(d.json, "o", &a, "f", &err), KM_EFORMAT);
    EXPECT_STREQ(err.message, "key 'o' is an object; expected an array");
    EXPECT_EQ(km_json_int(a, "k", &i, "f", &err), KM_EFORMAT);
    EXPECT_STREQ(err.message, "found an array; expected an object with key 'k'");
    EXPECT_EQ(km_json_int_optional(nullptr, "k", &i, "f", nullptr), KM_EFORMAT);
    EXPECT_EQ(i, -5);
}

// Files that differ from run to run, so that build tools and people see changes where none are.
TEST(Json, WritesTheSameBytesAndLeavesThemAlone)
{
    const std::string path = testing::TempDir() + "json_test.json";
    const char *expected = "{\n  \"z\": 1,\n  \"a\": [\n    \"\xC3\xBC\"\n  ],\n  \"e\": {}\n}\n";
    km_err err = KM_ERR_INIT;
    json_t *json = json_pack("{sis[s]s{}}", "z", 1, "a", "\xC3\xBC", "e"), *again;
    struct stat before, after;

    remove(path.c_str());
    ASSERT_EQ(km_json_write(path.c_str(), json, &err), 0) << err.message;
    EXPECT_EQ(slurp(path), expected);
    ASSERT_EQ(stat(path.c_str(), &before), 0);
    ASSERT_EQ(km_json_write(path.c_str(), json, &err), 0) << err.message;
    ASSERT_EQ(stat(path.c_str(), &after), 0);
    EXPECT_EQ(before.st_ino, after.st_ino);
    ASSERT_EQ(km_json_read(path.c_str(), &again, &err), 0) << err.message;
    EXPECT_TRUE(json_equal(json, again));
    json_decref(again);
    json_decref(json);
    remove(path.c_str());
}

// Half a file, or a silent nothing, where something could not be written or read.
TEST(Json, FilesThatFail)
{
    const std::string path = testing::TempDir() + "json_test_fails.json";
    km_err err = KM_ERR_INIT;
    json_t *json = json_integer(1), *again;

    remove(path.c_str());
    EXPECT_EQ(km_json_write(path.c_str(), json, &err), KM_EBUG); // no document of its own
    EXPECT_EQ(km_json_read(path.c_str(), &again, &err), KM_ENOENT);
    EXPECT_EQ(again, nullptr);
    json_decref(json);
    json = json_object();
    EXPECT_EQ(km_json_write((testing::TempDir() + "no/such/dir.json").c_str(), json, &err),
              KM_ENOENT);
    json_decref(json);
    std::ofstream(path) << "{\n  \"a\": tru }";
    EXPECT_EQ(km_json_read(path.c_str(), &again, &err), KM_EFORMAT);
    EXPECT_EQ(err.place, path + ":2:10");
    remove(path.c_str());
}
