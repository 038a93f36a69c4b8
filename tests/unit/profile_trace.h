// A profiler's events made by hand, so that the right answer is known, and what is said of them.
#ifndef KERNMILL_TESTS_PROFILE_TRACE_H
#define KERNMILL_TESTS_PROFILE_TRACE_H

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

extern "C" {
#include "formats/json.h"
#include "profile/class.h"
#include "profile/profile.h"
}

namespace
{

struct Tensor {
    std::string dtype;
    std::vector<long long> sizes;
    long long storage;
    std::string device = "cpu";
    std::vector<long long> strides = {}; // dense when empty
};

// A document as the host writes it. An operator takes its arguments and, when `makes` is not
// negative, allocates that storage; time passes as operators are added.
class Trace
{
  public:
    std::string device = "cpu";
    long long clock = 1000, unattributed = 0;

    size_t add(int depth, const std::string &name, long long ns, std::vector<Tensor> tensors = {},
               long long makes = -1, long long bytes = 0, long long device_ns = 0,
               long long forward = -1)
    {
        json_t *used = json_array(), *storages = json_array(), *memory = json_array();
        for (const Tensor &t : tensors) {
            json_array_append_new(used, json_integer(tensor(t)));
            json_array_append_new(storages, json_integer(t.storage));
        }
        if (makes >= 0) {
            json_array_append_new(memory, json_integer(makes));
            json_array_append_new(memory, json_integer(bytes));
        }
        json_int_t signature = intern(signatures_, used);
        json_array_append_new(events_, json_pack("[i,I,i,I,I,I,i,I,o,o,I]", depth, number(name), 0,
                                                 clock, ns, device_ns, device_ns > 0, signature,
                                                 storages, memory, forward));
        return json_array_size(events_) - 1;
    }
    // The same, and its time passes.
    size_t op(int depth, const std::string &name, long long ns, std::vector<Tensor> tensors = {},
              long long makes = -1, long long bytes = 0, long long device_ns = 0,
              long long forward = -1)
    {
        size_t event = add(depth, name, ns, std::move(tensors), makes, bytes, device_ns, forward);
        clock += ns;
        return event;
    }
    json_t *document() const
    {
        return json_pack("{s:s,s:s,s:s,s:i,s:{s:i,s:i,s:f},s:O,s:O,s:O,s:i,s:I,s:O}", "torch",
                         "2.13.0", "device", device.c_str(), "device_name", "", "threads", 2,
                         "copy", "bytes", 1 << 20, "copies", 9, "gbps", 1.0, "names", names_,
                         "tensors", tensors_, "signatures", signatures_, "storages", 1000,
                         "unattributed_ns", unattributed, "events", events_);
    }
    Trace() = default;
    Trace(const Trace &) = delete;
    ~Trace()
    {
        json_decref(names_);
        json_decref(tensors_);
        json_decref(signatures_);
        json_decref(events_);
    }

  private:
    // Its number in a table, to which it is added when it is new.
    static json_int_t intern(json_t *table, json_t *value)
    {
        size_t i = 0;
        while (i < json_array_size(table) && !json_equal(json_array_get(table, i), value))
            i++;
        if (i == json_array_size(table))
            json_array_append(table, value);
        json_decref(value);
        return (json_int_t)i;
    }
    json_int_t number(const std::string &name)
    {
        auto [at, fresh] = known_.emplace(name, (json_int_t)known_.size());
        if (fresh)
            json_array_append_new(names_, json_string(name.c_str()));
        return at->second;
    }
    json_int_t tensor(const Tensor &t)
    {
        json_t *sizes = json_array(), *strides = json_array();
        long long stride = 1;
        for (long long size : t.sizes)
            json_array_append_new(sizes, json_integer(size));
        for (size_t i = t.sizes.size(); i-- > 0; stride *= t.sizes[i])
            json_array_insert_new(strides, 0,
                                  json_integer(t.strides.empty() ? stride : t.strides[i]));
        int bytes = t.dtype == "float64" ? 8 : t.dtype == "bfloat16" ? 2 : 4;
        return intern(tensors_, json_pack("[s,i,s,o,o]", t.dtype.c_str(), bytes, t.device.c_str(),
                                          sizes, strides));
    }

