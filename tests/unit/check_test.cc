#include "scratch.h"

#include <string>
#include <vector>

extern "C" {
#include "pkg/check.h"
}

namespace
{

/* What `check` says about a path: "code: message" of each finding, or the error. */
std::vector<std::string> findings(const std::string &path)
{
    std::vector<std::string> list;
    km_err err = KM_ERR_INIT;
    km_findings f;

    if (km_check(&f, path.c_str(), &err) < 0)
        return { "error: " + std::string(err.message) };
    for (size_t i = 0; i < f.count; i++)
        list.push_back(std::string(f.items[i].code) + ": " + f.items[i].message);
    km_findings_release(&f);
    return list;
}

using Words = std::vector<std::string>;

const char manifest[] = "[general]\nname = \"ab\"\nversion = 1\nedition = 5\nlicense = "
                        "\"MIT\"\nbackends = [\"cpu\"]\n[torch]\nsrc = [\"t.c\"]\n"
                        "[kernel.cpu]\nbackend = \"cpu\"\ndepends = []\nsrc = [\"cpu/a.c\"]\n";

void make_repository(const Scratch &dir)
{
    dir.put("build.toml", manifest);
    dir.put("card.toml", "summary = \"x\"\n");
    dir.put("t.c", "");
    dir.put("cpu/a.c", "");
    dir.put("torch-ext/ab/__init__.py", "");
    dir.put("tests/test_a.py", "");
}

// A repository as it should be has no finding; each thing that is missing has one.
TEST(Check, Repository)
{
    Scratch dir;

    make_repository(dir);
    EXPECT_EQ(findings(dir.root), Words{});
    EXPECT_EQ(findings(dir / "build.toml"), Words{});
    unlink((dir / "card.toml").c_str());
    unlink((dir / "cpu/a.c").c_str());
    unlink((dir / "torch-ext/ab/__init__.py").c_str());
    EXPECT_EQ(findings(dir.root), (Words{ "package-missing: the kernel has no Python package",
                                          "card-missing: there is no card.toml beside build.toml",
                                          "source-missing: source file 'cpu/a.c' is not there" }));
    dir.put("cpu/a.c", "");
    unlink((dir / "tests/test_a.py").c_str());
    rmdir((dir / "tests").c_str());
    dir.put("torch-ext/ab/__init__.py", "");
    dir.put("build.toml",
            std::string(manifest).replace(std::string(manifest).find("cpu/a.c"), 7, "cpu/a.cpp"));
    dir.put("cpu/a.cpp", "");
    EXPECT_EQ(findings(dir.root),
              (Words{ "card-missing: there is no card.toml beside build.toml",
                      "not-built: 'kernmill build' refuses it: 'cpu/a.cpp' is not built: a kernel "
                      "here is C (.c) and CUDA device code (.cu)",
                      "tests-missing: the kernel has no tests" }));
    dir.put("build.toml", std::string(manifest).replace(std::string(manifest).find("[\"cpu\"]"), 7,
                                                        "[\"cpu\", \"xpu\"]"));
    EXPECT_EQ(findings(dir.root)[1],
              "backend-without-kernel: backend 'xpu' has no [kernel.*] section");
}

// A header that is reached and not listed is missing on the builder's machine.
TEST(Check, HeadersThatAreNotListed)
{
    Scratch dir;

    make_repository(dir);
    dir.put("cpu/a.c", "#include \"b.h\"\n#include \"../c.h\"\n#include <stdio.h>\n");
    dir.put("cpu/b.h", "#include \"../cpu/../c.h\"\n");
    dir.put("c.h", "");
    EXPECT_EQ(
        findings(dir.root),
        (Words{ "header-not-listed: 'cpu/a.c' includes 'cpu/b.h', which this section's 'src' "
                "does not list",
                "header-not-listed: 'cpu/a.c' includes 'c.h', which this section's 'src' does "
                "not list" }));
}

// A name beyond the repository, absolute or through "..", must not be taken for a file inside it.
TEST(Check, HeadersOutside)
{
    Scratch dir;
    const std::string outside = dir.put("x.h", "");
    Scratch inner(dir.root);

    make_repository(inner);
    inner.put("x.h", "");
    inner.put("build.toml", std::string(manifest).replace(std::string(manifest).find("cpu/a.c"), 7,
                                                          "cpu/a.c\", \"x.h"));
    inner.put("cpu/a.c", "#include \"../../x.h\"\n");
    EXPECT_EQ(findings(inner.root), Words{ "header-outside: 'cpu/a.c' includes '" + outside +
                                           "', which is outside the repository" });
    inner.put("cpu/a.c", "#include \"" + outside + "\"\n#include \"/dev/null\"\n");
    EXPECT_EQ(findings(inner.root), Words{ "header-outside: 'cpu/a.c' includes '" + outside +
                                           "', which is outside the repository" });
    inner.put("cpu/a.c", "#include \"/etc/passwd\"\n"); /* shorter than the folder's own name */
    EXPECT_EQ(findings(inner.root),
              Words{ "header-outside: 'cpu/a.c' includes '/etc/passwd', which "
                     "is outside the repository" });
}

// What is none of the four kinds is said to be none, not checked as something else.
TEST(Check, NothingToCheck)
{
    Scratch dir;

    EXPECT_EQ(findings(dir.root), Words{ "error: '" + dir.root +
                                         "' holds neither build.toml, nor metadata.json, nor a "
                                         "build folder" });
    std::filesystem::create_directories(dir / "build/wheel");
    EXPECT_EQ(findings(dir.root),
              Words{ "error: '" + dir.root + "/build' holds no folder named like a variant" });
    EXPECT_EQ(findings(dir / "none"),
              Words{ "error: unable to open '" + (dir / "none") + "': No such file or directory" });
}

const char metadata[] = "{\"name\": \"ab\", \"id\": \"ab\", \"version\": 1, \"license\": \"MIT\", "
                        "\"python-depends\": [], \"backend\": {\"type\": \"%s\"}, \"digest\": "
                        "{\"algorithm\": \"sha256\", \"files\": {\"__init__.py\": "
                        "\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"}}}";

