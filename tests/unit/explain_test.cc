#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

extern "C" {
#include "pkg/explain_internal.h"
#include "pkg/system.h"
}

namespace
{

km_image cubin(unsigned sm, bool specific = false, unsigned abi = 7)
{
    km_image image = {};

    image.kind = KM_IMAGE_CUBIN;
    image.sm = sm;
    image.arch_specific = specific;
    image.isa_major = 1;
    image.isa_minor = abi;
    return image;
}

km_image ptx(unsigned sm, unsigned isa_minor = 8)
{
    km_image image = cubin(sm);

    image.kind = KM_IMAGE_PTX;
    image.isa_major = 8;
    image.isa_minor = isa_minor;
    return image;
}

/* A library of one device file, and what it is judged to be. */
struct Judged {
    km_arena arena = KM_ARENA_INIT;
    km_system s = {};
    km_candidate c = {};
    km_library_facts library = {};
    std::vector<km_image> images;

    Judged()
    {
        std::snprintf(s.os, sizeof s.os, "linux");
        std::snprintf(s.cpu, sizeof s.cpu, "x86_64");
        s.glibc = { 2, { 2, 31 } };
        s.torch = { 2, { 2, 12 } };
        km_system_set_backend(&s, "cu126");
        library.name = "lib.so";
        library.machine = "x86_64";
        library.glibc_symbol = "f";
    }

    ~Judged()
    {
        km_arena_release(&arena);
    }

    /* "driver for", "gpu against", ... in their order, but for those that are about the same thing
     * twice. */
    std::vector<std::string> judge(unsigned cuda_major = 12)
    {
        km_fatbin fatbin = { images.data(), images.size() };
        km_libraries libraries = { &library, 1 };
        km_err err = KM_ERR_INIT;
        struct judge j = {};
        std::vector<std::string> said;

        library.kernels = &fatbin;
        library.kernel_count = !images.empty();
        c = {};
        c.accepted = c.fits = true;
        j.a = &arena;
        j.s = &s;
        j.c = &c;
        j.root = "x";
        j.err = &err;
        km_judge_libraries(&j, &libraries, cuda_major);
        EXPECT_EQ(j.rc, 0);
        for (size_t i = 0; i < c.reason_count; i++)
            said.push_back(std::string(c.reasons[i].code) + " " +
                           km_reason_names[c.reasons[i].side]);
        return said;
    }

    bool says(const std::string &what, unsigned cuda_major = 12)
    {
        std::vector<std::string> said = judge(cuda_major);
        return std::find(said.begin(), said.end(), what) != said.end();
    }

    void gpu(unsigned sm, int driver)
    {
        s.gpus[0] = sm;
        s.gpu_count = 1;
        s.gpus_known = true;
        s.driver = driver;
    }
};

} // namespace

// A glibc is compared by number (2.9 is older than 2.17), and only where there is one.
TEST(Explain, Glibc)
{
    Judged x;

    for (unsigned needed : { 9u, 17u, 31u, 32u, 34u }) {
        x.library.glibc = { 2, { 2, needed } };
        EXPECT_EQ(x.says("glibc against"), needed > 31) << needed;
        EXPECT_EQ(x.c.fits, needed <= 31);
    }
    x.s.glibc = {};
    EXPECT_TRUE(x.says("glibc note"));
    EXPECT_TRUE(x.c.fits) << "what is not known is no obstacle";
    std::snprintf(x.s.os, sizeof x.s.os, "darwin");
    EXPECT_FALSE(x.says("glibc note"));
}

