#include "bench/sets.h"

#include <string.h>

#include "bench/gpu_values.h"
#include "bench/inputs.h"
#include "bench/overwrite.h"

#include <kernmill/tensor.h>

#define GUARD_BYTES   512u /* also the alignment of a tensor, which is that of torch's own */
#define GUARD_PATTERN 0xa5

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static size_t at(const km_sets *s, size_t set, size_t input)
{
    return set * s->inputs + input;
}

static int measure_inputs(km_sets *s, km_err *err)
{
    km_layout l;

    if (s->inputs > KM_GPU_INPUTS_MAX)
        return km_fail(err, KM_ELIMIT, "an operator has %zu inputs; on a GPU at most %d", s->inputs,
                       KM_GPU_INPUTS_MAX);
    for (size_t i = 0; i < s->inputs; i++) {
        size_t input = km_overwritten(s->call, i);
        if (km_input_layout(s->cell, input, &l, err) < 0)
            return err->code;
        s->elements[i] = km_layout_extent(l.ndim, l.sizes, l.strides);
        s->bytes[i] = s->elements[i] *
                      km_dtype_bytes((km_dtype)km_input_dtype(s->cell, input, false));
    }
    return 0;
}

/* A set's tensors and their guards: one layout for all. */
static uint64_t set_bytes(const km_sets *s)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < s->inputs; i++)
        bytes += GUARD_BYTES + round_up(s->bytes[i], GUARD_BYTES);
    return bytes;
}

static int allocate(const km_gpu *g, km_sets *s, km_err *err)
{
    uint64_t bytes = s->count * set_bytes(s) + GUARD_BYTES;
    int failed = g->cuMemAlloc_v2(&s->memory, bytes);

    if (!failed && !s->call)
        failed = g->cuMemAlloc_v2(&s->source_memory, bytes);
    if (failed)
        return km_fail(err, KM_EENV, "the GPU has no %llu MB for inputs",
                       (unsigned long long)((s->call ? 1 : 2) * bytes >> 20));
    return km_gpu_check(g, g->cuMemsetD8Async(s->memory, GUARD_PATTERN, bytes, g->stream),
                        "writing guards", err);
}

static int place(const km_torch *t, km_sets *s, km_err *err)
{
    uint64_t offset = 0;

    for (size_t set = 0; set < s->count; set++)
        for (size_t i = 0; i < s->inputs; i++) {
            km_layout l;
            size_t k = at(s, set, i), input = km_overwritten(s->call, i);
            offset += GUARD_BYTES;
            s->addresses[k] = s->memory + offset;
            if (!s->call)
                s->sources[k] = s->source_memory + offset;
            offset += round_up(s->bytes[i], GUARD_BYTES);
            if (km_input_layout(s->cell, input, &l, err) < 0 ||
                km_torch_empty(t, &l, km_input_dtype(s->cell, input, false),
                               (void *)(uintptr_t)s->addresses[k], &s->tensors[k], err) < 0)
                return err->code;
        }
    return 0;
}

static int hash_guards(const km_gpu *g, const km_sets *s, uint64_t *sum, km_err *err)
{
    uint64_t start = s->memory; /* of the guard before the next tensor */

    if (km_gpu_clear_scratch(g, err) < 0)
        return err->code;
    for (size_t k = 0; k < s->count * s->inputs; k++) {
        if (km_gpu_hash(g, start, s->addresses[k] - start, 0, err) < 0)
            return err->code;
        start = s->addresses[k] + round_up(s->bytes[k % s->inputs], 16);
    }
    if (km_gpu_hash(g, start, s->memory + s->count * set_bytes(s) + GUARD_BYTES - start, 0, err) <
        0)
        return err->code;
    return km_gpu_read_scratch(g, sum, 1, err);
}

static int reserve(km_arena *a, km_sets *s, km_err *err)
{
    size_t n = s->count * s->inputs + 1;

    s->tensors = km_arena_array(a, n, sizeof *s->tensors);
    s->addresses = km_arena_array(a, n, sizeof *s->addresses);
    s->sources = km_arena_array(a, n, sizeof *s->sources);
    return s->tensors && s->addresses && s->sources ? 0 : km_fail_nomem(err);
}

int km_sets_make(km_arena *a, const km_torch *t, const km_cell *cell, size_t count, km_sets *out,
                 km_err *err)
{
    *out = (km_sets){ .cell = cell, .count = count, .inputs = cell->op->input_count };
    if (reserve(a, out, err) < 0 || measure_inputs(out, err) < 0 ||
        allocate(t->gpu, out, err) < 0 || place(t, out, err) < 0)
        return err->code;
    return hash_guards(t->gpu, out, &out->guards, err);
}

