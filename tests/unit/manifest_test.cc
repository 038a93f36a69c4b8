#include "scratch.h"

#include <string>
#include <vector>

extern "C" {
#include "pkg/manifest.h"
}

namespace
{

/* Every key of Hugging Face's format 5 (kernels-contract.md 1.2), but for the other frameworks. */
const char full[] = R"([general]
name = "demo-norm"
version = 3
edition = 5
license = "MIT"
upstream = "https://example.org/upstream.git"
source = "git@example.org:owner/source.git"
backends = ["cpu", "cuda", "rocm", "xpu", "metal", "neuron"]
python-depends = ["einops", "tvm-ffi"]
kernel-depends = [
    { repo-id = "owner/one", version = 2 },
    { repo-id = "owner/two", revision = "main" },
]

[general.hub]
repo-id = "owner/demo-norm"
branch = "try"

[general.cuda]
minver = "12.6"
maxver = "13.0"
python-depends = ["nvidia-cutlass-dsl"]
kernel-depends = [{ repo-id = "owner/cuda-only", version = 0 }]

[general.neuron]
python-depends = ["nki"]
kernel-depends = []

[general.tpu]
python-depends = []

[general.xpu]
python-depends = ["onednn"]

[torch]
src = ["torch-ext/torch_binding.c", "norm.h"]
pyext = ["py", "json"]
include = [".", "include"]
minver = "2.10"
maxver = "2.15.1"
cxx-flags = ["-Wextra", "-DNAME=\"a b\""]
stable-abi = { cpu = "2.10", cuda = "2.11" }

[kernel.norm_cpu]
backend = "cpu"
depends = []
src = ["cpu/norm.c"]
include = ["cpu"]
cxx-flags = ["-O3"]

[kernel."free text"]
backend = "cuda"
depends = ["torch", "cutlass_4_0"]
src = ["cuda/norm.cu", "cuda/norm.c"]
cuda-capabilities = ["8.0", "9.0a", "10.0f", "7.5+PTX"]
cuda-flags = ["--use_fast_math"]
cuda-minver = "12.8"

[kernel.norm_rocm]
backend = "rocm"
depends = ["torch"]
src = ["rocm/norm.hip"]
rocm-archs = ["gfx942"]
hip-flags = ["-O3"]

[kernel.norm_xpu]
backend = "xpu"
depends = ["torch", "sycl_tla"]
src = []
sycl-flags = ["-O3"]

[kernel.norm_metal]
backend = "metal"
depends = ["torch", "metal-cpp"]
src = ["metal/norm.metal"]
)";

const char full_card[] = R"(summary = "a norm"
operators = ["norm", "add_norm"]
layers = ["Norm"]
models = ["Llama"]
limits = ["float32"]
entry-points = 60

[wheel]
version = "3.1.4"
requires = ["numpy>=2"]
requires-python = ">=3.11"
)";

/* A manifest in a folder of its own, perhaps with a card. */
class Manifest
{
  public:
    explicit Manifest(const std::string &text, const char *card = nullptr)
    {
        dir.put("build.toml", text);
        if (card)
            dir.put("card.toml", card);
        rc = km_manifest_read(&m, dir.root.c_str(), &err);
    }
    ~Manifest()
    {
        if (rc == 0)
            km_manifest_release(&m);
    }
    Manifest(const Manifest &) = delete;
    Manifest &operator=(const Manifest &) = delete;

    /* The error as the command line shows it, the folder left out. */
    std::string error() const
    {
        std::string place = err.place;

        if (place.rfind(dir.root + "/", 0) == 0)
            place = place.substr(dir.root.size() + 1);
        return place + ": " + err.message + (*err.hint ? "\n" + std::string(err.hint) : "");
    }

    Scratch dir{ in_memory() };
    km_manifest m = {};
    km_err err = KM_ERR_INIT;
    int rc;
};