    std::map<std::string, json_int_t> known_;
    json_t *names_ = json_array(), *tensors_ = json_array(), *events_ = json_array();
    json_t *signatures_ = json_pack("[[]]");
};

// What is said of a trace. At 1 GB/s a byte takes a nanosecond.
class Answer
{
  public:
    explicit Answer(const Trace &t, double gbps = 0)
    {
        json_t *document = t.document();
        km_err err = KM_ERR_INIT;
        code = km_profile_analyse(document, gbps, &all, &err);
        message = err.message;
        json_decref(document);
    }
    Answer(const Answer &) = delete;
    ~Answer()
    {
        json_decref(all);
    }

    size_t rows() const
    {
        return json_array_size(json_object_get(all, "chains"));
    }
    const json_t *chain(size_t i) const
    {
        return json_array_get(json_object_get(all, "chains"), i);
    }
    double number(size_t i, const char *key) const
    {
        return km_json_number_of(chain(i), key);
    }
    std::string text(size_t i, const char *key) const
    {
        return km_json_text_of(chain(i), key);
    }
    // The operators of a chain without their namespace: "pow mean".
    std::string ops(size_t i) const
    {
        std::string out;
        size_t k;
        const json_t *name;
        json_array_foreach(json_object_get(chain(i), "ops"), k, name)
            out += (k ? " " : "") + std::string(json_string_value(name)).substr(6);
        return out;
    }
    double op_us(const std::string &name) const
    {
        size_t k;
        const json_t *row;
        json_array_foreach(json_object_get(all, "ops"), k,
                           row) if (km_json_text_of(row, "name") ==
                                    name) return km_json_number_of(row, "time_us");
        return 0;
    }

    int code;
    std::string message;
    json_t *all = nullptr;
};

inline Tensor f32(long long storage, std::vector<long long> sizes = { 8, 64 })
{
    return { "float32", std::move(sizes), storage };
}

constexpr long long FULL = 8 * 64 * 4; // bytes of f32()

// x + residual, then the norm as Transformers writes it; layer by layer.
inline void norm(Trace &t, int layer, const std::string &dtype, bool residual, long long root = 1)
{
    long long s = 100 * layer, full = dtype == "float64"    ? 2 * FULL
                                      : dtype == "bfloat16" ? FULL / 2
                                                            : FULL;
    Tensor x = { dtype, { 8, 64 }, s };
    std::string path = "kernmill::module MyRMSNorm M.layers." + std::to_string(layer) + ".norm";
    if (residual)
        t.op(0, "aten::add", 1000, { { dtype, { 8, 64 }, s + 1 }, { dtype, { 8, 64 }, s + 2 } }, s,
             full);
    t.add(0, path, 9000);
    if (dtype == "bfloat16") {
        t.add(1, "aten::to", 1000, { x });
        t.op(2, "aten::_to_copy", 1000, { x }, s + 3, FULL);
        x = f32(s + 3);
    }
    t.op(1, "aten::pow", 1000, { x }, s + 4, FULL);
    t.op(1, "aten::mean", 1000, { { x.dtype, { 8, 64 }, s + 4 } }, s + 5, 32);
    t.op(1, "aten::add", 1000, { { x.dtype, { 8, root }, s + 5 } }, s + 6, 32);
    t.op(1, "aten::rsqrt", 1000, { { x.dtype, { 8, root }, s + 6 } }, s + 7, 32);
    t.op(1, "aten::mul", 1000, { x, { x.dtype, { 8, root }, s + 7 } }, s + 8, FULL);
    t.op(1, "aten::mul", 1000, { { x.dtype, { 64 }, 9 }, { x.dtype, { 8, 64 }, s + 8 } }, s + 9,
         full);
    t.op(0, "aten::mm", 9000, { { dtype, { 8, 64 }, s + 9 }, f32(8) }, s + 10, FULL);
}

} // namespace

#endif
