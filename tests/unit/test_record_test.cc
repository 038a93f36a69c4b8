#include "scratch.h"

#include <string>

extern "C" {
#include "core/hash.h"
#include "pkg/test_record.h"
}

namespace
{

const std::string nobody = "0000000000000000000000000000000000000000000000000000000000000000";

/* A package of one library and one Python file, and records about it. */
class TestRecord : public testing::Test
{
  protected:
    void SetUp() override
    {
        folder.put("package/lib.so", "machine code");
        folder.put("package/__init__.py", "import torch\n");
        folder.put("package/metadata.json", "{}");
        digest();
    }
    void TearDown() override
    {
        km_test_runs_release(&runs);
        km_arena_release(&arena);
    }
    void digest()
    {
        ASSERT_EQ(km_package_digest_read(&arena, (folder / "package").c_str(), &package, &err), 0)
            << err.message;
    }
    std::string run(const std::string &more, const std::string &sha256 = "",
                    const std::string &library = "") const
    {
        return "{\"target\": \"wheel\", \"cpu\": \"c\", \"torch\": \"2.13\", \"package_sha256\": "
               "\"" +
               (sha256.empty() ? package.sha256 : sha256) + "\", \"libraries\": {\"lib.so\": \"" +
               (library.empty() ? package.libraries[0].sha256 : library) + "\"}, " + more + "}";
    }
    static std::string came(int passed, int failed, bool whole, const std::string &date)
    {
        return "\"passed\": " + std::to_string(passed) + ", \"failed\": " + std::to_string(failed) +
               ", \"whole\": " + (whole ? "true" : "false") + ", \"date\": \"" + date + "\"";
    }
    int read(const std::string &path)
    {
        return km_test_runs_read(&runs, path.c_str(), &err);
    }
    km_tested ask(const km_test_run **which = nullptr)
    {
        return km_test_runs_ask(&runs, &package, which);
    }

