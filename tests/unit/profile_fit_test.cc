// profile/fit.h: which kernel fits a chain, and which does not.
#include "profile_trace.h"

namespace
{

// ---- which kernel fits ----

// Alike chains of different layers are one row, and the one with a residual is another.
TEST(ProfileFit, RmsNorm)
{
    Trace t;
    for (int layer = 0; layer < 4; layer++)
        norm(t, layer + 1, "bfloat16", layer > 0);
    Answer a(t);
    ASSERT_EQ(a.rows(), 2u);
    EXPECT_EQ(a.number(0, "count"), 3);
    EXPECT_EQ(a.ops(0), "add to pow mean add rsqrt mul mul");
    EXPECT_EQ(a.text(0, "module"), "MyRMSNorm");
    EXPECT_STREQ(json_string_value(json_array_get(json_object_get(a.chain(0), "paths"), 0)),
                 "M.layers.*.norm");
    EXPECT_EQ(a.text(0, "kernel"), "kernmill-rmsnorm");
    EXPECT_EQ(a.text(0, "function"), "kernmill_rmsnorm.fused_add_rms_norm");
    EXPECT_EQ(a.number(0, "covers"), 8);
    EXPECT_EQ(a.text(1, "function"), "kernmill_rmsnorm.rms_norm");
    EXPECT_EQ(a.number(1, "covers"), 7);
    const json_t *kernel = json_array_get(json_object_get(a.all, "kernels"), 0);
    EXPECT_EQ(km_json_number_of(kernel, "count"), 4);
    EXPECT_DOUBLE_EQ(km_json_number_of(kernel, "time_us"), 3 * 8 + 7);
    EXPECT_DOUBLE_EQ(km_json_number_of(kernel, "by_use_us"),
                     4 * 7); // the adds are not the module's
}

// Gemma puts a norm, a residual and another norm between two products: the kernel fits both.
TEST(ProfileFit, TwoNormsInOneChain)
{
    Trace t;
    for (int k = 0; k < 2; k++) {
        t.add(0, "kernmill::module RMSNorm M.norm" + std::to_string(k), 2000);
        t.op(1, "aten::rms_norm", 2000, { f32(10 * k) }, 10 * k + 1, FULL);
        if (k == 0)
            t.op(0, "aten::add", 1000, { f32(5), f32(1) }, 10, FULL);
    }
    t.op(0, "aten::mm", 9000, { f32(11), f32(8) }, 12, FULL);
    Answer a(t);
    ASSERT_EQ(a.rows(), 1u);
    EXPECT_EQ(a.ops(0), "rms_norm add rms_norm");
    EXPECT_EQ(a.number(0, "covers"), 3);
    EXPECT_EQ(a.text(0, "function"), "kernmill_rmsnorm.fused_add_rms_norm");
}

// In one big function the norm is told from what stands around it.
TEST(ProfileFit, ANormAmongOthers)
{
    const char *const names[] = { "aten::exp",   "aten::pow", "aten::mean",
                                  "aten::rsqrt", "aten::mul", "aten::neg" };
    Trace t;
    for (int i = 0; i < 6; i++)
        t.op(0, names[i], 1000, { f32(i, { 8, i == 3 ? 1 : 64 }) }, i + 1, FULL);
    Answer a(t);
    ASSERT_EQ(a.rows(), 1u);
    EXPECT_EQ(a.text(0, "kernel"), "kernmill-rmsnorm");
    EXPECT_EQ(a.number(0, "covers"), 4);
}

// A kernel that does not take the dtype, or norms another dimension, does not fit, and the reason
// is given.
TEST(ProfileFit, WhatDoesNotFitIsNotNamed)
{
    Trace wide, other;
    norm(wide, 1, "float64", false);
    Answer a(wide);
    EXPECT_EQ(a.text(0, "pattern"), "rms norm");
    EXPECT_EQ(a.text(0, "kernel"), "");
    EXPECT_NE(a.text(0, "why").find("not float64"), std::string::npos);
    norm(other, 1, "float32", false, 64);
    EXPECT_NE(Answer(other).text(0, "why").find("last dimension"), std::string::npos);
}

// What no kernel of ours does is named without one; a layer norm by hand is no rms norm.
TEST(ProfileFit, OtherPatterns)
{
    const std::map<std::string, std::vector<const char *>> cases = {
        { "layer norm", { "aten::layer_norm" } },
        { "softmax", { "aten::mul", "aten::softmax" } },
        { "cross entropy", { "aten::cross_entropy_loss" } },
        { "rotary embedding", { "aten::neg", "aten::cat", "aten::mul", "aten::add" } },
        { "activation", { "aten::gelu" } },
        { "", { "aten::pow", "aten::mean", "aten::sub", "aten::rsqrt", "aten::mul" } },
    };
    for (const auto &[pattern, ops] : cases) {
        Trace t;
        long long last = 0;
        for (const char *name : ops) {
            t.op(0, name, 5000, { f32(last) }, last + 1, FULL);
            last++;
        }
        Answer a(t);
        ASSERT_EQ(a.rows(), 1u) << pattern;
        EXPECT_EQ(a.text(0, "pattern"), pattern);
        EXPECT_EQ(a.text(0, "kernel"), "");
    }
}

// A gradient has its module from the forward pass, bytes that are sure, and adds to what the kernel
// could do.
TEST(ProfileFit, Gradients)
{
    Trace t;
    norm(t, 1, "float32", false);
    t.add(0, "autograd::engine::evaluate_function: MulBackward0", 5000, {}, -1, 0, 0, 6);
    t.add(1, "MulBackward0", 5000);
    t.op(2, "aten::mul", 5000, { f32(300), f32(301) }, 302, FULL);
    Answer a(t);
    ASSERT_EQ(a.rows(), 2u);
    size_t i = json_is_true(json_object_get(a.chain(0), "backward")) ? 0 : 1;
    EXPECT_EQ(a.text(i, "module"), "MyRMSNorm");
    EXPECT_EQ(a.text(i, "bytes_by"), "largest tensors");
    EXPECT_DOUBLE_EQ(a.number(i, "bytes"), 2 * FULL);
    const json_t *kernel = json_array_get(json_object_get(a.all, "kernels"), 0);
    EXPECT_DOUBLE_EQ(km_json_number_of(kernel, "backward_us"), 5);
}

} // namespace
