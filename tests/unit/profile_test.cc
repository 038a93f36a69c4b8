// profile/chain.h, profile/ops.h: what is made of the events that a profiler saw.
#include "profile_trace.h"

namespace
{

// ---- what operators do ----

// One wrong row promises a gain where there is none, or hides one.
TEST(ProfileClass, KnownNames)
{
    const std::map<km_op_class, std::vector<const char *>> known = {
        { KM_OP_VIEW, { "aten::t", "aten::as_strided", "aten::_unsafe_view", "aten::squeeze_" } },
        { KM_OP_POINTWISE,
          { "aten::mul", "aten::mul_", "aten::silu_backward", "aten::_foreach_addcdiv_" } },
        { KM_OP_COPY, { "aten::to", "aten::copy_", "aten::_to_copy", "aten::cat" } },
        { KM_OP_REDUCTION,
          { "aten::mean", "aten::_softmax", "aten::native_layer_norm", "aten::rms_norm" } },
        { KM_OP_COMPUTE,
          { "aten::mm", "aten::addmm", "aten::_flash_attention_forward", "aten::embedding" } },
        { KM_OP_OTHER, { "aten::of_tomorrow", "aten::", "aten::_", "aten::mulx", "aten::mu" } },
        { KM_OP_CUSTOM, { "kernmill_rmsnorm::rms_norm", "flash_attn::_fwd" } },
        { KM_OP_SCOPE, { "MulBackward0", "Optimizer.step#AdamW.step", "my range: a::b", "" } },
    };
    for (const auto &[kind, names] : known)
        for (const char *name : names)
            EXPECT_EQ(km_op_class_of(name), kind) << name;
    EXPECT_EQ(km_op_class_of(("aten::" + std::string(5000, 'x')).c_str()), KM_OP_OTHER);
    EXPECT_TRUE(km_op_is_lazy("aten::to") && km_op_is_lazy("aten::contiguous") &&
                !km_op_is_lazy("aten::cat"));
    EXPECT_TRUE(km_op_writes_first("aten::add_") && !km_op_writes_first("aten::add"));
    EXPECT_TRUE(km_op_reads_first("aten::add_") && !km_op_reads_first("aten::copy_"));
}

// ---- chains ----

// The whole point: what stands between two products is one kernel's work, and no more than that.
TEST(ProfileChain, WhatComputesEndsIt)
{
    Trace t;
    t.op(0, "aten::mul", 5000, { f32(0), f32(0) }, 1, FULL);
    t.op(0, "aten::exp", 5000, { f32(1) }, 2, FULL);
    t.op(0, "aten::mm", 90000, { f32(2), f32(3) }, 4, FULL);
    t.op(0, "aten::sum", 7000, { f32(4) }, 5, 4);
    Answer a(t);
    ASSERT_EQ(a.rows(), 2u);
    EXPECT_EQ(a.ops(0), "mul exp");
    EXPECT_EQ(a.ops(1), "sum");
}

// An operator that nobody knows may compute: a gain must not be promised over it.
TEST(ProfileChain, WhatIsNotKnownEndsIt)
{
    for (const char *name : { "aten::of_tomorrow", "mylib::op" }) {
        Trace t;
        t.op(0, "aten::sum", 5000, { f32(0) }, 1, FULL);
        t.op(0, name, 100, { f32(9) }, 8, FULL);
        t.op(0, "aten::exp", 5000, { f32(1) }, 2, FULL);
        Answer a(t);
        EXPECT_EQ(a.rows(), 2u) << name;
    }
}

TEST(ProfileChain, ViewsCostNothingAndEndNothing)
{
    Trace t;
    t.op(0, "aten::mul", 5000, { f32(0), f32(0) }, 1, FULL);
    t.op(0, "aten::transpose", 300, { f32(1) });
    t.op(0, "aten::to", 300, { f32(1) }); // has the dtype already
    t.add(0, "aten::to", 4000, { f32(1) });
    t.add(1, "aten::_to_copy", 3900, { f32(1) });
    t.op(2, "aten::copy_", 3000, { { "bfloat16", { 8, 64 }, 2 }, f32(1) }, 2, FULL / 2);
    Answer a(t);
    ASSERT_EQ(a.rows(), 1u);
    EXPECT_EQ(a.ops(0), "mul to");
    EXPECT_DOUBLE_EQ(a.number(0, "time_us"), 9.0);
}

// Neighbours that share no data are no chain: the tables of a rotary embedding stand before the
// first norm.
TEST(ProfileChain, NeighboursWithoutSharedDataStayApart)
{
    Trace t;
    t.op(0, "aten::cos", 5000, { f32(0) }, 1, FULL);
    t.op(0, "aten::exp", 5000, { f32(2) }, 3, FULL);
    t.op(0, "aten::sin", 5000, { f32(1) }, 4, FULL);
    Answer a(t);
    ASSERT_EQ(a.rows(), 2u);
    EXPECT_EQ(a.ops(0), "cos sin");
}

// silu(gate(x)) * up(x): the second projection stands between two operators that belong together.
TEST(ProfileChain, AnElementwiseResultThatIsReadOnceJoinsOverAProduct)
{
    for (int second_reader = 0; second_reader < 2; second_reader++) {
        Trace t;
        t.op(0, "aten::mm", 9000, { f32(0), f32(1) }, 2, FULL);
        t.op(0, "aten::silu", 5000, { f32(2) }, 3, FULL);
        t.op(0, "aten::mm", 9000, { f32(0), f32(4) }, 5, FULL);
        t.op(0, "aten::mul", 5000, { f32(3), f32(5) }, 6, FULL);
        if (second_reader)
            t.op(0, "aten::mm", 9000, { f32(3), f32(4) }, 7, FULL);
        Answer a(t);
        EXPECT_EQ(a.rows(), second_reader ? 2u : 1u);
        EXPECT_EQ(a.text(0, "pattern"), second_reader ? "activation" : "gated activation");
    }
}

// A reduction cannot be made later for nothing.
TEST(ProfileChain, AReductionDoesNotJoinOverAProduct)
{
    Trace t;
    t.op(0, "aten::softmax", 5000, { f32(2) }, 3, FULL);
    t.op(0, "aten::mm", 9000, { f32(0), f32(4) }, 5, FULL);
    t.op(0, "aten::mul", 5000, { f32(3), f32(5) }, 6, FULL);
    EXPECT_EQ(Answer(t).rows(), 2u);
}

// A profiler that does not name memory leaves the order alone.
TEST(ProfileChain, WithoutNamesOfMemoryTheOrderDecides)
{
    Trace t;
    t.op(0, "aten::cos", 5000, { f32(-1) });
    t.op(0, "aten::exp", 5000, { f32(-1) });
    t.op(0, "aten::mm", 5000, { f32(-1), f32(-1) });
    Answer a(t);
    ASSERT_EQ(a.rows(), 1u);
    EXPECT_EQ(a.ops(0), "cos exp");
    EXPECT_EQ(a.text(0, "bytes_by"), "largest tensors");
    EXPECT_DOUBLE_EQ(a.number(0, "bytes"), FULL);
}

// ---- what a kernel could win ----

// Each input once, each result once, nothing of what lies between; all of it at the speed of a
// copy.
TEST(ProfileWin, IsWhatLiesAboveOneReadAndOneWrite)
{
    Trace t;
    t.op(0, "aten::mul", 5000, { f32(0), f32(0) }, 2, FULL);
    t.op(0, "aten::mean", 2000, { f32(2) }, 3, 32);
    t.op(0, "aten::mul", 5000, { f32(0), f32(3, { 8, 1 }) }, 4, FULL);
    t.op(0, "aten::mul", 5000, { f32(1, { 64 }), f32(4) }, 5, FULL);
    t.op(0, "aten::mm", 50000, { f32(5), f32(6) }, 7, FULL);
    Answer a(t);
    ASSERT_EQ(a.rows(), 1u);
    double bytes = FULL + 64 * 4 + FULL;
    EXPECT_EQ(a.text(0, "bytes_by"), "storages");
    EXPECT_DOUBLE_EQ(a.number(0, "bytes"), bytes);
    EXPECT_DOUBLE_EQ(a.number(0, "floor_us"), bytes / 1e3);
    EXPECT_DOUBLE_EQ(a.number(0, "win_us"), 17 - bytes / 1e3);
    EXPECT_DOUBLE_EQ(a.number(0, "win_share"), (17 - bytes / 1e3) / 67);
    Answer faster(t, 2.0);
    EXPECT_DOUBLE_EQ(faster.number(0, "floor_us"), bytes / 2e3);
    EXPECT_FALSE(json_is_true(json_object_get(json_object_get(faster.all, "copy"), "measured")));
}

// Two results that others read are both written; a result that nobody reads is the script's own.
TEST(ProfileWin, ResultsAreWhatOthersRead)
{
    Trace t;
    t.op(0, "aten::add", 5000, { f32(0), f32(1) }, 2, FULL);
    t.op(0, "aten::exp", 5000, { f32(2) }, 3, FULL);
    t.op(0, "aten::mm", 5000, { f32(2), f32(3) }, 4, FULL);
    t.op(0, "aten::neg", 5000, { f32(4) }, 5, FULL);
    Answer a(t);
    ASSERT_EQ(a.rows(), 2u);
    EXPECT_DOUBLE_EQ(a.number(0, "bytes"), 4 * FULL);
    EXPECT_DOUBLE_EQ(a.number(1, "bytes"), 2 * FULL);
}

// A broadcast tensor is as small as its memory, and what works in place writes where it reads.
TEST(ProfileWin, BroadcastsAndWorkInPlace)
{
    Trace t;
    t.op(0, "aten::add_", 9000, { f32(0), { "float32", { 8, 64 }, 1, "cpu", { 0, 1 } } });
    Answer a(t);
    ASSERT_EQ(a.rows(), 1u);
    EXPECT_DOUBLE_EQ(a.number(0, "bytes"), 2 * FULL + 64 * 4);
    Trace copy; // whose target is not read
    copy.op(0, "aten::copy_", 9000, { f32(0), f32(1) });
    EXPECT_DOUBLE_EQ(Answer(copy).number(0, "bytes"), 2 * FULL);
}

// What runs from a cache is faster than a copy: there is nothing to win, and never less than that.
TEST(ProfileWin, IsNeverNegative)
{
    Trace t;
    t.op(0, "aten::neg", 100, { f32(0) }, 1, FULL);
    Answer a(t);
    ASSERT_EQ(a.rows(), 1u);
    EXPECT_DOUBLE_EQ(a.number(0, "win_us"), 0);
}

// ---- what counts ----

// The first call compiles; three alike calls and more count with their median, two do not yet.
TEST(ProfileOps, MedianAndNotSum)
{
    Trace t, two;
    for (int i = 0; i < 5; i++)
        t.op(0, "aten::mm", i ? 10000 + i : 9000000, { f32(0), f32(1) }, 2 + i, FULL);
    EXPECT_DOUBLE_EQ(Answer(t).op_us("aten::mm"), 5 * 10.003);
    two.op(0, "aten::mm", 9000000, { f32(0), f32(1) }, 2, FULL);
    two.op(0, "aten::mm", 10000, { f32(0), f32(1) }, 3, FULL);
    EXPECT_DOUBLE_EQ(Answer(two).op_us("aten::mm"), 9010);
}

// Two alike operators in one module are two things, one of them slow: their median would be
// neither.
TEST(ProfileOps, PlacesInAModuleHaveMediansOfTheirOwn)
{
    Trace t;
    for (int i = 0; i < 3; i++) {
        t.add(0, "kernmill::module Mlp model.mlp", 10000);
        t.op(1, "aten::exp", 1000, { f32(0) }, 10 + 2 * i, FULL);
        t.op(1, "aten::exp", 9000, { f32(0) }, 11 + 2 * i, FULL);
    }
    EXPECT_DOUBLE_EQ(Answer(t).op_us("aten::exp"), 30);
}

// A script that says what counts gets that, also when a module's range is open already.
TEST(ProfileOps, OnlyTheMarkedRangesCount)
{
    Trace t;
    t.op(0, "aten::mm", 7000, { f32(0), f32(1) }, 2, FULL);
    for (int i = 0; i < 2; i++) {
        t.add(0, "kernmill", 5000);
        t.op(1, "aten::exp", 5000, { f32(0) }, 3 + i, FULL);
        t.op(0, "aten::mm", 7000, { f32(0), f32(1) }, 5 + i, FULL);
    }
    Answer a(t);
    EXPECT_DOUBLE_EQ(km_json_number_of(a.all, "total_us"), 10);
    EXPECT_DOUBLE_EQ(km_json_number_of(a.all, "wall_us"), 10);
    Trace nothing;
    nothing.op(0, "kernmill", 10);
    nothing.op(0, "aten::mm", 7000, { f32(0), f32(1) }, 2, FULL);
    EXPECT_EQ(Answer(nothing).code, KM_EFORMAT);
}

// Of a composite its parts are the operators; of a known one, everything below belongs to it.
TEST(ProfileOps, TheOutermostKnownCallIsTheOperator)
{
    Trace t;
    t.add(0, "aten::einsum_of_tomorrow", 10000, { f32(0) });
    t.op(1, "aten::bmm", 8000, { f32(0), f32(1) }, 2, FULL);
    t.clock += 2000;
    t.add(0, "aten::mean", 6000, { f32(2) });
    t.op(1, "aten::sum", 4000, { f32(2) }, 3, 32);
    t.op(1, "aten::div_", 2000, { f32(3, { 8, 1 }) });
    Answer a(t);
    EXPECT_DOUBLE_EQ(a.op_us("aten::bmm"), 8);
    EXPECT_DOUBLE_EQ(a.op_us("aten::einsum_of_tomorrow"), 2);
    EXPECT_DOUBLE_EQ(a.op_us("aten::mean"), 6);
    EXPECT_EQ(a.op_us("aten::sum"), 0);
}

// On a GPU only kernels take time: the host's share is waiting. Kernels of nobody are named.
TEST(ProfileOps, KernelsAreTheTimeOfAGpu)
{
    Trace t;
    Tensor x = { "float32", { 8, 64 }, 0, "cuda" }, y = { "float32", { 8, 64 }, 1, "cpu" };
    t.device = "cuda";
    t.unattributed = 2000;
    t.add(0, "aten::mean", 90000, { x });
    t.op(1, "aten::sum", 50000, { x }, 3, 32, 3000);
    t.op(1, "aten::div_", 40000, { x }, -1, 0, 1000);
    t.op(0, "aten::view", 90000, { x });
    t.op(0, "aten::copy_", 90000, { x, y }, -1, 0, 5000); // over the bus: no kernel makes it faster
    t.op(0, "triton_poi_fused_0", 9000, {}, -1, 0, 7000);
    Answer a(t);
    EXPECT_DOUBLE_EQ(a.op_us("aten::mean"), 4);
    EXPECT_DOUBLE_EQ(a.op_us("triton_poi_fused_0"), 7);
    EXPECT_DOUBLE_EQ(km_json_number_of(a.all, "total_us"), 4 + 5 + 7 + 2);
    ASSERT_EQ(a.rows(), 1u);
    EXPECT_EQ(a.ops(0), "mean");
}

// ---- what cannot be trusted ----

// A document with any value replaced is refused or read, and never more than that.
void spoil(json_t *document, json_t *at, const std::function<void()> &look)
{
    json_t *const wrong[] = { json_integer(-2), json_integer(INT64_MAX), json_null(),
                              json_string("x"), json_array() };
    size_t n = json_is_array(at) ? json_array_size(at) : 0;
    for (size_t i = 0; i < n && i < 12; i++) {
        json_t *old = json_incref(json_array_get(at, i));
        spoil(document, old, look);
        for (json_t *value : wrong) {
            json_array_set(at, i, value);
            look();
        }
        json_array_set(at, i, old);
        json_decref(old);
    }
    for (json_t *value : wrong)
        json_decref(value);
}

TEST(ProfileTrace, AnyValueMayBeWrong)
{
    Trace t;
    norm(t, 1, "bfloat16", true);
    json_t *document = t.document();
    const char *key;
    json_t *value;
    void *next;
    int refused = 0, read = 0;
    auto look = [&] {
        json_t *out = nullptr;
        km_err err = KM_ERR_INIT;
        int rc = km_profile_analyse(document, 0, &out, &err);
        EXPECT_EQ(rc == 0, out != nullptr);
        EXPECT_TRUE(rc == 0 || rc == KM_EFORMAT) << err.message;
        (rc == 0 ? read : refused)++;
        json_decref(out);
    };
    json_object_foreach_safe(document, next, key, value)
    {
        json_incref(value);
        spoil(document, value, look);
        json_object_set_new(document, key, json_integer(-1));
        look();
        json_object_set(document, key, value);
        json_decref(value);
    }
    EXPECT_GT(refused, 500);
    json_decref(document);
}

TEST(ProfileTrace, AScriptWithoutOperators)
{
    Trace t;
    Answer a(t);
    EXPECT_EQ(a.code, KM_EFORMAT);
    EXPECT_EQ(a.message, "the script ran no operator of torch");
}

} // namespace