    Scratch folder;
    km_arena arena = KM_ARENA_INIT;
    km_package_digest package = {};
    km_test_runs runs = KM_TEST_RUNS_INIT;
    km_err err = KM_ERR_INIT;
};

// The digest is what the plugin of pytest also computes: by the formula of the header, nothing
// else.
TEST_F(TestRecord, DigestIsTheFormula)
{
    km_sha256 python, library, all;
    char hex[KM_SHA256_HEX_BYTES];
    std::string text = std::string("__init__.py") + '\0';

    km_hash_bytes("import torch\n", 13, &python, nullptr);
    km_hash_bytes("machine code", 12, &library, nullptr);
    text.append(reinterpret_cast<char *>(python.bytes), sizeof python.bytes);
    text += std::string("lib.so") + '\0';
    text.append(reinterpret_cast<char *>(library.bytes), sizeof library.bytes);
    km_hash_bytes(text.data(), text.size(), &all, nullptr);
    km_hash_hex(&all, hex);
    EXPECT_STREQ(package.sha256, hex);
    ASSERT_EQ(package.library_count, 1u);
    EXPECT_STREQ(package.libraries[0].name, "lib.so");
}

// What Python and the Hub's tools add is no part of the package; a byte of anything else is.
TEST_F(TestRecord, DigestIsOfWhatIsShipped)
{
    std::string before = package.sha256;

    folder.put("package/metadata.json", "{\"id\": 1}");
    folder.put("package/__pycache__/x.cpython-311.pyc", "x");
    digest();
    EXPECT_EQ(before, package.sha256);
    folder.put("package/__init__.py", "import torch \n");
    digest();
    EXPECT_NE(before, package.sha256);
}

TEST_F(TestRecord, NothingIsKnown)
{
    const km_test_run *which = &runs.items[0];

    EXPECT_EQ(ask(&which), KM_TESTED_NOT);
    EXPECT_EQ(which, nullptr);
    EXPECT_EQ(km_test_runs_read_build(&runs, (folder / "nowhere").c_str(), &err), 0);
    EXPECT_EQ(read(folder / "nowhere"), KM_ENOENT);
}

// A run of the same library with other Python, or of the same Python and another library, or that
// loaded no library, is none of these files.
TEST_F(TestRecord, OnlyTheseVeryFiles)
{
    std::string passed = came(5, 0, true, "2026");

    ASSERT_EQ(read(folder.put("a.json", run(passed, nobody))), 0);
    ASSERT_EQ(read(folder.put("b.json", run(passed, "", nobody))), 0);
    ASSERT_EQ(read(folder.put("c.json", "{\"package_sha256\": \"" + std::string(package.sha256) +
                                            "\", \"libraries\": {}, " + passed + "}")),
              0);
    EXPECT_EQ(runs.count, 3u);
    EXPECT_EQ(ask(), KM_TESTED_NOT);
    ASSERT_EQ(read(folder.put("d.json", run(passed))), 0);
    EXPECT_EQ(ask(), KM_TESTED_PASSED);
}

// A part of the tests, and a run in which every case was skipped, are no pass.
TEST_F(TestRecord, APartIsNoPass)
{
    ASSERT_EQ(read(folder.put("a.json", run(came(0, 0, true, "2026")))), 0);
    EXPECT_EQ(ask(), KM_TESTED_NOT);
    ASSERT_EQ(read(folder.put("b.json", run(came(3, 0, false, "2026")))), 0);
    EXPECT_EQ(ask(), KM_TESTED_PART);
    ASSERT_EQ(read(folder.put("c.json", run("\"passed\": 3, \"failed\": 0"))), 0);
    EXPECT_EQ(ask(), KM_TESTED_PART);
}

// Who passes on one machine cannot hide that another failed; the same machine can, later.
TEST_F(TestRecord, AFailureIsNotOutvoted)
{
    const km_test_run *which;

    ASSERT_EQ(read(folder.put("a.json", run(came(9, 1, false, "2026-01-02")))), 0);
    ASSERT_EQ(read(folder.put("b.json",
                              run(came(9, 0, true, "2026-01-03") + ", \"gpu\": \"NVIDIA H100\""))),
              0);
    ASSERT_EQ(read(folder.put("c.json", run(came(9, 0, true, "2026-01-01")))), 0);
    EXPECT_EQ(ask(&which), KM_TESTED_FAILED);
    EXPECT_EQ(which->record, folder / "a.json");
    ASSERT_EQ(read(folder.put("d.json", run(came(9, 0, false, "2026-01-04")))), 0);
    EXPECT_EQ(ask(), KM_TESTED_FAILED);
    ASSERT_EQ(read(folder.put("e.json", run(came(9, 0, true, "2026-01-05")))), 0);
    EXPECT_EQ(ask(&which), KM_TESTED_PASSED);
    EXPECT_EQ(which->record, folder / "e.json");
}

// All three forms are read, with the environment of the document for what a run does not say.
TEST_F(TestRecord, Forms)
{
    std::string one = "{\"passed\": 1, \"failed\": 0}";

    ASSERT_EQ(
        read(folder.put("runs.json", "{\"environment\": {\"date\": \"2026\", \"cpu\": \"c\"}, "
                                     "\"runs\": [" +
                                         one + ", " + one + "]}")),
        0);
    ASSERT_EQ(runs.count, 2u);
    EXPECT_STREQ(runs.items[1].date, "2026");
    EXPECT_STREQ(runs.items[1].cpu, "c");
    EXPECT_STREQ(runs.items[1].gpu, "");
    ASSERT_EQ(read(folder.put("parts.json", "{\"parts\": {\"hub\": " + one +
                                                ", \"memcheck\": \"ERROR SUMMARY: 0 errors\"}}")),
              0);
    EXPECT_EQ(runs.count, 3u);
}

// What is named must be a record; what lies in a folder need not be, and costs no other file.
TEST_F(TestRecord, WhatIsNoRecord)
{
    for (const char *text : { "{}", "[]", "{\"runs\": 3}", "{\"runs\": [{\"passed\": true}]}",
                              "{\"passed\": -1, \"failed\": 0}", "{\"passed\": 1" }) {
        std::string path = folder.put("records/bad.json", text);
        EXPECT_EQ(read(path), KM_EFORMAT) << text;
        EXPECT_NE((std::string(err.place) + err.message).find("bad.json"), std::string::npos);
        EXPECT_EQ(runs.count, 0u);
    }
    folder.put("records/good.json", run(came(1, 0, true, "2026")));
    folder.put("records/other.txt", "text");
    ASSERT_EQ(read(folder / "records"), 0) << err.message;
    EXPECT_EQ(runs.count, 1u);
    EXPECT_EQ(ask(), KM_TESTED_PASSED);
}

} // namespace
