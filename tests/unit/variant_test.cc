#include <gtest/gtest.h>

#include <string>

extern "C" {
#include "pkg/variant.h"
}

namespace
{

/* "stable 2.10 cu126 (12.6) x86_64 linux", or the error. */
std::string parsed(const std::string &name)
{
    static const char *const kinds[] = { "stable", "torch", "tvm-ffi", "noarch" };
    km_err err = KM_ERR_INIT;
    km_variant v;

    if (km_variant_parse(name.c_str(), &v, &err) < 0)
        return err.message;
    std::string s = kinds[v.kind];
    if (v.kind != KM_VARIANT_NOARCH)
        s += " " + std::to_string(v.major) + "." + std::to_string(v.minor);
    s += " " + std::string(v.compute);
    if (v.cuda_major)
        s += " (" + std::to_string(v.cuda_major) + "." + std::to_string(v.cuda_minor) + ")";
    if (v.kind != KM_VARIANT_NOARCH)
        s += " " + std::string(v.cpu) + " " + v.os;
    return s;
}

} // namespace

// The names in use (kernels-contract.md 2): one read differently from the client is one not found.
TEST(Variant, NamesOfTheContract)
{
    const struct {
        const char *name, *parsed;
    } cases[] = {
        { "torch-stable-abi210-cu126-x86_64-linux", "stable 2.10 cu126 (12.6) x86_64 linux" },
        { "torch-stable-abi29-cu130-aarch64-linux", "stable 2.9 cu130 (13.0) aarch64 linux" },
        { "torch-stable-abi210-cpu-x86_64-linux", "stable 2.10 cpu x86_64 linux" },
        { "torch213-cxx11-cu132-x86_64-linux", "torch 2.13 cu132 (13.2) x86_64 linux" },
        { "torch213-cxx98-cpu-x86_64-linux", "torch 2.13 cpu x86_64 linux" },
        { "torch27-cxx11-cu118-x86_64-linux", "torch 2.7 cu118 (11.8) x86_64 linux" },
        { "torch212-metal-aarch64-darwin", "torch 2.12 metal aarch64 darwin" },
        { "torch210-cu128-x86_64-windows", "torch 2.10 cu128 (12.8) x86_64 windows" },
        { "torch213-cxx11-rocm72-x86_64-linux", "torch 2.13 rocm72 x86_64 linux" },
        { "torch213-cxx11-xpu20260-x86_64-linux", "torch 2.13 xpu20260 x86_64 linux" },
        { "torch29-cxx11-cann81-aarch64-linux", "torch 2.9 cann81 aarch64 linux" },
        { "torch29-cxx11-neuron-x86_64-linux", "torch 2.9 neuron x86_64 linux" },
        { "torch211-tpu-x86_64-linux", "torch 2.11 tpu x86_64 linux" },
        { "torch300-cpu-x86_64-linux", "torch 3.0 cpu x86_64 linux" },
        { "tvm-ffi01-cpu-x86_64-linux", "tvm-ffi 0.1 cpu x86_64 linux" },
        { "tvm-ffi01-xpu20253-x86_64-linux", "tvm-ffi 0.1 xpu20253 x86_64 linux" },
        { "torch-cuda", "noarch cuda" },
        { "torch-cpu", "noarch cpu" },
        { "torch-npu", "noarch npu" },
        { "torch-universal", "noarch universal" },
    };

    for (const auto &c : cases)
        EXPECT_EQ(parsed(c.name), c.parsed) << c.name;
}