// Machine code runs within its major, an 'a' on its chip alone, PTX on anything newer.
TEST(Explain, ImagesOfAGpu)
{
    const struct {
        std::vector<km_image> images;
        unsigned sm;
        bool runs;
    } cases[] = {
        { { cubin(80) }, 80, true },       { { cubin(80) }, 89, true },
        { { cubin(86) }, 80, false },      { { cubin(80) }, 90, false },
        { { cubin(90, true) }, 90, true }, { { cubin(100, true, 8) }, 103, false },
        { { ptx(75) }, 75, true },         { { ptx(75) }, 120, true },
        { { ptx(80) }, 75, false },        { { cubin(75), ptx(90) }, 80, false },
    };
    Judged x;

    for (const auto &c : cases) {
        x.images = c.images;
        x.gpu(c.sm, 590);
        EXPECT_EQ(x.says("gpu for"), c.runs) << c.sm;
        EXPECT_EQ(x.says("gpu against"), !c.runs) << c.sm;
        EXPECT_EQ(x.c.fits, c.runs);
    }
}

// The driver has to know the image that this GPU takes, not the most demanding one of the file.
TEST(Explain, DriverOfTheImage)
{
    Judged x;

    x.images = { ptx(75), cubin(80), cubin(90, true), cubin(100, false, 8) };
    const struct {
        unsigned sm;
        int driver;
        bool fits;
    } cases[] = { { 80, 525, true },  { 90, 525, true }, { 100, 525, false }, { 100, 570, true },
                  { 75, 570, false }, { 75, 575, true }, { 80, 0, true },     { 75, -1, true } };
    for (const auto &c : cases) {
        x.gpu(c.sm, c.driver);
        EXPECT_EQ(x.says("driver against"), !c.fits) << c.sm << " " << c.driver;
        EXPECT_EQ(x.c.fits, c.fits);
    }
    x.images = { cubin(90, false, 8) }; /* by CUDA 13 */
    x.gpu(90, 575);
    EXPECT_TRUE(x.says("driver against"));
}

// torch's own CUDA needs a driver as well; another CUDA than torch's is not judged by it.
TEST(Explain, DriverOfTorch)
{
    Judged x;

    x.images = { cubin(80) };
    x.gpu(80, 575);
    EXPECT_TRUE(x.judge(12).size() && x.c.fits);
    km_system_set_backend(&x.s, "cu130");
    EXPECT_TRUE(x.says("driver against", 13));
    EXPECT_FALSE(x.says("driver against", 12));
    x.gpu(80, 580);
    EXPECT_FALSE(x.says("driver against", 13));
    EXPECT_EQ(km_driver_for_cuda(12), 525);
    EXPECT_EQ(km_driver_for_cuda(13), 580);
    EXPECT_EQ(km_driver_for_cuda(14), 0);
}

// What the library imports decides, too: of torch, of CUDA's run time, of the processor.
TEST(Explain, WhatTheLibraryNeeds)
{
    Judged x;

    x.library.torch_minor = 13;
    x.library.torch_symbol = "torch_new";
    EXPECT_TRUE(x.says("torch-symbol against"));
    x.s.torch.part[1] = 13;
    EXPECT_FALSE(x.says("torch-symbol against"));
    x.library.cudart = 12;
    EXPECT_FALSE(x.says("cudart against"));
    x.library.cudart = 13;
    EXPECT_TRUE(x.says("cudart against"));
    x.library.cudart = 0;
    x.library.x86_level = 3;
    x.s.x86_level = 2;
    EXPECT_TRUE(x.says("x86-level against"));
    x.s.x86_level = 3;
    EXPECT_FALSE(x.says("x86-level against"));
    x.library.machine = "aarch64";
    EXPECT_TRUE(x.says("machine against"));
}

// The branches that CUDA's versions came with: what the driver itself says of its version.
TEST(System, DriverOfCuda)
{
    EXPECT_EQ(km_driver_of_cuda(11080), 0);
    EXPECT_EQ(km_driver_of_cuda(12000), 525);
    EXPECT_EQ(km_driver_of_cuda(12040), 550);
    EXPECT_EQ(km_driver_of_cuda(12090), 575);
    EXPECT_EQ(km_driver_of_cuda(13000), 580);
    EXPECT_EQ(km_driver_of_cuda(14000), 590);
}

