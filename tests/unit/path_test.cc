#include "scratch.h"

#include <cstring>
#include <string>

extern "C" {
#include "core/path.h"
}

namespace
{

class Path : public testing::Test
{
  protected:
    ~Path() override
    {
        km_arena_release(&a);
    }

    km_arena a = KM_ARENA_INIT;
};

// Parts are put together and taken apart everywhere; each odd case was a file in the wrong place.
TEST_F(Path, JoinAndParts)
{
    const struct {
        const char *dir, *name, *joined;
    } joins[] = {
        { "a", "b", "a/b" },         { "a/", "b", "a/b" }, { "", "b", "b" },
        { "a", "/b", "/b" },         { "/", "b", "/b" },   { ".", "b", "./b" },
        { "a/b", "c/d", "a/b/c/d" },
    };
    const struct {
        const char *path, *base, *dir, *stem, *ext;
    } parts[] = {
        { "cuda/rmsnorm.cu", "rmsnorm.cu", "cuda", "rmsnorm", ".cu" },
        { "rmsnorm.cu", "rmsnorm.cu", ".", "rmsnorm", ".cu" },
        { "/a", "a", "/", "a", "" },
        { "/a/b.c", "b.c", "/a", "b", ".c" },
        { "a.b/c", "c", "a.b", "c", "" },
        { "a/.hidden", ".hidden", "a", ".hidden", "" },
        { "x.tar.gz", "x.tar.gz", ".", "x.tar", ".gz" },
        { "x.", "x.", ".", "x", "." },
        { "a/", "", "a", "", "" },
        { "", "", ".", "", "" },
    };

    for (const auto &j : joins)
        EXPECT_STREQ(km_path_join(&a, j.dir, j.name), j.joined);
    for (const auto &p : parts) {
        EXPECT_STREQ(km_path_base(p.path), p.base) << p.path;
        EXPECT_STREQ(km_path_dir(&a, p.path), p.dir) << p.path;
        EXPECT_STREQ(km_path_stem(&a, p.path), p.stem) << p.path;
        EXPECT_STREQ(km_path_ext(p.path), p.ext) << p.path;
    }
}

// `check` compares what an #include reaches with what the manifest lists: one file, one name.
TEST_F(Path, Fold)
{
    const struct {
        const char *path, *folded;
    } cases[] = {
        { "a.h", "a.h" },
        { "./a.h", "a.h" },
        { "cpu/../a.h", "a.h" },
        { "a/b/../../c.h", "c.h" },
        { "a/./b//c.h", "a/b/c.h" },
        { "../a.h", "../a.h" },
        { "../../a.h", "../../a.h" },
        { "a/../../b.h", "../b.h" },
        { "a/../../../b.h", "../../b.h" },
        { "../a/../b.h", "../b.h" },
        { "/a/../b.h", "/b.h" },
        { "/../../b.h", "/../../b.h" },
        { "a/..", "" },
        { "a/../", "" },
        { "a/b/..", "a/" },
        { "..a/..b/c..", "..a/..b/c.." },
        { ".", "" },
        { "", "" },
        { "/", "/" },
    };

    for (const auto &c : cases) {
        char *path = km_arena_strdup(&a, c.path);
        km_path_fold(path);
        EXPECT_STREQ(path, c.folded) << c.path;
    }
}

std::string parts_of(size_t count, const std::string &part)
{
    std::string s = part;

    for (size_t i = 1; i < count; i++)
        s += "/" + part;
    return s;
}

// A name from a manifest or a wheel that leaves its folder overwrites what it likes.
TEST_F(Path, RefusesNamesThatLeaveTheFolder)
{
    const std::string bad[] = {
        "",
        "..",
        "../a",
        "../../etc/passwd",
        "a/..",
        "a/../b",
        "a/b/../../c",
        "a/../../b",
        "./a",
        ".",
        "a/.",
        "a/./b",
        "./..",
        "/",
        "//",
        "/a",
        "/etc/passwd",
        "//a/b",
        "a/",
        "a//b",
        "a//",
        "a///b",
        "c:",
        "c:a",
        "a:b/c",
        "C:\\a",
        "c:/a",
        "\\",
        "\\a",
        "a\\b",
        "..\\a",
        "a\\..\\b",
        "a/b\\c",
        "\\\\server\\share",
        "a\n",
        "a\nb",
        "\ta",
        "a\rb",
        "a\x01",
        "\x1f/a",
        "a/\x1b[31mb",
        "a\x7f",
        "a/b\x7f/c",
        "\x7f",
        std::string(256, 'x'),
        std::string(300, 'x'),
        "a/" + std::string(300, 'x'),
        std::string(300, 'x') + "/a",
        "a/" + std::string(256, 'x') + "/b",
        std::string(5000, 'x'),
    };

    for (const std::string &name : bad) {
        km_err err = KM_ERR_INIT;
        EXPECT_EQ(km_path_check_relative(name.c_str(), &err), KM_EFORMAT) << name;
        EXPECT_STRNE(err.message, "") << name;
        EXPECT_EQ(km_path_check_relative(name.c_str(), nullptr), KM_EFORMAT);
    }
}

// A rule that refuses honest names sends people to work around it.
TEST_F(Path, TakesOrdinaryNames)
{
    const std::string good[] = {
        "a",
        "a/b",
        "a/b/c.py",
        ".hidden",
        ".github/workflows/x.yml",
        "..a",
        "a..",
        "...",
        "a/...",
        "a/..b/c",
        "a b",
        " ",
        "a/ b",
        "-a",
        "--help",
        "ab:c",
        "ab:/c",
        "~",
        "~/a",
        "$HOME",
        "*",
        "a'b\"c",
        "caf\xc3\xa9/\xe6\xbc\xa2.py",
        std::string(255, 'x'),
        parts_of(3, std::string(255, 'x')),
        parts_of(1000, "a"),
        "__pycache__/x.pyc",
        "CON",
    };

    for (const std::string &name : good) {
        km_err err = KM_ERR_INIT;
        EXPECT_EQ(km_path_check_relative(name.c_str(), &err), 0) << name << ": " << err.message;
    }
}

// What a stranger named is one file on every disk, and is what it reads as.
TEST_F(Path, NamesOfStrangers)
{
    const std::string bad[] = { "..",
                                "a/../b",
                                "...",
                                "a/b.",
                                "a./b",
                                "a ",
                                "a /b",
                                ".git",
                                "a/.GIT/hooks",
                                "a\xc2\x9b[31m",
                                "a\xc2\x80",
                                "a\xe2\x80\xaegnp.so",
                                "\xe2\x81\xa6"
                                "b",
                                "a\xe2\x80\xa8"
                                "b",
                                "\xef\xbb\xbf"
                                "a" };
    const std::string good[] = { "a",        "..a",          ".gitattributes",
                                 "a.git/b",  "a b",          "~/a",
                                 "\xc2\xa0", "\xe2\x80\xa6", "\xe6\xbc\xa2/\xc3\xa9.py" };

    for (const std::string &name : bad) {
        km_err err = KM_ERR_INIT;
        EXPECT_EQ(km_path_check_foreign(name.c_str(), &err), KM_EFORMAT) << name;
        EXPECT_STRNE(err.message, "") << name;
    }
    for (const std::string &name : good) {
        km_err err = KM_ERR_INIT;
        EXPECT_EQ(km_path_check_foreign(name.c_str(), &err), 0) << name << ": " << err.message;
    }
}

// The reason is shown beside a line of somebody's manifest: it must name the fault, not the rule.
TEST_F(Path, SaysWhatIsWrong)
{
    const struct {
        std::string name, reason;
    } cases[] = {
        { "", "path is empty" },
        { "/etc", "path '/etc' is absolute" },
        { "a/../b", "path 'a/../b' has a '..' part" },
        { "./a", "path './a' has a '.' part" },
        { "a//b", "path 'a//b' has an empty part" },
        { "a/", "path 'a/' has an empty part" },
        { "c:/a", "path 'c:/a' starts with a drive letter" },
        { "a\\b", "path 'a\\b' has a backslash (0x5c) in it" },
        { "a\nb", "path 'a\nb' has a byte 0x0a in it" },
        { std::string(300, 'x'),
          "path '" + std::string(64, 'x') + "...' has a part longer than 255 bytes" },
    };

    for (const auto &c : cases) {
        km_err err = KM_ERR_INIT;
        km_path_check_relative(c.name.c_str(), &err);
        EXPECT_EQ(std::string(err.message), c.reason);
    }
}

// What is a link is resolved, and what is not there is said to be absent.
TEST_F(Path, Real)
{
    Scratch dir;
    km_err err = KM_ERR_INIT;
    char *real = nullptr;

    dir.put("a/file", "x");
    ASSERT_EQ(symlink("a", (dir / "link").c_str()), 0);
    ASSERT_EQ(km_path_real(&a, (dir / "link/../link/./file").c_str(), &real, &err), 0);
    EXPECT_EQ(std::string(real), dir / "a/file");
    EXPECT_EQ(km_path_real(&a, (dir / "none").c_str(), &real, &err), KM_ENOENT);
    EXPECT_EQ(std::string(err.message),
              "unable to find '" + (dir / "none") + "': No such file or directory");
}

/* Sets a variable, and puts the old value back. */
class Variable
{
  public:
    Variable(const char *variable, const char *value) : name(variable)
    {
        const char *was = getenv(name);

        had = was != nullptr;
        old = was ? was : "";
        if (value)
            setenv(name, value, 1);
        else
            unsetenv(name);
    }
    ~Variable()
    {
        if (had)
            setenv(name, old.c_str(), 1);
        else
            unsetenv(name);
    }
    Variable(const Variable &) = delete;
    Variable &operator=(const Variable &) = delete;