int km_sets_make_copies(km_arena *a, const km_torch *t, const km_sets *of,
                        const km_suite_call *call, size_t count, km_sets *out, km_err *err)
{
    *out = (km_sets){ .cell = of->cell, .call = call, .count = count };
    out->inputs = call->overwrites.count;
    if (reserve(a, out, err) < 0 || measure_inputs(out, err) < 0)
        return err->code;
    for (size_t set = 0; set < count; set++)
        for (size_t i = 0; i < out->inputs; i++)
            out->sources[at(out, set, i)] = of->addresses[at(of, set, call->overwritten[i])];
    if (allocate(t->gpu, out, err) < 0 || place(t, out, err) < 0)
        return err->code;
    return hash_guards(t->gpu, out, &out->guards, err);
}

int km_sets_refresh(const km_gpu *g, const km_sets *copies, size_t first, size_t count,
                    km_cu_stream stream, km_err *err)
{
    const uint64_t blocks_max = 1024, block = 256;

    for (size_t i = 0; i < copies->inputs && count; i++) {
        size_t k = at(copies, first, i), last = at(copies, first + count - 1, i);
        uint64_t to = copies->addresses[k], from = copies->sources[k],
                 steps = count > 1 ? count - 1 : 1;
        uint64_t to_step = (copies->addresses[last] - to) / steps / 16;
        uint64_t from_step = (copies->sources[last] - from) / steps / 16;
        uint64_t n = round_up(copies->bytes[i], 16) / 16, wanted = (n + block - 1) / block;
        uint32_t blocks = (uint32_t)(wanted < blocks_max ? wanted : blocks_max);
        km_gpu_launch l = { .block = (unsigned)block, .stream = stream };
        void *arguments[] = { &to, &from, &n, &to_step, &from_step, &blocks };
        l.grid = blocks * (unsigned)count;
        if (n && km_gpu_run(g, KM_DEVICE_REFRESH, &l, arguments, err) < 0)
            return err->code;
    }
    return 0;
}

int km_sets_fill(const km_gpu *g, const km_sets *s, uint64_t seed, uint64_t source_seed,
                 km_err *err)
{
    for (size_t k = 0; k < s->count * s->inputs; k++) {
        size_t i = k % s->inputs;
        const km_suite_input *in = &s->cell->op->inputs[i];
        int dtype = km_input_dtype(s->cell, i, false);
        uint64_t step = k * 0x9e3779b97f4a7c15;
        if (km_gpu_fill(g, in, s->addresses[k], dtype, s->elements[i], seed ^ step, err) < 0 ||
            km_gpu_fill(g, in, s->sources[k], dtype, s->elements[i], source_seed ^ step, err) < 0)
            return err->code;
    }
    return km_gpu_wait(g, err);
}

int km_sets_hash(const km_gpu *g, const km_sets *s, uint64_t *out, km_err *err)
{
    if (km_gpu_clear_scratch(g, err) < 0)
        return err->code;
    for (size_t k = 0; k < s->count * s->inputs; k++)
        if (km_gpu_hash(g, s->addresses[k], s->bytes[k % s->inputs], k % s->inputs, err) < 0)
            return err->code;
    return km_gpu_read_scratch(g, out, s->inputs, err);
}

int km_sets_check_guards(const km_gpu *g, const km_sets *s, bool *whole, km_err *err)
{
    uint64_t sum = 0;
    int rc = hash_guards(g, s, &sum, err);

    *whole = sum == s->guards;
    return rc;
}

int km_sets_write(const km_gpu *g, const km_sets *s, const km_sets *copies, size_t set,
                  km_cu_stream stream, km_err *err)
{
    struct {
        uint64_t to[KM_GPU_INPUTS_MAX], from[KM_GPU_INPUTS_MAX], count[KM_GPU_INPUTS_MAX];
    } parts = { .count = { 0 } };
    km_gpu_launch l = { .block = 256, .stream = stream, .programmatic = true };
    uint64_t most = 1;
    void *arguments[] = { &parts };

    for (size_t i = 0; i < s->inputs; i++) {
        parts.to[i] = s->addresses[at(s, set, i)];
        parts.from[i] = s->sources[at(s, set, i)];
        parts.count[i] = round_up(s->bytes[i], 16) / 16;
        most = parts.count[i] > most ? parts.count[i] : most;
    }
    for (size_t i = 0; copies && i < copies->inputs; i++)
        parts.to[copies->call->overwritten[i]] = copies->addresses[at(copies, set, i)];
    l.grid = (unsigned)((most + 255) / 256 < 65536 ? (most + 255) / 256 : 65536);
    return km_gpu_run(g, KM_DEVICE_WRITE, &l, arguments, err);
}

void km_sets_release(const km_torch *t, km_sets *s)
{
    for (size_t k = 0; s->tensors && k < s->count * s->inputs; k++)
        if (s->tensors[k])
            t->aoti_torch_delete_tensor_object(s->tensors[k]);
    if (s->memory)
        t->gpu->cuMemFree_v2(s->memory);
    if (s->source_memory)
        t->gpu->cuMemFree_v2(s->source_memory);
    *s = (km_sets){ 0 };
}
