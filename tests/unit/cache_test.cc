extern "C" {
#include "net/cache.h"
}

#include <fcntl.h>
#include <sys/file.h>

#include <string>

#include "scratch.h"

namespace
{

/* What git hash-object says of "hello\n", and its SHA-256. */
const std::string blob = "ce013625030ba8dba906f756967f9e9ca394464a";
const std::string sha = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
const std::string commit(40, 'a'), other(40, 'b');

class Cache : public testing::Test
{
  protected:
    Cache()
    {
        const km_repo relu = { KM_REPO_KERNEL, "acme/relu" };
        EXPECT_EQ(km_cache_init(&c, &a, dir.root.c_str(), &relu, &err), 0);
    }
    ~Cache() override
    {
        km_arena_release(&a);
    }

    int begin(const std::string &etag, uint64_t size, km_cache_blob *b)
    {
        return km_cache_blob_begin(&c, etag.c_str(), size, false, b, &err);
    }

    void store(const std::string &etag, const std::string &content)
    {
        km_cache_blob b;
        ASSERT_EQ(begin(etag, content.size(), &b), 0) << err.message;
        ASSERT_GE(b.fd, 0);
        ASSERT_EQ(write(b.fd, content.data(), content.size()), ssize_t(content.size()));
        ASSERT_EQ(km_cache_blob_finish(&b, &err), 0) << err.message;
        km_cache_blob_release(&b);
    }

    std::string read(const std::string &name)
    {
        std::ifstream in(dir / name, std::ios::binary);
        return { std::istreambuf_iterator<char>(in), {} };
    }

    bool exists(const std::string &name)
    {
        return std::filesystem::exists(std::filesystem::symlink_status(dir / name));
    }

    Scratch dir;
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_cache c;
    const std::string repo = "kernels--acme--relu";
};

TEST_F(Cache, ABlobByEitherDigest)
{
    store(blob, "hello\n");
    store(sha, "hello\n");
    EXPECT_EQ(read(repo + "/blobs/" + sha), "hello\n");
    km_cache_blob b;
    ASSERT_EQ(begin(sha, 6, &b), 0);
    EXPECT_EQ(b.fd, -1) << "it is here";
    km_cache_blob_release(&b);
    struct stat st;
    ASSERT_EQ(stat((dir / ".locks/" + repo + "/" + sha + ".lock").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0664u);
}

// The name is a promise: what is not the content gets no name, and is not gone on with.
TEST_F(Cache, AWrongDigestIsThrownAway)
{
    km_cache_blob b;

    ASSERT_EQ(begin(sha, 6, &b), 0);
    ASSERT_EQ(write(b.fd, "hellO\n", 6), 6);
    EXPECT_EQ(km_cache_blob_finish(&b, &err), KM_EFORMAT);
    km_cache_blob_release(&b);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir / repo + "/blobs"), {}), 0);
}

TEST_F(Cache, WhatWasCutIsGoneOnWith)
{
    km_cache_blob b;

    ASSERT_EQ(begin(sha, 6, &b), 0);
    ASSERT_EQ(write(b.fd, "hel", 3), 3);
    km_cache_blob_release(&b);
    EXPECT_FALSE(exists(repo + "/blobs/" + sha));
    ASSERT_EQ(begin(sha, 6, &b), 0);
    EXPECT_EQ(b.have_bytes, 3u);
    ASSERT_EQ(pwrite(b.fd, "lo\n", 3, 3), 3);
    EXPECT_EQ(km_cache_blob_finish(&b, &err), 0) << err.message;
    km_cache_blob_release(&b);
    EXPECT_EQ(read(repo + "/blobs/" + sha), "hello\n");
    ASSERT_EQ(begin(blob, 6, &b), 0);
    km_cache_blob_release(&b);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir / repo + "/blobs"), {}), 1)
        << "nothing came of it";
}

// The Python client accepts any content of the right size.
TEST_F(Cache, ABlobThatIsNotWhatItsNameSaysIsMissing)
{
    dir.put(repo + "/blobs/" + sha, "hellO\n");
    store(sha, "hello\n");
    EXPECT_EQ(read(repo + "/blobs/" + sha), "hello\n");
}

// A shared store belongs to other repositories, too.
TEST_F(Cache, ABlobThatIsALinkIsReplacedNotWrittenThrough)
{
    std::string shared = dir.put("blobs/xx", "hellO\n");
    std::filesystem::create_directories(dir / repo + "/blobs");
    std::filesystem::create_symlink("../../blobs/xx", dir / repo + "/blobs/" + sha);
    store(sha, "hello\n");
    EXPECT_EQ(read("blobs/xx"), "hellO\n");
    EXPECT_EQ(read(repo + "/blobs/" + sha), "hello\n");
    std::filesystem::remove(dir / repo + "/blobs/" + sha);
    dir.put("blobs/xx", "hello\n");
    std::filesystem::create_symlink("../../blobs/xx", dir / repo + "/blobs/" + sha);
    km_cache_blob b;
    ASSERT_EQ(begin(sha, 6, &b), 0);
    EXPECT_EQ(b.fd, -1) << "read through the link";
    km_cache_blob_release(&b);
}

