#include "scratch.h"

#include <string>
#include <vector>

extern "C" {
#include "core/limits.h"
#include "pkg/includes.h"
}

namespace
{

/* The files that `source` reaches, without the folder; the source itself is left out. */
std::vector<std::string> reached(const Scratch &dir, const char *source,
                                 const std::vector<std::string> &include = {})
{
    std::vector<std::string> full, found;
    std::vector<const char *> dirs;
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_includes list;

    for (const std::string &name : include)
        full.push_back(dir / name);
    for (const std::string &name : full)
        dirs.push_back(name.c_str());
    dirs.push_back(nullptr);
    EXPECT_EQ(km_includes_scan(&a, (dir / source).c_str(), dirs.data(), &list, &err), 0)
        << err.message;
    for (size_t i = 0; i < list.count; i++)
        found.push_back(std::filesystem::path(list.paths[i]).lexically_relative(dir.root));
    EXPECT_EQ(found.at(0), source);
    found.erase(found.begin());
    km_arena_release(&a);
    return found;
}

using Words = std::vector<std::string>;

} // namespace

// A header that is not seen is a stale image out of the cache.
TEST(Includes, EverySpelling)
{
    Scratch dir;

    for (const char *name : { "a.h", "b.h", "c.h", "d.h", "e.h", "f.h", "g.h", "h.h" })
        dir.put(name, "");
    dir.put("s.cu", "#include \"a.h\"\n"
                    "  #  include   \"b.h\"\n"
                    "#include\"c.h\"\n"
                    "\t#\tinclude\t<d.h> // why\n"
                    "#include \"e.h\"\r\n"
                    "#ifdef NEVER\n#include \"f.h\"\n#endif\n"
                    "#include_next \"g.h\"\n"
                    "#include MACRO\n#include\n#include \"\n#include \"not-there.h\"\n#inc\n#\n"
                    "x #include \"g.h\"\n"
                    "#include \"h.h\""); /* no newline at the end */
    EXPECT_EQ(reached(dir, "s.cu", { "." }),
              (Words{ "a.h", "b.h", "c.h", "d.h", "e.h", "f.h", "h.h" }));
}

// Beside the includer first, then the folders in their order; <> never beside the includer.
TEST(Includes, OrderOfFolders)
{
    Scratch dir;

    for (const char *name : { "src/x.h", "one/x.h", "two/x.h", "two/y.h", "src/y.h" })
        dir.put(name, "");
    dir.put("src/s.cu", "#include \"x.h\"\n#include <y.h>\n");
    dir.put("src/t.cu", "#include <x.h>\n");
    EXPECT_EQ(reached(dir, "src/s.cu", { "one", "two" }), (Words{ "src/x.h", "two/y.h" }));
    EXPECT_EQ(reached(dir, "src/t.cu", { "two", "one" }), (Words{ "two/x.h" }));
    EXPECT_EQ(reached(dir, "src/t.cu"), (Words{}));
}

// Headers include headers, each counts once, and a circle ends.
TEST(Includes, DeepAndRound)
{
    Scratch dir;

    dir.put("s.cu", "#include \"a/one.h\"\n#include \"a/two.h\"\n#include \"s.cu\"\n");
    dir.put("a/one.h", "#include \"two.h\"\n#include \"../s.cu\"\n");
    dir.put("a/two.h", "#include \"one.h\"\n");
    std::vector<std::string> found = reached(dir, "s.cu");
    EXPECT_EQ(found, (Words{ "a/one.h", "a/two.h" })) << "one name for one file";
}

// A source that is not there, and one that includes without end.
TEST(Includes, Errors)
{
    Scratch dir(in_memory());
    const char *none[] = { nullptr };
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_includes list;

    EXPECT_EQ(km_includes_scan(&a, (dir / "none.cu").c_str(), none, &list, &err), KM_ENOENT);
    std::string many;
    for (int i = 0; i < KM_INCLUDES_MAX; i++) {
        dir.put("h/" + std::to_string(i), "");
        many += "#include \"h/" + std::to_string(i) + "\"\n";
    }
    EXPECT_EQ(km_includes_scan(&a, dir.put("s.cu", many).c_str(), none, &list, &err), KM_ELIMIT);
    km_arena_release(&a);
}
