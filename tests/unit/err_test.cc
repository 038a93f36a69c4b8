#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <string>

extern "C" {
#include "core/err.h"
}

// Callers write `return km_fail(...)`: the code must come back, with and without a km_err.
TEST(Err, ReturnsItsCode)
{
    km_err err = KM_ERR_INIT;

    EXPECT_EQ(km_fail(&err, KM_ELIMIT, "%d is too many", 7), KM_ELIMIT);
    EXPECT_EQ(err.code, KM_ELIMIT);
    EXPECT_STREQ(err.message, "7 is too many");
    EXPECT_EQ(km_fail(nullptr, KM_EIO, "x"), KM_EIO);
    EXPECT_EQ(km_fail_at(nullptr, KM_EFORMAT, "f", 1, 2, "x"), KM_EFORMAT);
    EXPECT_EQ(km_fail_errno(nullptr, ENOENT, "x"), KM_ENOENT);
    EXPECT_EQ(km_fail_errno(nullptr, EACCES, "x"), KM_EIO);
    EXPECT_EQ(km_fail_nomem(nullptr), KM_ENOMEM);
    EXPECT_LT(km_hint(nullptr, "x"), 0);
}

// An editor jumps to file:line:column; a place with a 0 in it would send it nowhere.
TEST(Err, PlaceLeavesOutWhatIsNotKnown)
{
    km_err err = KM_ERR_INIT;

    km_fail_at(&err, KM_EFORMAT, "a/build.toml", 14, 3, "x");
    EXPECT_STREQ(err.place, "a/build.toml:14:3");
    km_fail_at(&err, KM_EFORMAT, "a/build.toml", 14, 0, "x");
    EXPECT_STREQ(err.place, "a/build.toml:14");
    km_fail_at(&err, KM_EFORMAT, "a/build.toml", 0, 3, "x");
    EXPECT_STREQ(err.place, "a/build.toml");
}

// A second failure in the same km_err must not carry the place and the advice of the first.
TEST(Err, ForgetsTheLastError)
{
    km_err err = KM_ERR_INIT;

    km_fail_at(&err, KM_EFORMAT, "build.toml", 1, 1, "first");
    EXPECT_EQ(km_hint(&err, "did you mean '%s'?", "x"), KM_EFORMAT);
    EXPECT_STREQ(err.hint, "did you mean 'x'?");
    km_fail(&err, KM_EIO, "second");
    EXPECT_STREQ(err.place, "");
    EXPECT_STREQ(err.hint, "");
    EXPECT_STREQ(err.message, "second");
}

// "unable to open 'x'" without the reason leaves the user guessing.
TEST(Err, ErrnoSaysWhy)
{
    km_err err = KM_ERR_INIT;

    EXPECT_EQ(km_fail_errno(&err, ENOTDIR, "unable to open '%s'", "x"), KM_ENOENT);
    EXPECT_STREQ(err.message, "unable to open 'x': Not a directory");
    EXPECT_EQ(km_fail_errno(&err, ENOSPC, "unable to write '%s'", "x"), KM_EIO);
    EXPECT_STREQ(err.message, "unable to write 'x': No space left on device");
}

// A message longer than its buffer is cut, and nothing behind the buffer is touched.
TEST(Err, LongTextsAreCut)
{
    const std::string text(10000, 'x');
    km_err err = KM_ERR_INIT;

    km_fail_at(&err, KM_EFORMAT, text.c_str(), 1, 1, "%s", text.c_str());
    km_hint(&err, "%s", text.c_str());
    EXPECT_EQ(strlen(err.place), sizeof err.place - 1);
    EXPECT_EQ(strlen(err.message), sizeof err.message - 1);
    EXPECT_EQ(strlen(err.hint), sizeof err.hint - 1);
    km_fail_errno(&err, EIO, "%s", text.c_str());
    EXPECT_EQ(strlen(err.message), sizeof err.message - 1);
}

// A name from a stranger's file, printed as it is, could move the cursor or recolour the terminal;
// and what is not UTF-8 cannot be put into the JSON of --json.
TEST(Err, TextsAreSafeToPrint)
{
    const struct {
        const char *given, *shown;
    } cases[] = {
        { "a\x1b[31mb", "a?[31mb" },
        { "a\xe2\x80\xae"
          "b\xc2\x9b"
          "1m",
          "a???b??1m" },
        { "tab\tand\nnewline", "tab\tand\nnewline" },
        { "\r\b\x7f", "???" },
        { "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
          "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
        { "\xc2\x9b"
          "31m",
          "??31m" }, /* the one-byte CSI of some terminals */
        { "x\xff\xfey", "x??y" },
        { "\xc3", "?" },
        { "\xe2\x82", "??" },
        { "\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80", "?? ??? ????" },
    };

    for (const auto &c : cases) {
        km_err err = KM_ERR_INIT;
        km_fail_at(&err, KM_EFORMAT, c.given, 0, 0, "%s", c.given);
        km_hint(&err, "%s", c.given);
        EXPECT_STREQ(err.message, c.shown);
        EXPECT_STREQ(err.place, c.shown);
        EXPECT_STREQ(err.hint, c.shown);
        km_fail_errno(&err, EIO, "%s", c.given);
        EXPECT_EQ(std::string(err.message), std::string(c.shown) + ": Input/output error");
    }
}

// A message cut in the middle of a character is not UTF-8 any more, and would be lost as JSON.
TEST(Err, CutBetweenCharacters)
{
    km_err err = KM_ERR_INIT;
    std::string text;

    while (text.size() < 4096)
        text += "\xe2\x82\xac"; /* 2047 is no multiple of 3 */
    km_fail(&err, KM_EFORMAT, "%s", text.c_str());
    EXPECT_EQ(std::string(err.message).find_last_not_of('?'), 2045u);
}
