#include "scratch.h"

#include <string>

extern "C" {
#include "pkg/lock.h"
}

namespace
{

/* A lock of two kernels, written and read back. */
class Lock : public testing::Test
{
  protected:
    void SetUp() override
    {
        path = folder / "kernels.lock";
        add("acme/z", 10, nullptr);
        add("acme/z", 0, "main");
        add("acme/z", 2, nullptr);
        add("Acme/b", 1, nullptr);
        add("acme/a-b", 1, nullptr);
        km_lock_sort(&lock);
        ASSERT_EQ(km_lock_write(path.c_str(), &lock, &err), 0) << err.message;
    }
    void TearDown() override
    {
        km_arena_release(&a);
    }
    void add(const char *repo, int64_t version, const char *revision)
    {
        km_lock_entry *e = &entries[lock.count++];
        *e = km_lock_entry{ repo, version, revision, "", files[lock.count - 1], 2 };
        snprintf(e->commit, sizeof e->commit, "%s", commit.c_str());
        e->files[0].path = "build/v/b.py";
        e->files[1].path = "build/v/a.so";
        for (size_t i = 0; i < 2; i++) {
            e->files[i].size_bytes = i << 40;
            snprintf(e->files[i].sha256, sizeof e->files[i].sha256, "%s", digest.c_str());
        }
    }
    int read()
    {
        return km_lock_read(&a, path.c_str(), &found, &err);
    }

    const std::string digest = std::string(64, 'a'), commit = std::string(40, 'b');
    Scratch folder;
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_lock_entry entries[5] = {};
    km_lock_file files[5][2] = {};
    km_lock lock = { entries, 0 }, found = {};
    std::string path;
};

// What is written is read, in the client's order: bytewise by name, numbers by value, then
// revisions.
TEST_F(Lock, ComesBackInOrder)
{
    ASSERT_EQ(read(), 0) << err.message;
    const char *const order[] = { "Acme/b version 1", "acme/a-b version 1", "acme/z version 2",
                                  "acme/z version 10", "acme/z revision 'main'" };
    ASSERT_EQ(found.count, 5u);
    for (size_t i = 0; i < 5; i++)
        EXPECT_STREQ(km_lock_label(&a, &found.items[i]), order[i]);
    EXPECT_STREQ(found.items[0].files[0].path, "build/v/a.so");
    EXPECT_EQ(km_lock_file_find(&found.items[0], "build/v/a.so")->size_bytes, 1ull << 40);
    EXPECT_EQ(km_lock_file_find(&found.items[0], "build/v"), nullptr);
    EXPECT_STREQ(km_lock_find(&found, "acme/z", "v10")->commit, commit.c_str());
    EXPECT_EQ(km_lock_find(&found, "acme/z", nullptr)->version, 2);
    EXPECT_STREQ(km_lock_find(&found, "acme/z", "main")->revision, "main");
    EXPECT_EQ(km_lock_find(&found, "acme/z", "v3"), nullptr);
    EXPECT_EQ(km_lock_find(&found, "acme/none", nullptr), nullptr);
}

// Either file cut at any byte is an error, never a lock of fewer kernels or files.
TEST_F(Lock, CutAtEveryByte)
{
    lock.count = 1;
    ASSERT_EQ(km_lock_write(path.c_str(), &lock, &err), 0) << err.message;
    for (const char *name : { "kernels.lock", "kernels.lock.digests.json" }) {
        const std::string whole = slurp(folder / name);
        const size_t end = whole.find_last_not_of(" \n") + 1;
        for (size_t n = 0; n < end; n++) {
            folder.put(name, whole.substr(0, n));
            ASSERT_EQ(read(), KM_EFORMAT) << name << " cut at " << n;
        }
        folder.put(name, whole);
        ASSERT_EQ(read(), 0) << err.message;
    }
}

// A lock comes from a checkout, and may be anything.
TEST_F(Lock, DigestsThatAreNone)
{
    const std::string name = "kernels.lock.digests.json", whole = slurp(path + ".digests.json");
    const struct {
        const char *was, *is;
    } cases[] = {
        { "\"schema\": 1", "\"schema\": 2" },
        { "build/v/a.so", "../../etc/passwd" },
        { "build/v/a.so", "/etc/passwd" },
        { "aaaa\"", "aaa\"" },
        { "aaaa\"", "aaaA\"" },
        { "\"size\": 0", "\"size\": -1" },
        { "bbbb\"", "bbbc\"" },
        { "\"version\": 1,", "\"version\": 1, \"revision\": \"x\"," },
        { "\"files\"", "\"file\"" },
    };

    for (const auto &c : cases) {
        std::string text = whole;
        ASSERT_NE(text.find(c.was), std::string::npos) << c.was;
        text.replace(text.find(c.was), strlen(c.was), c.is);
        folder.put(name, text);
        EXPECT_EQ(read(), KM_EFORMAT) << c.is;
        EXPECT_STRNE(err.message, "");
    }
    unlink((path + ".digests.json").c_str());
    EXPECT_EQ(read(), KM_ENOENT);
    EXPECT_NE(std::string(err.hint).find("kernmill lock"), std::string::npos);
}

// Every difference is a line.
TEST_F(Lock, Compares)
{
    km_str lines = KM_STR_INIT;

    ASSERT_EQ(read(), 0);
    EXPECT_EQ(km_lock_compare(&lines, &found, &lock, &err), 0);
    EXPECT_STREQ(lines.data, "");
    found.items[0].files[0].sha256[0] = '0';
    found.items[1].commit[0] = '0';
    found.items[2].version = 3;
    EXPECT_EQ(km_lock_compare(&lines, &found, &lock, &err), 0);
    EXPECT_EQ(std::string(lines.data), "Acme/b version 1: other digests of " + commit +
                                           "\nacme/a-b version 1: from 0" + commit.substr(1) +
                                           " to " + commit + "\nacme/z version 2: locked at " +
                                           commit + "\nacme/z version 3: no longer needed\n");
    km_str_release(&lines);
}

} // namespace