// A folder that the client skips without a word: we say which part it does not understand.
TEST(Variant, Refused)
{
    const struct {
        const char *name, *why;
    } cases[] = {
        { "", "'' is no variant: it starts with neither torch nor tvm-ffi" },
        { "wheel", "'wheel' is no variant: it starts with neither torch nor tvm-ffi" },
        { "Torch-cpu", "'Torch-cpu' is no variant: it starts with neither torch nor tvm-ffi" },
        { "torch", "variant 'torch' has no version after 'torch'" },
        { "torch2-cpu-x86_64-linux",
          "variant 'torch2-cpu-x86_64-linux' has no version after 'torch'" },
        { "torch-", "variant 'torch-' has an unknown backend ''" },
        { "torch-gpu", "variant 'torch-gpu' has an unknown backend 'gpu'" },
        { "torch-cpu-x86_64-linux",
          "variant 'torch-cpu-x86_64-linux' has an unknown backend 'cpu-x86_64-linux'" },
        { "torch213", "variant 'torch213' has no version after 'torch'" },
        { "torch2.13-cpu-x86_64-linux",
          "variant 'torch2.13-cpu-x86_64-linux' has no version after 'torch'" },
        { "torch-stable-abi-cpu-x86_64-linux",
          "variant 'torch-stable-abi-cpu-x86_64-linux' has no version after 'torch-stable-abi'" },
        { "tvm-ffi1-cpu-x86_64-linux",
          "variant 'tvm-ffi1-cpu-x86_64-linux' has no version after 'tvm-ffi'" },
        { "torch213-cpu", "variant 'torch213-cpu' must end with <backend>-<cpu>-<system>" },
        { "torch213-cpu-x86_64",
          "variant 'torch213-cpu-x86_64' must end with <backend>-<cpu>-<system>" },
        { "torch213-cpu-x86_64-linux-gnu",
          "variant 'torch213-cpu-x86_64-linux-gnu' must end with <backend>-<cpu>-<system>" },
        { "torch213--x86_64-linux",
          "variant 'torch213--x86_64-linux' must end with <backend>-<cpu>-<system>" },
        { "torch213-cpu-amd64-linux",
          "variant 'torch213-cpu-amd64-linux' names an unknown cpu 'amd64'" },
        { "torch213-cpu-x86_64-macos",
          "variant 'torch213-cpu-x86_64-macos' names an unknown system 'macos'" },
        { "torch213-cxx17-cpu-x86_64-linux",
          "variant 'torch213-cxx17-cpu-x86_64-linux' must end with <backend>-<cpu>-<system>" },
        { "torch213-gpu-x86_64-linux",
          "variant 'torch213-gpu-x86_64-linux' names an unknown backend 'gpu'" },
        { "torch213-cuda-x86_64-linux",
          "variant 'torch213-cuda-x86_64-linux' names an unknown backend 'cuda'" },
        { "torch213-cu-x86_64-linux",
          "variant 'torch213-cu-x86_64-linux' names an unknown backend 'cu'" },
        { "torch213-cu1-x86_64-linux",
          "variant 'torch213-cu1-x86_64-linux' names an unknown backend 'cu1'" },
        { "torch213-cu12.6-x86_64-linux",
          "variant 'torch213-cu12.6-x86_64-linux' names an unknown backend 'cu12.6'" },
        { "torch213-rocm-x86_64-linux",
          "variant 'torch213-rocm-x86_64-linux' names an unknown backend 'rocm'" },
        { "torch213-cpu2-x86_64-linux",
          "variant 'torch213-cpu2-x86_64-linux' names an unknown backend 'cpu2'" },
    };

    for (const auto &c : cases)
        EXPECT_EQ(parsed(c.name), c.why);
}

// Folder names come from anywhere: a long one must not leave its field.
TEST(Variant, LongNames)
{
    const std::string longest(10000, '1');

    for (const std::string &name :
         { "torch" + longest, "torch" + longest + "-cpu-x86_64-linux",
           "torch213-cu" + longest + "-x86_64-linux", "torch213-cpu-" + longest + "-linux",
           "torch213-cpu-x86_64-" + longest, "torch-" + longest,
           "tvm-ffi" + longest + "-cpu-x86_64-linux" })
        EXPECT_NE(parsed(name).find("variant"), std::string::npos);
}
