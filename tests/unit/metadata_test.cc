#include "scratch.h"

#include <jansson.h>

#include <string>

extern "C" {
#include "formats/json.h"
#include "pkg/metadata.h"
}

namespace
{

/* A Hub folder with metadata as we write it. */
class Metadata : public testing::Test
{
  protected:
    void SetUp() override
    {
        km_plan p = {};

        folder.put("repo/build.toml",
                   "[general]\nname = \"demo-norm\"\nversion = 2\nedition = 5\nlicense = "
                   "\"MIT\"\nbackends = [\"cpu\", \"cuda\"]\nupstream = "
                   "\"https://a/b\"\npython-depends = [\"einops\"]\nkernel-depends = [{ repo-id = "
                   "\"o/a\", version = 3 }]\n[general.cuda]\npython-depends = "
                   "[\"nvidia-cutlass-dsl\"]\nkernel-depends = [{ repo-id = \"o/b\", revision = "
                   "\"main\" }]\n[torch]\n");
        ASSERT_EQ(km_manifest_read(&m, (folder / "repo").c_str(), &err), 0) << err.message;
        folder.put("hub/__init__.py", "import torch\n");
        folder.put("hub/sub/layers.py", "");
        folder.put("hub/libdemo_norm.so", std::string("\x7f"
                                                      "ELF\0",
                                                      5));
        folder.put("hub/__pycache__/x.pyc", "not hashed");
        dir = folder / "hub";
        p.m = &m;
        snprintf(p.products[KM_FLAVOR_CUDA].id, sizeof p.products[0].id, "demo_norm_0123456789ab");
        ASSERT_EQ(km_archs_parse("90a,75+PTX,100f", &p.archs, &err), 0);
        ASSERT_EQ(km_metadata_write(&p, KM_FLAVOR_CUDA, dir.c_str(), &err), 0) << err.message;
    }
    void TearDown() override
    {
        km_manifest_release(&m);
    }
    int verify()
    {
        return km_metadata_verify(dir.c_str(), &err);
    }

