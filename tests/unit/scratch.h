/* A folder of a test's own, gone when the test ends, and whole files in and out. */
#ifndef KERNMILL_TESTS_SCRATCH_H
#define KERNMILL_TESTS_SCRATCH_H

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

class Scratch
{
  public:
    explicit Scratch(const std::string &base = "/tmp") : root(base + "/kernmill-test-XXXXXX")
    {
        EXPECT_NE(mkdtemp(root.data()), nullptr);
    }
    ~Scratch()
    {
        std::error_code ignored;

        std::filesystem::remove_all(root, ignored);
    }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    std::string operator/(const std::string &name) const
    {
        return root + "/" + name;
    }

    /* Writes a file, and the folders above it; returns its path. */
    std::string put(const std::string &name, const std::string &text) const
    {
        std::string path = root + "/" + name;

        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }

    /* How many entries the folder has, hidden ones too. */
    size_t entries() const
    {
        return size_t(std::distance(std::filesystem::directory_iterator(root), {}));
    }

    std::string root;
};

/* Works in a folder for as long as it lives. */
class Inside
{
  public:
    explicit Inside(const std::string &dir) : before(std::filesystem::current_path())
    {
        std::filesystem::current_path(dir);
    }
    ~Inside()
    {
        std::filesystem::current_path(before);
    }
    Inside(const Inside &) = delete;
    Inside &operator=(const Inside &) = delete;

  private:
    std::filesystem::path before;
};

inline std::string slurp(const std::string &path)
{
    std::ifstream in(path, std::ios::binary);

    return std::string(std::istreambuf_iterator<char>(in), {});
}

/* Where many small files cost no disk. */
inline const char *in_memory()
{
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

inline mode_t mode_of(const std::string &path)
{
    struct stat st;

    return stat(path.c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
}

#endif