TEST_F(Cache, AnothersLockIsSeen)
{
    dir.put(".locks/" + repo + "/" + sha + ".lock", "");
    int fd = open((dir / ".locks/" + repo + "/" + sha + ".lock").c_str(), O_RDWR);
    km_cache_blob b;

    ASSERT_EQ(flock(fd, LOCK_EX), 0);
    EXPECT_EQ(begin(sha, 6, &b), KM_ETIME);
    close(fd);
    EXPECT_EQ(begin(sha, 6, &b), 0);
    km_cache_blob_release(&b);
}

TEST_F(Cache, ASnapshotLinksByItsDepth)
{
    store(sha, "hello\n");
    ASSERT_EQ(km_cache_link(&c, commit.c_str(), "README.md", sha.c_str(), &err), 0) << err.message;
    ASSERT_EQ(km_cache_link(&c, commit.c_str(), "build/v/x.so", sha.c_str(), &err), 0);
    ASSERT_EQ(km_cache_link(&c, commit.c_str(), "build/v/x.so", sha.c_str(), &err), 0);
    EXPECT_EQ(std::filesystem::read_symlink(dir / repo + "/snapshots/" + commit + "/build/v/x.so"),
              "../../../../blobs/" + sha);
    EXPECT_STREQ(km_cache_file(&c, commit.c_str(), "build/v/x.so"),
                 (dir / repo + "/snapshots/" + commit + "/build/v/x.so").c_str());
    EXPECT_EQ(km_cache_file(&c, other.c_str(), "README.md"), nullptr);
    ASSERT_EQ(km_cache_link(&c, commit.c_str(), "README.md", blob.c_str(), &err), 0);
    EXPECT_EQ(km_cache_file(&c, commit.c_str(), "README.md"), nullptr) << "its blob is not here";
    for (const char *path : { "../x", "a/../../x", "/x", "" })
        EXPECT_LT(km_cache_link(&c, commit.c_str(), path, sha.c_str(), &err), 0) << path;
    EXPECT_LT(km_cache_link(&c, "../..", "x", sha.c_str(), &err), 0);
}

TEST_F(Cache, Refs)
{
    EXPECT_EQ(km_cache_ref(&c, "v1"), nullptr);
    ASSERT_EQ(km_cache_write_ref(&c, "v1", commit.c_str(), &err), 0) << err.message;
    ASSERT_EQ(km_cache_write_ref(&c, "refs/pr/3", other.c_str(), &err), 0);
    ASSERT_EQ(km_cache_write_ref(&c, commit.c_str(), commit.c_str(), &err), 0);
    EXPECT_EQ(read(repo + "/refs/v1"), commit);
    EXPECT_EQ(km_cache_ref(&c, "v1"), commit);
    EXPECT_EQ(km_cache_ref(&c, "refs/pr/3"), other);
    EXPECT_EQ(km_cache_ref(&c, commit.c_str()), commit);
    ASSERT_EQ(km_cache_write_ref(&c, "v1", other.c_str(), &err), 0);
    EXPECT_EQ(km_cache_ref(&c, "v1"), other);
    EXPECT_LT(km_cache_write_ref(&c, "../../x", commit.c_str(), &err), 0);
    EXPECT_LT(km_cache_write_ref(&c, "v2", "../x", &err), 0);
    dir.put(repo + "/refs/v3", "../../../../etc");
    EXPECT_EQ(km_cache_ref(&c, "v3"), nullptr);
    EXPECT_FALSE(km_cache_knows_absent(&c, commit.c_str(), "x"));
    dir.put(repo + "/.no_exist/" + commit + "/x", "");
    EXPECT_TRUE(km_cache_knows_absent(&c, commit.c_str(), "x"));
}

TEST_F(Cache, WhatNobodyGoesOnWithIsRemovedADayLater)
{
    const std::string blobs = repo + "/blobs/";
    const timespec old[2] = { { time(nullptr) - 90000, 0 }, { time(nullptr) - 90000, 0 } };

    for (const std::string &name :
         { sha, sha + ".kernmill.incomplete", sha + ".7.kernmill.ref", sha + ".1234.incomplete" }) {
        dir.put(blobs + name, "x");
        ASSERT_EQ(utimensat(AT_FDCWD, (dir / (blobs + name)).c_str(), old, 0), 0);
    }
    dir.put(blobs + blob + ".kernmill.incomplete", "x");
    km_cache_sweep(&c);
    EXPECT_TRUE(exists(blobs + sha));
    EXPECT_TRUE(exists(blobs + sha + ".1234.incomplete")) << "another writer's";
    EXPECT_TRUE(exists(blobs + blob + ".kernmill.incomplete"));
    EXPECT_FALSE(exists(blobs + sha + ".kernmill.incomplete"));
    EXPECT_FALSE(exists(blobs + sha + ".7.kernmill.ref"));
}

TEST_F(Cache, OnlyADigestNamesABlob)
{
    km_cache_blob b;

    for (const char *etag : { "", "../../x", "abc", "ABCDEF0123456789abcdef0123456789abcdef01" })
        EXPECT_EQ(begin(etag, 1, &b), KM_EFORMAT) << etag;
    EXPECT_EQ(dir.entries(), 0u);
}

} // namespace
