#include "scratch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include "core/file.h"
}

namespace
{

class File : public testing::Test
{
  protected:
    ~File() override
    {
        km_arena_release(&a);
    }

    /* What km_file_read says, with the bytes in `text`. */
    int read(const std::string &path, size_t limit = 1 << 20)
    {
        char *data = nullptr;
        size_t size = 0;
        int rc = km_file_read(&a, path.c_str(), limit, &data, &size, &err);

        text = rc == 0 ? std::string(data, size) : "";
        return rc;
    }

    int write(const std::string &path, const std::string &bytes, mode_t mode = 0644)
    {
        return km_file_write(path.c_str(), bytes.data(), bytes.size(), mode, &err);
    }

    Scratch dir;
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    std::string text;
};

/* The time of the last change, in nanoseconds. */
long long stamp(const std::string &path)
{
    struct stat st;

    EXPECT_EQ(stat(path.c_str(), &st), 0);
    return (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

/* Sets the time of the last change far back, so that any writing shows. */
void age(const std::string &path)
{
    const struct timespec times[2] = { { 1000, 0 }, { 1000, 0 } };

    EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

// Bytes in, the same bytes out, and a zero behind them for C strings.
TEST_F(File, WritesAndReads)
{
    const std::string path = dir / "f", bytes("a\0b\nc", 5);
    char *data;
    size_t size;

    ASSERT_EQ(write(path, bytes), 0) << err.message;
    ASSERT_EQ(km_file_read(&a, path.c_str(), 5, &data, &size, &err), 0) << err.message;
    EXPECT_EQ(std::string(data, size + 1), bytes + '\0');
    EXPECT_EQ(km_file_size(path.c_str(), &err), 5);
    ASSERT_EQ(write(path, ""), 0);
    ASSERT_EQ(read(path, 0), 0);
    EXPECT_EQ(text, "");
    EXPECT_EQ(dir.entries(), 1u) << "a temporary file is left";
}

// Each kind of failure has the code that the exit status is made from, and a reason.
TEST_F(File, ReadErrors)
{
    dir.put("big", std::string(101, 'x'));
    EXPECT_EQ(read(dir / "none"), KM_ENOENT);
    EXPECT_EQ(std::string(err.message),
              "unable to open '" + (dir / "none") + "': No such file or directory");
    EXPECT_EQ(read(dir / "big/below"), KM_ENOENT);
    EXPECT_EQ(read(dir.root), KM_EFORMAT);
    EXPECT_EQ(std::string(err.message), "'" + dir.root + "' is not a regular file");
    EXPECT_EQ(read("/dev/zero"), KM_EFORMAT);
    EXPECT_EQ(read(dir / "big", 100), KM_ELIMIT);
    EXPECT_EQ(std::string(err.message), "'" + (dir / "big") + "' has 101 bytes; the limit is 100");
    EXPECT_EQ(km_file_size((dir / "none").c_str(), nullptr), KM_ENOENT);
}

// A named pipe in a folder from a stranger would stop the program for ever.
TEST_F(File, ReadingAPipeDoesNotHang)
{
    ASSERT_EQ(mkfifo((dir / "pipe").c_str(), 0666), 0);
    alarm(20);
    EXPECT_EQ(read(dir / "pipe"), KM_EFORMAT);
    alarm(0);
}

// Sources may be links; whether something is a file or a folder is asked of what they lead to.
TEST_F(File, LinksAreFollowedForReading)
{
    dir.put("a/file", "content");
    ASSERT_EQ(symlink("a/file", (dir / "link").c_str()), 0);
    ASSERT_EQ(read(dir / "link"), 0);
    EXPECT_EQ(text, "content");
    EXPECT_TRUE(km_file_exists((dir / "link").c_str()));
    EXPECT_FALSE(km_file_exists((dir / "a").c_str()));
    EXPECT_TRUE(km_dir_exists((dir / "a").c_str()));
    EXPECT_FALSE(km_dir_exists((dir / "link").c_str()));
}

/* Lowers a limit of this process, and puts it back. */
class Limit
{
  public:
    Limit(int which, rlim_t value) : resource(which)
    {
        getrlimit((__rlimit_resource_t)resource, &old);
        struct rlimit lower = { value, old.rlim_max };
        setrlimit((__rlimit_resource_t)resource, &lower);
        signal(SIGXFSZ, SIG_IGN);
    }
    ~Limit()
    {
        setrlimit((__rlimit_resource_t)resource, &old);
        signal(SIGXFSZ, SIG_DFL);
    }
    Limit(const Limit &) = delete;
    Limit &operator=(const Limit &) = delete;

  private:
    int resource;
    struct rlimit old;
};

// A write that fails half-way leaves the old file whole and nothing beside it.
TEST_F(File, OldFileSurvivesAFailedWrite)
{
    const std::string path = dir.put("f", "the old content");

    {
        Limit limit(RLIMIT_FSIZE, 4096);
        EXPECT_EQ(write(path, std::string(100000, 'x')), KM_EIO);
        EXPECT_EQ(std::string(err.message), "unable to write '" + path + "': File too large");
        EXPECT_EQ(km_file_update(path.c_str(), std::string(100000, 'x').data(), 100000, 0644, &err),
                  KM_EIO);
    }
    EXPECT_EQ(slurp(path), "the old content");
    EXPECT_EQ(dir.entries(), 1u) << "the half-written file is left";
}

// The same on a disk that is full.
TEST_F(File, OldFileSurvivesAFullDisk)
{
    if (mount("none", dir.root.c_str(), "tmpfs", 0, "size=64k") != 0)
        GTEST_SKIP() << "only root can mount a small disk";

    const std::string path = dir.put("f", "the old content");
    EXPECT_EQ(write(path, std::string(1 << 20, 'x')), KM_EIO);
    EXPECT_EQ(std::string(err.message), "unable to write '" + path + "': No space left on device");
    EXPECT_EQ(slurp(path), "the old content");
    EXPECT_EQ(dir.entries(), 1u);
    EXPECT_EQ(umount(dir.root.c_str()), 0);
}

// Where nothing may be written, that is an error with the name, not a lost file.
TEST_F(File, UnwritableFolders)
{
    EXPECT_EQ(write(dir / "none/f", "x"), KM_ENOENT);
    EXPECT_EQ(std::string(err.message),
              "unable to create '" + (dir / "none/f") + "': No such file or directory");
    EXPECT_EQ(write("/proc/kernmill", "x"), KM_ENOENT);
    std::filesystem::create_directory(dir / "folder");
    EXPECT_EQ(write(dir / "folder", "x"), KM_EIO);
    EXPECT_TRUE(km_dir_exists((dir / "folder").c_str()));
    EXPECT_EQ(write(std::string(5000, 'x'), "x"), KM_ELIMIT);
    EXPECT_EQ(dir.entries(), 1u);
}

// A name may have 255 bytes: the temporary name beside it must not need more.
TEST_F(File, LongestName)
{
    const std::string path = dir / std::string(255, 'n');

    EXPECT_EQ(write(path, "x"), 0) << err.message;
    EXPECT_EQ(slurp(path), "x");
}

// Whoever can plant a link beside our file must not choose what we overwrite.
TEST_F(File, WritingFollowsNoLink)
{
    const std::string victim = dir.put("victim", "precious"), path = dir / "f";

    ASSERT_EQ(symlink("victim", (path + ".tmp." + std::to_string(getpid())).c_str()), 0);
    ASSERT_EQ(symlink("victim", path.c_str()), 0);
    ASSERT_EQ(write(path, "new"), 0) << err.message;
    EXPECT_EQ(slurp(victim), "precious");
    EXPECT_EQ(slurp(path), "new");
    EXPECT_FALSE(std::filesystem::is_symlink(path)) << "the link itself is replaced";
}

// Ninja and editors go by times: what says the same is left alone, what differs is not.
TEST_F(File, UpdateKeepsTheTime)
{
    const std::string path = dir.put("f", "same");
    auto update = [&](const std::string &bytes) {
        age(path);
        EXPECT_EQ(km_file_update(path.c_str(), bytes.data(), bytes.size(), 0644, &err), 0);
        EXPECT_EQ(slurp(path), bytes);
        return stamp(path) == 1000LL * 1000000000;
    };

    EXPECT_TRUE(update("same"));
    EXPECT_FALSE(update("sane"));
    EXPECT_FALSE(update("longer"));
    EXPECT_FALSE(update(""));
    EXPECT_TRUE(update(""));
    EXPECT_EQ(km_file_update(path.c_str(), nullptr, 0, 0644, &err), 0);
    EXPECT_EQ(km_file_update((dir / "new").c_str(), "x", 1, 0644, &err), 0);
    EXPECT_EQ(slurp(dir / "new"), "x");
}

// A script that was copied must run where it was copied to.
TEST_F(File, CopyKeepsPermissions)
{
    const std::string from = dir.put("from", "#!/bin/sh\n"), to = dir / "to";
    mode_t old = umask(077);

    for (mode_t mode : { 0644, 0755, 0600, 0755 }) {
        chmod(from.c_str(), mode);
        ASSERT_EQ(km_file_copy(from.c_str(), to.c_str(), &err), 0) << err.message;
        EXPECT_EQ(mode_of(to), mode) << "also when the bytes were there already";
    }
    umask(old);
    age(to);
    ASSERT_EQ(km_file_copy(from.c_str(), to.c_str(), &err), 0);
    EXPECT_EQ(stamp(to), 1000LL * 1000000000) << "an equal file is left alone";
    EXPECT_EQ(km_file_copy((dir / "none").c_str(), to.c_str(), &err), KM_ENOENT);
    EXPECT_EQ(km_file_copy(dir.root.c_str(), to.c_str(), &err), KM_EFORMAT);
    EXPECT_EQ(slurp(to), "#!/bin/sh\n");
}

// Modes are given before umask, as open(2) has it.
TEST_F(File, ModeOfANewFile)
{
    mode_t old = umask(027);

    EXPECT_EQ(write(dir / "f", "x", 0666), 0);
    umask(old);
    EXPECT_EQ(mode_of(dir / "f"), 0640u);
}

// Two builds of one folder take turns; a lock that does not wait mixes their files.
TEST_F(File, LockWaitsForTheOther)
{
    const std::string path = dir / "lock";
    int fd = km_file_lock(path.c_str(), true, &err);

    ASSERT_GE(fd, 0) << err.message;
    pid_t child = fork();
    if (child == 0) {
        close(fd);
        int mine = km_file_lock(path.c_str(), true, nullptr);
        _exit(write(mine < 0 ? "" : dir / "got", "x"));
    }
    usleep(100000);
    EXPECT_FALSE(km_file_exists((dir / "got").c_str())) << "both hold the lock";
    EXPECT_EQ(km_file_lock(path.c_str(), false, &err), KM_ETIME);
    close(fd);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT_TRUE(km_file_exists((dir / "got").c_str()));
    EXPECT_EQ(km_file_lock((dir / "none/lock").c_str(), true, &err), KM_ENOENT);
}

// A folder and its parents, and again; a file in the way is named.
TEST_F(File, MakeFolders)
{
    EXPECT_EQ(km_dir_make((dir / "a/b/c").c_str(), &err), 0) << err.message;
    EXPECT_EQ(km_dir_make((dir / "a/b/c/").c_str(), &err), 0) << err.message;
    EXPECT_TRUE(km_dir_exists((dir / "a/b/c").c_str()));
    dir.put("file", "x");
    EXPECT_LT(km_dir_make((dir / "file").c_str(), &err), 0);
    EXPECT_EQ(std::string(err.message), "'" + (dir / "file") + "' is there and is not a folder");
    EXPECT_EQ(km_dir_make((dir / "file/below").c_str(), &err), KM_ENOENT);
    EXPECT_EQ(km_dir_make(std::string(5000, 'x').c_str(), &err), KM_ELIMIT);
}

// An unset variable in a script gives "": the error must say that, and not speak of a folder ''.
TEST_F(File, MakeFolderWithoutAName)
{
    EXPECT_EQ(km_dir_make("", &err), KM_EUSAGE);
    EXPECT_STREQ(err.message, "the name of a folder is empty");
}

std::vector<std::string> names_of(const km_names &names)
{
    return std::vector<std::string>(names.names, names.names + names.count);
}

// Sorted by bytes, so that what is built from a listing is the same on every disk.
TEST_F(File, ListAndWalk)
{
    km_names names;

    for (const char *name : { "b", "a.txt", "a/x", "a/b/y", "B", "a/b/.z" })
        dir.put(name, "");
    std::filesystem::create_directory(dir / "empty");
    ASSERT_EQ(km_dir_list(&a, dir.root.c_str(), &names, &err), 0);
    EXPECT_EQ(names_of(names), (std::vector<std::string>{ "B", "a", "a.txt", "b", "empty" }));
    ASSERT_EQ(km_dir_walk(&a, dir.root.c_str(), &names, &err), 0);
    EXPECT_EQ(names_of(names),
              (std::vector<std::string>{ "B", "a.txt", "a/b/.z", "a/b/y", "a/x", "b" }));
    ASSERT_EQ(km_dir_walk(&a, (dir / "empty").c_str(), &names, &err), 0);
    EXPECT_EQ(names.count, 0u);
    EXPECT_EQ(km_dir_list(&a, (dir / "none").c_str(), &names, &err), KM_ENOENT);
    EXPECT_EQ(km_dir_walk(&a, (dir / "b").c_str(), &names, &err), KM_ENOENT);
}

// A link in a folder to be hashed or packed would bring in a file from elsewhere.
TEST_F(File, WalkRefusesLinks)
{
    km_names names;

    dir.put("a/file", "x");
    for (const char *target : { "file", "/etc/passwd", "nowhere", "." }) {
        ASSERT_EQ(symlink(target, (dir / "a/link").c_str()), 0);
        EXPECT_EQ(km_dir_walk(&a, dir.root.c_str(), &names, &err), KM_EFORMAT) << target;
        EXPECT_EQ(std::string(err.message), "'" + (dir / "a/link") + "' is a symbolic link");
        unlink((dir / "a/link").c_str());
    }
}

// Nor may a pipe or a socket, which cannot be read whole, pass for a file.
TEST_F(File, WalkRefusesWhatIsNoFile)
{
    km_names names;

    ASSERT_EQ(mkfifo((dir / "pipe").c_str(), 0666), 0);
    EXPECT_EQ(km_dir_walk(&a, dir.root.c_str(), &names, &err), KM_EFORMAT);
    EXPECT_EQ(std::string(err.message), "'" + (dir / "pipe") + "' is not a regular file");
}

// A folder nested without end must cost an error, not the stack.
TEST_F(File, WalkEndsAtADepth)
{
    km_names names;
    std::string name = "d";

    for (int i = 0; i < KM_DIR_DEPTH_MAX; i++)
        name += "/d";
    dir.put(name + "/file", "x");
    EXPECT_EQ(km_dir_walk(&a, dir.root.c_str(), &names, &err), KM_ELIMIT);
    EXPECT_EQ(km_dir_walk(&a, (dir / "d").c_str(), &names, &err), 0);
    EXPECT_EQ(names.count, 1u);
    EXPECT_EQ(km_dir_remove((dir / "d/d/d").c_str(), &err), 0) << err.message;
    EXPECT_EQ(km_dir_remove((dir / "d").c_str(), &err), 0) << err.message;
    EXPECT_EQ(dir.entries(), 0u);
}

// Removing a build folder must never reach through a link into somebody's files.
TEST_F(File, RemoveFollowsNoLink)
{
    dir.put("outside/precious", "x");
    dir.put("tree/a/file", "x");
    std::filesystem::create_directory(dir / "tree/empty");
    ASSERT_EQ(symlink("../outside", (dir / "tree/folder-link").c_str()), 0);
    ASSERT_EQ(symlink("../outside/precious", (dir / "tree/a/file-link").c_str()), 0);
    ASSERT_EQ(symlink("tree", (dir / "link").c_str()), 0);
    chmod((dir / "tree/a/file").c_str(), 0);

    ASSERT_EQ(km_dir_remove((dir / "link").c_str(), &err), 0) << err.message;
    EXPECT_TRUE(km_file_exists((dir / "tree/a/file").c_str())) << "only the link is removed";
    ASSERT_EQ(km_dir_remove((dir / "tree").c_str(), &err), 0) << err.message;
    EXPECT_FALSE(km_dir_exists((dir / "tree").c_str()));
    EXPECT_EQ(slurp(dir / "outside/precious"), "x");
    EXPECT_EQ(km_dir_remove((dir / "tree").c_str(), &err), 0) << "what is not there is no error";
    EXPECT_EQ(km_dir_remove((dir / "outside/precious").c_str(), &err), 0) << "a file alone";
    EXPECT_LT(km_dir_remove("/proc/self/fd", &err), 0);
}

} // namespace