std::vector<std::string> items(const km_list &list)
{
    return std::vector<std::string>(list.items, list.items + list.count);
}

std::string text(const km_version &v)
{
    std::string s;

    for (unsigned i = 0; i < v.count; i++)
        s += (i ? "." : "") + std::to_string(v.part[i]);
    return s;
}

using Words = std::vector<std::string>;

// A key that is accepted and not kept is worse than one that is refused.
TEST(Manifest, EveryGeneralKeyIsRead)
{
    Manifest r(full, full_card);
    const km_manifest &m = r.m;

    ASSERT_EQ(r.rc, 0) << r.error();
    EXPECT_EQ(std::string(m.dir), std::filesystem::canonical(r.dir.root).string());
    EXPECT_EQ(std::string(m.path), r.dir / "build.toml");
    EXPECT_STREQ(m.name, "demo-norm");
    EXPECT_STREQ(m.import_name, "demo_norm");
    EXPECT_EQ(m.version, 3);
    EXPECT_EQ(m.edition, 5);
    EXPECT_STREQ(m.license, "MIT");
    EXPECT_STREQ(m.upstream, "https://example.org/upstream.git");
    EXPECT_STREQ(m.source, "git@example.org:owner/source.git");
    EXPECT_STREQ(m.repo_id, "owner/demo-norm");
    EXPECT_STREQ(m.branch, "try");
    EXPECT_EQ(items(m.python_depends), (Words{ "einops", "tvm-ffi" }));
    for (int b = 0; b < KM_BACKEND_COUNT; b++)
        EXPECT_EQ(m.backends[b], b != KM_BACKEND_CANN && b != KM_BACKEND_TPU)
            << km_backend_names[b];
    ASSERT_EQ(m.kernel_depends.count, 2u);
    EXPECT_STREQ(m.kernel_depends.items[0].repo_id, "owner/one");
    EXPECT_EQ(m.kernel_depends.items[0].version, 2);
    EXPECT_EQ(m.kernel_depends.items[0].revision, nullptr);
    EXPECT_STREQ(m.kernel_depends.items[1].revision, "main");
    EXPECT_EQ(m.kernel_depends.items[1].version, -1);
}

// A dependency of one backend must not become everybody's.
TEST(Manifest, EveryBackendKeyIsRead)
{
    Manifest r(full);
    const km_backend_general *of = r.m.of;

    ASSERT_EQ(r.rc, 0) << r.error();
    EXPECT_EQ(text(of[KM_BACKEND_CUDA].minver), "12.6");
    EXPECT_EQ(text(of[KM_BACKEND_CUDA].maxver), "13.0");
    EXPECT_EQ(items(of[KM_BACKEND_CUDA].python_depends), Words{ "nvidia-cutlass-dsl" });
    ASSERT_EQ(of[KM_BACKEND_CUDA].kernel_depends.count, 1u);
    EXPECT_EQ(of[KM_BACKEND_CUDA].kernel_depends.items[0].version, 0) << "alpha is a version";
    EXPECT_EQ(items(of[KM_BACKEND_NEURON].python_depends), Words{ "nki" });
    EXPECT_EQ(items(of[KM_BACKEND_XPU].python_depends), Words{ "onednn" });
}

// What the binding is compiled from and with, and for which torch.
TEST(Manifest, EveryTorchKeyIsRead)
{
    Manifest r(full);
    const km_manifest &m = r.m;

    ASSERT_EQ(r.rc, 0) << r.error();
    EXPECT_EQ(m.framework, KM_TORCH);
    EXPECT_EQ(items(m.torch_src), (Words{ "torch-ext/torch_binding.c", "norm.h" }));
    EXPECT_EQ(items(m.torch_pyext), (Words{ "py", "json" }));
    EXPECT_EQ(items(m.torch_include), (Words{ ".", "include" }));
    EXPECT_EQ(text(m.torch_minver), "2.10");
    EXPECT_EQ(text(m.torch_maxver), "2.15.1");
    EXPECT_EQ(items(m.torch_cxx_flags), (Words{ "-Wextra", "-DNAME=\"a b\"" }));
    EXPECT_EQ(text(m.stable_abi[KM_BACKEND_CPU]), "2.10");
    EXPECT_EQ(text(m.stable_abi[KM_BACKEND_CUDA]), "2.11");
    EXPECT_EQ(m.stable_abi[KM_BACKEND_ROCM].count, 0u);
}