std::string make_hub_folder(const Scratch &dir, const std::string &variant, const char *backend)
{
    char text[1000];

    snprintf(text, sizeof text, metadata, backend);
    dir.put("build/" + variant + "/__init__.py", "");
    dir.put("build/" + variant + "/metadata.json", text);
    return dir / ("build/" + variant);
}

// Completion adds a slash, and people stand in the folder: it is the same folder.
TEST(Check, HubFolderByAnyName)
{
    Scratch dir;
    const std::string folder = make_hub_folder(dir, "torch-cpu", "cpu");

    EXPECT_EQ(findings(folder), Words{});
    EXPECT_EQ(findings(folder + "/"), Words{});
    EXPECT_EQ(findings(folder + "/."), Words{});
    EXPECT_EQ(findings(dir.root), Words{});
    EXPECT_EQ(findings(dir.root + "/"), Words{});
    Inside inside(folder);
    EXPECT_EQ(findings("."), Words{});
    EXPECT_EQ(findings("../torch-cpu"), Words{});
}

// The backend in the name and the one in metadata.json are one backend, spelled in two ways.
TEST(Check, BackendOfAHubFolder)
{
    const struct {
        const char *variant, *backend;
    } good[] = { { "torch213-cxx11-cpu-x86_64-linux", "cpu" },
                 { "torch213-cxx11-cu126-x86_64-linux", "cuda" },
                 { "torch213-cxx11-rocm72-x86_64-linux", "rocm" },
                 { "torch213-cxx11-xpu20260-x86_64-linux", "xpu" },
                 { "torch213-cxx11-cann81-aarch64-linux", "cann" },
                 { "torch213-metal-aarch64-darwin", "metal" },
                 { "torch-rocm", "rocm" } };

    for (const auto &c : good) {
        Scratch dir;
        EXPECT_EQ(findings(make_hub_folder(dir, c.variant, c.backend)), Words{}) << c.variant;
        EXPECT_EQ(findings(make_hub_folder(dir, c.variant, "tpu")),
                  Words{ "metadata-backend: the folder's name and metadata.json disagree on the "
                         "backend, which the latter calls 'tpu'" })
            << c.variant;
    }
}

// Each key that the client's parser insists on, when it is missing.
TEST(Check, KeysOfMetadata)
{
    Scratch dir;
    const std::string folder = make_hub_folder(dir, "torch-cpu", "cpu");

    dir.put("build/torch-cpu/metadata.json", "{\"backend\": {}, \"version\": \"1\"}");
    EXPECT_EQ(findings(folder),
              (Words{ "metadata-key: key 'name' is missing; expected a string",
                      "metadata-key: key 'id' is missing; expected a string",
                      "metadata-key: key 'license' is missing; expected a string",
                      "metadata-key: key 'version' is a string; expected an integer",
                      "metadata-key: key 'python-depends' is missing; expected an array",
                      "metadata-key: key 'type' is missing; expected a string",
                      "digest: key 'digest' is missing; expected an object" }));
}

// One run shows everything: a library that cannot be read is a finding among the others.
TEST(Check, BrokenLibraryInAHubFolder)
{
    Scratch dir;
    const std::string folder = make_hub_folder(dir, "torch-stable-abi210-cpu-x86_64-linux", "cpu");

    dir.put("build/torch-stable-abi210-cpu-x86_64-linux/libab.so", "no library\n");
    std::vector<std::string> found = findings(folder);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0], "digest: '" + folder + "/libab.so' is not in metadata.json");
    EXPECT_EQ(found[1].rfind("library-broken: ", 0), 0u) << found[1];
}

// Findings quote names from files; what reaches a terminal must be text.
TEST(Check, FindingsArePrintable)
{
    km_findings f = {};

    EXPECT_EQ(
        km_findings_add(&f, KM_FINDING_ERROR, "code", "a\x1b[1m", "h\xff", nullptr, "m\x1b%c", 7),
        0);
    EXPECT_STREQ(f.items[0].place, "a?[1m");
    EXPECT_STREQ(f.items[0].hint, "h?");
    EXPECT_STREQ(f.items[0].message, "m??");
    km_findings_release(&f);
}

// A limit on findings, and errors counted apart from warnings.
TEST(Check, CountsAndLimit)
{
    km_findings f = {};
    km_err err = KM_ERR_INIT;

    for (int i = 0; i < KM_FINDINGS_MAX; i++)
        ASSERT_EQ(km_findings_add(&f, i % 4 ? KM_FINDING_WARNING : KM_FINDING_ERROR, "code",
                                  "place", "", &err, "%d", i),
                  0);
    EXPECT_EQ(f.count, (size_t)KM_FINDINGS_MAX);
    EXPECT_EQ(f.errors, (size_t)KM_FINDINGS_MAX / 4);
    EXPECT_EQ(km_findings_add(&f, KM_FINDING_ERROR, "code", "place", "", &err, "x"), KM_ELIMIT);
    EXPECT_STREQ(f.items[999].message, "999");
    km_findings_release(&f);
}

} // namespace