    Scratch folder;
    km_manifest m = {};
    km_err err = KM_ERR_INIT;
    std::string dir;
};

// Every key that the client's parser wants, of the type it wants (kernels-contract.md 3.4).
TEST_F(Metadata, KeysOfTheContract)
{
    const char *name, *id, *license, *upstream, *type, *first, *algorithm, *hash;
    int version, depend_version;
    json_t *root, *files, *python, *kernels, *archs;

    ASSERT_EQ(km_json_read((dir + "/metadata.json").c_str(), &root, &err), 0) << err.message;
    ASSERT_EQ(json_unpack(root, "{s:s,s:s,s:i,s:s,s:s,s:o,s:o,s:{s:s,s:o},s:{s:s,s:o}}", "name",
                          &name, "id", &id, "version", &version, "license", &license, "upstream",
                          &upstream, "python-depends", &python, "kernel-depends", &kernels,
                          "backend", "type", &type, "archs", &archs, "digest", "algorithm",
                          &algorithm, "files", &files),
              0);
    EXPECT_STREQ(name, "demo-norm");
    EXPECT_STREQ(id, "demo_norm_0123456789ab");
    EXPECT_EQ(version, 2);
    EXPECT_STREQ(license, "MIT");
    EXPECT_STREQ(upstream, "https://a/b");
    EXPECT_STREQ(type, "cuda");
    EXPECT_EQ(json_object_get(root, "source"), nullptr) << "left out when not given";
    char *text = json_dumps(archs, 0);
    EXPECT_STREQ(text, "[\"7.5+PTX\", \"9.0a\", \"10.0f\"]");
    free(text);
    text = json_dumps(python, 0);
    EXPECT_STREQ(text, "[\"einops\", \"nvidia-cutlass-dsl\"]");
    free(text);
    ASSERT_EQ(json_unpack(kernels, "[{s:s,s:i},{s:s}]", "repo-id", &first, "version",
                          &depend_version, "revision", &hash),
              0);
    EXPECT_STREQ(first, "o/a");
    EXPECT_EQ(depend_version, 3);
    EXPECT_STREQ(hash, "main");
    EXPECT_STREQ(algorithm, "sha256");
    EXPECT_EQ(json_object_size(files), 3u) << "all but metadata.json and bytecode";
    ASSERT_EQ(json_unpack(files, "{s:s}", "sub/layers.py", &hash), 0);
    EXPECT_STREQ(hash, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=") << "the hash of nothing";
    json_decref(root);
}

// What was written is what is there.
TEST_F(Metadata, VerifiesItself)
{
    EXPECT_EQ(verify(), 0) << err.message;
    folder.put("hub/__pycache__/y.pyc", "new");
    folder.put("hub/metadata.json.sigstore", "{}");
    EXPECT_EQ(verify(), 0) << "what the client leaves out: " << err.message;
}

// The digest exists for these: a byte changed, a file added, a file gone, one smuggled in as a
// link.
TEST_F(Metadata, FindsEveryKindOfTampering)
{
    folder.put("hub/__init__.py", "import t0rch\n");
    EXPECT_EQ(verify(), KM_EFORMAT);
    EXPECT_EQ(std::string(err.message),
              "'" + dir + "/__init__.py' is not the file that metadata.json describes");
    folder.put("hub/__init__.py", "import torch\n");
    ASSERT_EQ(verify(), 0);

    folder.put("hub/sub/more.py", "");
    EXPECT_EQ(verify(), KM_EFORMAT);
    EXPECT_EQ(std::string(err.message), "'" + dir + "/sub/more.py' is not in metadata.json");
    unlink((dir + "/sub/more.py").c_str());

    unlink((dir + "/sub/layers.py").c_str());
    EXPECT_EQ(verify(), KM_EFORMAT);
    EXPECT_EQ(std::string(err.message),
              "'" + dir + "/sub/layers.py' is in metadata.json and not there");

    ASSERT_EQ(symlink("/dev/null", (dir + "/sub/layers.py").c_str()), 0);
    EXPECT_EQ(verify(), KM_EFORMAT);
    EXPECT_EQ(std::string(err.message), "'" + dir + "/sub/layers.py' is a symbolic link");
}

// Metadata from a stranger may be anything: an error each time, with what is wrong.
TEST_F(Metadata, BrokenDocuments)
{
    const struct {
        const char *text;
        int code;
    } cases[] = {
        { "", KM_EFORMAT },
        { "[]", KM_EFORMAT },
        { "{}", KM_EFORMAT },
        { "{\"digest\": null}", KM_EFORMAT },
        { "{\"digest\": {}}", KM_EFORMAT },
        { "{\"digest\": {\"algorithm\": \"sha256\"}}", KM_EFORMAT },
        { "{\"digest\": {\"algorithm\": \"md5\", \"files\": {}}}", KM_EFORMAT },
        { "{\"digest\": {\"algorithm\": \"sha256\", \"files\": []}}", KM_EFORMAT },
        { "{\"digest\": {\"algorithm\": \"sha256\", \"files\": {}}}", KM_EFORMAT },
        { "{\"digest\": {\"algorithm\": \"sha256\", \"files\": {\"__init__.py\": 1}}}",
          KM_EFORMAT },
        { "{\"digest\": {\"algorithm\": \"sha256\", \"files\": {\"../../etc/passwd\": \"\"}}}",
          KM_EFORMAT },
    };

    for (const auto &c : cases) {
        folder.put("hub/metadata.json", c.text);
        EXPECT_EQ(verify(), c.code) << c.text;
        EXPECT_STRNE(err.message, "");
    }
    unlink((dir + "/metadata.json").c_str());
    EXPECT_EQ(verify(), KM_ENOENT);
}

// A document cut at any byte verifies nothing.
TEST_F(Metadata, CutAtEveryByte)
{
    const std::string whole = slurp(dir + "/metadata.json");

    for (size_t n = 0; n + 2 < whole.size(); n++) {
        folder.put("hub/metadata.json", whole.substr(0, n));
        ASSERT_EQ(verify(), KM_EFORMAT) << n;
    }
}

} // namespace
