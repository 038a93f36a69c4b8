#include "scratch.h"

#include <cstring>
#include <string>

extern "C" {
#include "formats/zip.h"
#include "pkg/check.h"
#include "pkg/wheel.h"
}

namespace
{

/* A staged package, as km_stage leaves it, and the plan it came from. */
class Wheel : public testing::Test
{
  protected:
    void SetUp() override
    {
        write_manifest(
            "summary = \"a norm\"\n[wheel]\nversion = \"2.5.1\"\nrequires = [\"numpy>=2\"]\n");
        folder.put("repo/CARD.md", "---\nlicense: mit\n---\n# The norm\n");
        folder.put("build/wheel/demo_norm/__init__.py", "import torch\n");
        folder.put("build/wheel/demo_norm/_ops.py", "");
        folder.put("build/wheel/demo_norm/a/data.json", "{}\n");
        folder.put("build/wheel/demo_norm/__pycache__/x.pyc", "bytecode");
        build_dir = folder / "build";
        out = folder / "out";
        std::filesystem::create_directory(out);
    }
    void TearDown() override
    {
        km_manifest_release(&m);
        km_arena_release(&a);
    }
    void write_manifest(const std::string &card)
    {
        km_manifest_release(&m);
        folder.put("repo/build.toml",
                   "[general]\nname = \"demo-norm\"\nversion = 2\nedition = 5\nlicense = "
                   "\"MIT\"\nsource = \"https://a/b\"\nbackends = [\"cpu\", \"cuda\"]\n[torch]\n");
        folder.put("repo/card.toml", card);
        ASSERT_EQ(km_manifest_read(&m, (folder / "repo").c_str(), &err), 0) << err.message;
    }
    int write(km_flavor flavor = KM_FLAVOR_CUDA, bool editable = false)
    {
        km_plan p = {};

        p.m = &m;
        p.build_dir = build_dir.c_str();
        p.host = "x86_64";
        p.torch_minor = 11;
        p.wheel_flavor = flavor;
        return km_wheel_write(&a, &p, out.c_str(), editable, &path, &err);
    }
    /* A member's text, or "(none)". */
    std::string member(const std::string &name)
    {
        static const km_zip_limits limits = { 1 << 20, 1 << 20 };
        const std::string bytes = slurp(path);
        km_zip zip;

        EXPECT_EQ(km_zip_read(&a, bytes.data(), bytes.size(), path, &limits, &zip, &err), 0)
            << err.message;
        const km_zip_entry *e = km_zip_find(&zip, name.c_str());
        return e ? std::string((const char *)e->data, e->size) : "(none)";
    }

    Scratch folder;
    km_manifest m = {};
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    std::string build_dir, out;
    const char *path = nullptr;
};

// pip reads these texts; a wheel that lacks one installs nowhere.
TEST_F(Wheel, DistInfo)
{
    ASSERT_EQ(write(), 0) << err.message;
    EXPECT_EQ(std::string(path), out + "/demo_norm-2.5.1-py3-none-manylinux_2_28_x86_64.whl");
    EXPECT_EQ(member("demo_norm-2.5.1.dist-info/METADATA"),
              "Metadata-Version: 2.4\nName: demo-norm\nVersion: 2.5.1\nSummary: a "
              "norm\nLicense-Expression: MIT\nProject-URL: Source, https://a/b\nRequires-Python: "
              ">=3.10\nRequires-Dist: torch>=2.11\nRequires-Dist: "
              "numpy>=2\nDescription-Content-Type: text/markdown\n\n# The norm\n");
    EXPECT_EQ(member("demo_norm-2.5.1.dist-info/WHEEL"),
              "Wheel-Version: 1.0\nGenerator: kernmill " KM_VERSION
              "\nRoot-Is-Purelib: false\nTag: py3-none-manylinux_2_28_x86_64\n");
    EXPECT_EQ(member("demo_norm/a/data.json"), "{}\n");
    EXPECT_EQ(member("demo_norm/__pycache__/x.pyc"), "(none)");
    std::string record = member("demo_norm-2.5.1.dist-info/RECORD");
    EXPECT_EQ(record.rfind("demo_norm/__init__.py,sha256=", 0), 0u) << record;
    EXPECT_NE(record.find("\ndemo_norm-2.5.1.dist-info/RECORD,,\n"), std::string::npos);
}

// Our own check accepts what we write, whatever the folder and the umask.
TEST_F(Wheel, PassesTheCheckAndIsReproducible)
{
    km_findings f = {};

    ASSERT_EQ(write(), 0) << err.message;
    const std::string bytes = slurp(path);
    ASSERT_EQ(km_check_wheel(&f, bytes.data(), bytes.size(), path, &err), 0) << err.message;
    EXPECT_EQ(f.count, 0u) << f.items[0].message;
    km_findings_release(&f);

    mode_t old = umask(077);
    std::filesystem::rename(folder / "build", folder / "elsewhere");
    build_dir = folder / "elsewhere";
    out = folder / "other";
    std::filesystem::create_directory(out);
    chmod((build_dir + "/wheel/demo_norm/_ops.py").c_str(), 0755);
    ASSERT_EQ(write(), 0);
    umask(old);
    EXPECT_TRUE(slurp(path) == bytes);
}

// A CPU-only build of a CUDA kernel must not pass for the whole one.
TEST_F(Wheel, SlimWheelsHaveALocalVersion)
{
    ASSERT_EQ(write(KM_FLAVOR_CPU), 0) << err.message;
    EXPECT_EQ(std::string(path), out + "/demo_norm-2.5.1+cpu-py3-none-manylinux_2_28_x86_64.whl");
    EXPECT_NE(member("demo_norm-2.5.1+cpu.dist-info/METADATA").find("\nVersion: 2.5.1+cpu\n"),
              std::string::npos);
}

// pip install -e: Python is used where it is edited.
TEST_F(Wheel, EditableNamesTheSources)
{
    ASSERT_EQ(write(KM_FLAVOR_CUDA, true), 0) << err.message;
    EXPECT_EQ(member("__editable__.demo_norm.pth"), std::string(m.dir) + "/torch-ext\n");
    EXPECT_EQ(member("demo_norm/__init__.py"), "(none)");
}

// Without a version there is no wheel, and the user is told what to write where.
TEST_F(Wheel, NeedsAVersion)
{
    write_manifest("summary = \"a norm\"\n");
    EXPECT_EQ(write(), KM_EFORMAT);
    EXPECT_EQ(std::string(err.place), folder / "repo/build.toml:1:1");
    EXPECT_STREQ(err.message, "the wheel has no version");
    EXPECT_STREQ(err.hint, "add card.toml with [wheel] and version = \"2.0.0\"");
}

} // namespace