// What is compiled for each backend: a flag that is dropped is a slower kernel, or a wrong one.
TEST(Manifest, EveryKernelKeyIsRead)
{
    Manifest r(full);
    const km_manifest &m = r.m;

    ASSERT_EQ(r.rc, 0) << r.error();
    ASSERT_EQ(m.kernel_count, 5u);
    EXPECT_STREQ(m.kernels[0].name, "norm_cpu");
    EXPECT_EQ(m.kernels[0].backend, KM_BACKEND_CPU);
    EXPECT_TRUE(m.kernels[0].depends.given);
    EXPECT_EQ(m.kernels[0].depends.count, 0u);
    EXPECT_EQ(items(m.kernels[0].src), Words{ "cpu/norm.c" });
    EXPECT_EQ(items(m.kernels[0].include), Words{ "cpu" });
    EXPECT_EQ(items(m.kernels[0].cxx_flags), Words{ "-O3" });
    EXPECT_STREQ(m.kernels[1].name, "free text");
    EXPECT_EQ(items(m.kernels[1].depends), (Words{ "torch", "cutlass_4_0" }));
    EXPECT_EQ(items(m.kernels[1].cuda_capabilities), (Words{ "8.0", "9.0a", "10.0f", "7.5+PTX" }));
    EXPECT_EQ(items(m.kernels[1].cuda_flags), Words{ "--use_fast_math" });
    EXPECT_EQ(text(m.kernels[1].cuda_minver), "12.8");
    EXPECT_FALSE(m.kernels[1].include.given);
    EXPECT_EQ(items(m.kernels[2].rocm_archs), Words{ "gfx942" });
    EXPECT_EQ(items(m.kernels[2].hip_flags), Words{ "-O3" });
    EXPECT_EQ(items(m.kernels[3].sycl_flags), Words{ "-O3" });
    EXPECT_EQ(m.kernels[4].backend, KM_BACKEND_METAL);
}

// What the wheel and the card are made from.
TEST(Manifest, EveryCardKeyIsRead)
{
    Manifest r(full, full_card);
    const km_card &c = r.m.card;

    ASSERT_EQ(r.rc, 0) << r.error();
    EXPECT_TRUE(r.m.has_card);
    EXPECT_STREQ(c.summary, "a norm");
    EXPECT_EQ(items(c.operators), (Words{ "norm", "add_norm" }));
    EXPECT_EQ(items(c.layers), Words{ "Norm" });
    EXPECT_EQ(items(c.models), Words{ "Llama" });
    EXPECT_EQ(items(c.limits), Words{ "float32" });
    EXPECT_EQ(c.entry_points, 60);
    EXPECT_STREQ(c.wheel_version, "3.1.4");
    EXPECT_EQ(items(c.requires), Words{ "numpy>=2" });
    EXPECT_STREQ(c.requires_python, ">=3.11");
    EXPECT_FALSE(Manifest(full).m.has_card);
}

const std::string general = "[general]\nname = \"ab\"\nversion = 1\nedition = 5\nlicense = "
                            "\"MIT\"\nbackends = [\"cuda\"]\n";