  private:
    const char *name;
    bool had;
    std::string old;
};

// The first file that can be run, as a shell takes it: not a folder, not a file without the x bit.
TEST_F(Path, ProgramOfPath)
{
    Scratch dir;
    const std::string path = dir.root + "/none:" + dir.root + "/folder:" + dir.root +
                             "/plain:" + dir.root + "/good";

    std::filesystem::create_directories(dir / "folder/tool");
    dir.put("plain/tool", "#!/bin/sh\n");
    chmod(dir.put("good/tool", "#!/bin/sh\n").c_str(), 0755);
    {
        Variable set("PATH", path.c_str());
        EXPECT_EQ(std::string(km_path_program(&a, "tool")), dir / "good/tool");
        EXPECT_EQ(km_path_program(&a, "no-such-tool"), nullptr);
        EXPECT_EQ(km_path_program(&a, ""), nullptr);
    }
    EXPECT_EQ(std::string(km_path_program(&a, (dir / "good/tool").c_str())), dir / "good/tool");
    EXPECT_EQ(km_path_program(&a, (dir / "plain/tool").c_str()), nullptr);
    EXPECT_EQ(km_path_program(&a, (dir / "folder/tool").c_str()), nullptr);
    {
        Variable unset("PATH", nullptr);
        EXPECT_STREQ(km_path_program(&a, "sh"), "/usr/bin/sh");
    }
}

// A program found by a relative name is started in another folder: the name must still mean it.
TEST_F(Path, ProgramIsAbsolute)
{
    Scratch dir;

    chmod(dir.put("bin/tool", "#!/bin/sh\n").c_str(), 0755);
    {
        Inside folder(dir.root);
        Variable set("PATH", "bin:/usr/bin");
        EXPECT_EQ(std::string(km_path_program(&a, "tool")), dir / "bin/tool");
    }
    {
        Inside folder(dir / "bin");
        Variable set("PATH", ":/usr/bin"); /* an empty part is the working folder */
        EXPECT_EQ(std::string(km_path_program(&a, "tool")), dir / "bin/tool");
    }
    Inside folder(dir.root);
    EXPECT_EQ(std::string(km_path_program(&a, "bin/tool")), dir / "bin/tool");
    EXPECT_EQ(std::string(km_path_program(&a, "./bin/tool")), dir / "./bin/tool");
}

} // namespace
