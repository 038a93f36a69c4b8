// profile/fit.h: which kernel fits a chain, and which does not.
#include "profile_trace.h"

namespace
{

// Operators each of which reads what the one before it wrote.
void add_chain(Trace &t, const std::vector<const char *> &ops)
{
    long long last = 0;

    for (const char *name : ops) {
        t.op(0, name, 5000, { f32(last) }, last + 1, FULL);
        last++;
    }
}

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
        { "softmax", { "aten::mul", "aten::softmax" } },
        { "cross entropy", { "aten::cross_entropy_loss" } },
        { "activation", { "aten::elu" } },
        { "group or batch norm", { "aten::group_norm" } },
        { "", { "aten::pow", "aten::mean", "aten::sub", "aten::rsqrt", "aten::mul" } },
    };
    for (const auto &[pattern, ops] : cases) {
        Trace t;
        add_chain(t, ops);
        Answer a(t);
        ASSERT_EQ(a.rows(), 1u) << pattern;
        EXPECT_EQ(a.text(0, "pattern"), pattern);
        EXPECT_EQ(a.text(0, "kernel"), "");
    }
}

// The other kernels: by the operators in their order, alone and with what stands before.
TEST(ProfileFit, OtherKernels)
{
    struct Want {
        std::vector<const char *> ops;
        const char *pattern, *kernel, *function;
        int covers;
    };
    const Want wanted[] = {
        { { "aten::layer_norm" },
          "layer norm",
          "kernmill-layernorm",
          "kernmill_layernorm.layer_norm",
          1 },
        { { "aten::add", "aten::layer_norm" },
          "layer norm",
          "kernmill-layernorm",
          "kernmill_layernorm.fused_add_layer_norm",
          2 },
        { { "aten::mul", "aten::neg", "aten::cat", "aten::mul", "aten::add" },
          "rotary embedding",
          "kernmill-rotary",
          "kernmill_rotary.rotary",
          5 },
        { { "aten::mul", "aten::neg", "aten::stack", "aten::mul", "aten::add", "aten::cat" },
          "rotary embedding",
          "kernmill-rotary",
          "kernmill_rotary.rotary",
          5 },
        { { "aten::silu", "aten::mul" },
          "gated activation",
          "kernmill-activation",
          "kernmill_activation.silu_mul",
          2 },
        { { "aten::gelu", "aten::mul" },
          "gated activation",
          "kernmill-activation",
          "kernmill_activation.gelu_mul or gelu_tanh_mul",
          2 },
        { { "aten::gelu" },
          "activation",
          "kernmill-activation",
          "kernmill_activation.gelu or gelu_tanh",
          1 },
        { { "aten::mul", "aten::pow", "aten::mul", "aten::add", "aten::mul", "aten::tanh",
            "aten::add", "aten::mul" },
          "activation",
          "kernmill-activation",
          "kernmill_activation.gelu_new",
          8 },
    };
    for (const Want &w : wanted) {
        Trace t;
        long long last = 0;
        for (const char *name : w.ops) {
            bool two = std::string(name) == "aten::mul" || std::string(name) == "aten::add";
            t.op(0, name, 5000,
                 two ? std::vector<Tensor>{ f32(last), f32(500) }
                     : std::vector<Tensor>{ f32(last) },
                 last + 1, FULL);
            last++;
        }
        Answer a(t);
        ASSERT_EQ(a.rows(), 1u) << w.function;
        EXPECT_EQ(a.text(0, "pattern"), w.pattern);
        EXPECT_EQ(a.text(0, "kernel"), w.kernel) << w.function;
        EXPECT_EQ(a.text(0, "function"), w.function);
        EXPECT_EQ(a.number(0, "covers"), w.covers) << w.function;
    }
}

// Operators of a pattern in another order, or an activation that we do not have, are no promise.
TEST(ProfileFit, OtherStepsDoNotFit)
{
    const std::map<std::string, std::vector<const char *>> cases = {
        { "x * cos + rotate(x) * sin", { "aten::neg", "aten::cat", "aten::mul", "aten::add" } },
        { "has silu and gelu", { "aten::mish", "aten::mul" } },
        { "other steps", { "aten::pow", "aten::tanh", "aten::mul", "aten::add" } },
    };
    for (const auto &[why, ops] : cases) {
        Trace t;
        add_chain(t, ops);
        Answer a(t);
        ASSERT_EQ(a.rows(), 1u) << why;
        EXPECT_EQ(a.text(0, "kernel"), "") << why;
        EXPECT_NE(a.text(0, "why").find(why), std::string::npos) << a.text(0, "why");
    }
}

// A gradient in a module that computes more than the kernel does is not counted as the kernel's.
TEST(ProfileFit, GradientsOfMixedModules)
{
    Trace t;
    t.add(0, "kernmill::module Attention M.attn", 11000);
    for (int i = 0; i < 2; i++) {
        t.op(1, i ? "aten::softmax" : "aten::silu", 5000, { f32(10 * i) }, 10 * i + 1, FULL);
        t.op(1, "aten::mm", 500, { f32(10 * i + 1) }, 10 * i + 2, FULL);
    }
    t.add(0, "autograd::engine::evaluate_function: SiluBackward0", 5000, {}, -1, 0, 0, 1);
    t.add(1, "SiluBackward0", 5000);
    t.op(2, "aten::silu_backward", 5000, { f32(300), f32(301) }, 302, FULL);
    Answer a(t);
    const json_t *kernel = json_array_get(json_object_get(a.all, "kernels"), 0);
    EXPECT_STREQ(km_json_text_of(kernel, "name"), "kernmill-activation");
    EXPECT_STREQ(km_json_text_of(kernel, "family"), "activation");
    EXPECT_DOUBLE_EQ(km_json_number_of(kernel, "backward_us"), 0);
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