// The other two frameworks are read whole, so that `check` can speak about them.
TEST(Manifest, OtherFrameworks)
{
    Manifest noarch(general + "[torch-noarch]\npyext = [\"json\"]\ncuda_capabilities = "
                              "[\"9.0\"]\nrocm_archs = [\"gfx942\"]\n[kernel]\n");
    Manifest tvm(general + "[tvm-ffi]\nsrc = [\"a.cc\"]\ninclude = [\".\"]\npyext = "
                           "[\"py\"]\ncxx-flags = [\"-O2\"]\n");

    ASSERT_EQ(noarch.rc, 0) << noarch.error();
    EXPECT_EQ(noarch.m.framework, KM_TORCH_NOARCH);
    EXPECT_EQ(items(noarch.m.torch_pyext), Words{ "json" });
    EXPECT_EQ(noarch.m.kernel_count, 0u);
    ASSERT_EQ(tvm.rc, 0) << tvm.error();
    EXPECT_EQ(tvm.m.framework, KM_TVM_FFI);
    EXPECT_EQ(items(tvm.m.torch_src), Words{ "a.cc" });
}

// One version for all backends is the common spelling.
TEST(Manifest, OneStableAbiForAll)
{
    Manifest r(general + "[torch]\nstable-abi = \"2.11\"\n");

    ASSERT_EQ(r.rc, 0) << r.error();
    for (const km_version &v : r.m.stable_abi)
        EXPECT_EQ(text(v), "2.11");
}

// A folder, its build.toml, a relative path, a link: the repository is the same.
TEST(Manifest, PathsOfARepository)
{
    Scratch dir;
    Inside folder(dir.root);

    dir.put("repo/build.toml", general + "[torch]\n");
    ASSERT_EQ(symlink("repo", (dir / "link").c_str()), 0);
    for (const char *path :
         { "repo", "repo/", "./repo", "repo/build.toml", "link", "repo/../repo" }) {
        km_manifest m;
        km_err err = KM_ERR_INIT;
        ASSERT_EQ(km_manifest_read(&m, path, &err), 0) << path << ": " << err.message;
        EXPECT_EQ(std::string(m.dir), std::filesystem::canonical(dir.root).string() + "/repo");
        km_manifest_release(&m);
    }
}

// What is missing must be told apart from what is broken, with the way out.
TEST(Manifest, NoManifest)
{
    Scratch dir;
    km_manifest m;
    km_err err = KM_ERR_INIT;

    EXPECT_EQ(km_manifest_read(&m, dir.root.c_str(), &err), KM_ENOENT);
    EXPECT_STREQ(err.hint, "a kernel repository has a build.toml; 'kernmill init NAME' makes one");
    EXPECT_EQ(km_manifest_read(&m, (dir / "none").c_str(), nullptr), KM_ENOENT);
}

/* Whether a text that is cut somewhere was read as TOML and judged, one way or the other. */
void expect_a_verdict(const Manifest &r, size_t n, const char *file)
{
    if (r.rc == 0)
        return;
    EXPECT_TRUE(r.rc == KM_EFORMAT || r.rc == KM_ELIMIT) << n;
    EXPECT_EQ(r.rc, r.err.code) << n;
    EXPECT_NE(std::string(r.err.place).find(std::string(file) + ":"), std::string::npos) << n;
    EXPECT_STRNE(r.err.message, "") << n;
}

// A manifest cut at any byte is an error with a place or a whole document, never a crash.
TEST(Manifest, CutAtEveryByte)
{
    const std::string whole = full;
    size_t read = 0;

    for (size_t n = 0; n < whole.size(); n++) {
        Manifest r(whole.substr(0, n));
        expect_a_verdict(r, n, "build.toml");
        read += r.rc == 0;
    }
    EXPECT_GT(read, 5u) << "some cuts leave a document";
    EXPECT_LT(read, whole.size() / 4);
}

// The same for the card beside it.
TEST(Manifest, CardCutAtEveryByte)
{
    const std::string whole = full_card;

    for (size_t n = 0; n < whole.size(); n++)
        expect_a_verdict(Manifest(full, whole.substr(0, n).c_str()), n, "card.toml");
}