// A description changes what it names; what it makes untrue becomes unknown, nothing else does.
TEST(System, DescriptionChangesWhatItNames)
{
    km_err err = KM_ERR_INIT;
    km_system here = {}, s;
    km_system_options o = {};

    std::snprintf(here.os, sizeof here.os, "linux");
    std::snprintf(here.cpu, sizeof here.cpu, "x86_64");
    here.glibc = { 2, { 2, 36 } };
    here.torch = { 2, { 2, 13 } };
    here.python = { 2, { 3, 11 } };
    here.x86_level = 3;
    here.driver = KM_DRIVER_NONE;
    here.gpus_known = true;
    km_system_set_backend(&here, "cpu");

    s = here;
    o.torch = "2.9.1";
    ASSERT_EQ(km_system_describe(&s, &o, &err), 0);
    EXPECT_EQ(s.torch.part[1], 9u);
    EXPECT_EQ(s.torch.count, 2u);
    EXPECT_STREQ(s.backend, "cpu");
    EXPECT_EQ(s.driver, KM_DRIVER_NONE);

    s = here;
    o = {};
    o.cuda = "12.4";
    ASSERT_EQ(km_system_describe(&s, &o, &err), 0);
    EXPECT_STREQ(s.backend, "cu124");
    EXPECT_EQ(s.driver, KM_DRIVER_UNKNOWN);
    EXPECT_FALSE(s.gpus_known);
    EXPECT_EQ(s.glibc.part[1], 36u);

    s = here;
    o = {};
    o.cpu = "aarch64";
    o.arch = "sm_75,9.0,103,12.0a";
    ASSERT_EQ(km_system_describe(&s, &o, &err), 0);
    EXPECT_EQ(s.glibc.count, 0u);
    EXPECT_EQ(s.x86_level, 0u);
    ASSERT_EQ(s.gpu_count, 4u);
    EXPECT_EQ(s.gpus[0], 75u);
    EXPECT_EQ(s.gpus[1], 90u);
    EXPECT_EQ(s.gpus[2], 103u);
    EXPECT_EQ(s.gpus[3], 120u);

    s = here;
    o = {};
    o.python = "3.14t";
    o.driver = "580.95.05";
    ASSERT_EQ(km_system_describe(&s, &o, &err), 0);
    EXPECT_TRUE(s.free_threaded);
    EXPECT_EQ(s.python.part[1], 14u);
    EXPECT_EQ(s.driver, 580);
}

// What is no description is refused, with the option.
TEST(System, DescriptionsThatAreNone)
{
    const struct {
        const char *km_system_options::*field;
        const char *text;
    } cases[] = {
        { &km_system_options::os, "plan9" },       { &km_system_options::cpu, "ppc64le" },
        { &km_system_options::glibc, "2" },        { &km_system_options::glibc, "two.three" },
        { &km_system_options::python, "3" },       { &km_system_options::python, "" },
        { &km_system_options::torch, "new" },      { &km_system_options::cuda, "12" },
        { &km_system_options::cuda, "12.10" },     { &km_system_options::backend, "cuda" },
        { &km_system_options::backend, "cpu-x" },  { &km_system_options::driver, "12.4" },
        { &km_system_options::arch, "sm_" },       { &km_system_options::arch, "75," },
        { &km_system_options::arch, "hopper" },    { &km_system_options::arch, "9" },
        { &km_system_options::x86_level, "v5" },   { &km_system_options::cxx_abi, "cxx17" },
        { &km_system_options::tvm_ffi, "latest" }, { &km_system_options::kernels, "v1" },
    };

    for (const auto &c : cases) {
        km_err err = KM_ERR_INIT;
        km_system s = {};
        km_system_options o = {};
        o.*c.field = c.text;
        EXPECT_EQ(km_system_describe(&s, &o, &err), KM_EUSAGE) << c.text;
        EXPECT_NE(std::string(err.message).find("option '--"), std::string::npos) << c.text;
    }
}