// Any one byte changed, too: a manifest is written by hand.
TEST(Manifest, EveryByteChanged)
{
    const std::string whole = full;

    for (size_t n = 0; n < whole.size(); n++)
        for (char c : { '"', '\n' }) {
            std::string text = whole;
            text[n] = c;
            expect_a_verdict(Manifest(text), n, "build.toml");
        }
}

// A caller that wants only the code passes no km_err, on every path.
TEST(Manifest, WorksWithoutAnError)
{
    const std::string whole = full;

    for (size_t n = 0; n < whole.size(); n += 3) {
        Scratch dir;
        km_manifest m;
        dir.put("build.toml", whole.substr(0, n) + "\nx = [1\n");
        EXPECT_LT(km_manifest_read(&m, dir.root.c_str(), nullptr), 0);
    }
}

// The rule of Hugging Face's builder, ^[a-z][-a-z0-9]*[a-z0-9]$: a name it refuses cannot be
// shared.
TEST(Manifest, Names)
{
    for (const char *name : { "ab", "a1", "a-b", "a--b", "rmsnorm", "k2-x", "a-1" })
        EXPECT_EQ(
            Manifest("[general]\nname = \"" + std::string(name) + general.substr(20) + "[torch]\n")
                .rc,
            0)
            << name;
    for (const char *name : { "a", "A", "Ab", "aB", "1a", "-a", "a-", "a_b", "a b", "a.b", "a/b",
                              "caf\xc3\xa9", "ab\\n" }) {
        Manifest r("[general]\nname = \"" + std::string(name) + general.substr(20) + "[torch]\n");
        EXPECT_EQ(r.rc, KM_EFORMAT) << name;
        EXPECT_EQ(r.error().substr(0, 15), "build.toml:2:8:") << r.error();
    }
}

// git clones all of these; a checker that refuses one of them sends its author away.
TEST(Manifest, GitUrls)
{
    auto with = [](const std::string &url) {
        return Manifest(general + "upstream = \"" + url + "\"\n[torch]\n").rc;
    };

    for (const char *url :
         { "https://a/b", "http://a/b", "git://a/b", "ssh://git@a/b", "git+https://a/b",
           "git+http://a/b", "git+ssh://a/b", "git@a:b/c.git" })
        EXPECT_EQ(with(url), 0) << url;
    for (const char *url : { "a/b", "ftp://a/b", "file:///a", "https:/a", "/a/b", "a:b", "" })
        EXPECT_EQ(with(url), KM_EFORMAT) << url;
}

// 2.9 is older than 2.10, and "13" is "13.0".
TEST(Version, ParseAndCompare)
{
    const char *const rising[] = { "0",    "1",        "1.0.1", "2.9", "2.9.9",
                                   "2.10", "2.10.0.1", "12.8",  "13" };
    km_version a, b;

    for (size_t i = 0; i < std::size(rising); i++)
        for (size_t j = 0; j < std::size(rising); j++) {
            ASSERT_TRUE(km_version_parse(rising[i], &a) && km_version_parse(rising[j], &b));
            int order = km_version_compare(&a, &b);
            EXPECT_EQ(order < 0, i < j) << rising[i] << " " << rising[j];
            EXPECT_EQ(order == 0, i == j);
        }
    ASSERT_TRUE(km_version_parse("13", &a) && km_version_parse("13.0.0", &b));
    EXPECT_EQ(km_version_compare(&a, &b), 0);
    EXPECT_EQ(text(b), "13.0.0") << "what was written is kept";
    for (const char *bad : { "", ".", "1.", ".1", "1..2", "1.2.3.4.5", "v1", "1a", "1.0rc1", "-1",
                             "+1", " 1", "1 ", "1234567", "1,2" })
        EXPECT_FALSE(km_version_parse(bad, &a)) << bad;
}

} // namespace
