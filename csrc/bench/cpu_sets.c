#include "bench/cpu_sets.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/inputs.h"
#include "bench/overwrite.h"
#include "core/limits.h"

#include <kernmill/tensor.h>

enum { GUARD_LINES = 2, GUARD_PATTERN = 0xa5 };

static size_t lines_of(size_t bytes)
{
    return (bytes + KM_CPU_LINE_BYTES - 1) / KM_CPU_LINE_BYTES;
}

static int set_lines(const km_cell *cell, const km_cpu_sets *s, km_layout *layouts, size_t *sizes,
                     size_t *lines, km_err *err)
{
    *lines = 0;
    for (size_t i = 0; i < s->inputs; i++) {
        km_layout *l = &layouts[i];
        size_t input = km_overwritten(s->call, i);
        if (km_input_layout(cell, input, l, err) < 0)
            return err->code;
        sizes[i] = lines_of(km_layout_extent(l->ndim, l->sizes, l->strides) *
                            km_dtype_bytes((km_dtype)km_input_dtype(cell, input, false)));
        *lines += GUARD_LINES + sizes[i];
    }
    return 0;
}

static int allocate(km_arena *a, km_cpu_sets *s, size_t lines, km_err *err)
{
    s->bytes = lines * KM_CPU_LINE_BYTES;
    s->memory = aligned_alloc(KM_CPU_LINE_BYTES, s->bytes);
    s->is_input = calloc(lines, sizeof *s->is_input);
    s->tensors = km_arena_array(a, s->count * s->inputs + 1, sizeof *s->tensors);
    if (!s->memory || !s->is_input || !s->tensors)
        return km_fail_nomem(err);
    memset(s->memory, 0, s->bytes); /* its pages in order of address, whatever is filled first */
    return 0;
}

size_t km_cpu_sets_count(double bytes, size_t *cache_bytes)
{
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    double wanted;

    *cache_bytes = cache > 0 ? (size_t)cache : 32u << 20;
    wanted = 4.0 * (double)*cache_bytes / (bytes > 1 ? bytes : 1);
    return wanted < 1 ? 1 : wanted > KM_BENCH_SETS_MAX ? KM_BENCH_SETS_MAX : (size_t)wanted + 1;
}

size_t *km_cpu_sets_order(km_arena *a, size_t count)
{
    size_t *order = km_arena_array(a, count + 1, sizeof *order);

    for (size_t i = 0; order && i < count; i++)
        order[i] = i;
    return order;
}

int km_cpu_sets_make(km_arena *a, const km_torch *t, const km_cell *cell, const km_suite_call *call,
                     size_t count, km_random *r, km_cpu_sets *out, km_err *err)
{
    size_t n = km_overwritten_count(cell->op, call), lines, at = GUARD_LINES;
    km_layout *layouts = km_arena_array(a, n + 1, sizeof *layouts);
    size_t *sizes = km_arena_array(a, n + 1, sizeof *sizes);
    size_t *order = km_cpu_sets_order(a, count);

    *out = (km_cpu_sets){ .count = count, .inputs = n, .call = call };
    if (!layouts || !sizes || !order)
        return km_fail_nomem(err);
    if (set_lines(cell, out, layouts, sizes, &lines, err) < 0 ||
        allocate(a, out, GUARD_LINES + count * lines, err) < 0)
        return err->code;
    km_random_shuffle(r, order, count);
    for (size_t k = 0; k < count * n; k++) {
        size_t i = k % n, place = order[k / n] * n + i;
        if (km_torch_empty(t, &layouts[i], km_input_dtype(cell, km_overwritten(call, i), false),
                           out->memory + at * KM_CPU_LINE_BYTES, &out->tensors[place], err) < 0)
            return err->code;
        for (size_t end = at + sizes[i]; at < end; at++)
            out->is_input[at] = true;
        at += GUARD_LINES;
    }
    km_cpu_sets_guard(out);
    return 0;
}

void km_cpu_sets_refresh(const km_torch *t, const km_cpu_sets *copies, const km_cpu_sets *of,
                         size_t set)
{
    for (size_t i = 0; i < copies->inputs; i++)
        km_input_copy(t, of->tensors[set * of->inputs + km_overwritten(copies->call, i)],
                      copies->tensors[set * copies->inputs + i], NULL);
}

void km_cpu_sets_guard(km_cpu_sets *s)
{
    for (size_t line = 0; line < s->bytes / KM_CPU_LINE_BYTES; line++)
        if (!s->is_input[line])
            memset(s->memory + line * KM_CPU_LINE_BYTES, GUARD_PATTERN, KM_CPU_LINE_BYTES);
}

bool km_cpu_sets_are_whole(const km_cpu_sets *s)
{
    unsigned char guard[KM_CPU_LINE_BYTES];

    memset(guard, GUARD_PATTERN, sizeof guard);
    for (size_t line = 0; line < s->bytes / KM_CPU_LINE_BYTES; line++)
        if (!s->is_input[line] &&
            memcmp(s->memory + line * KM_CPU_LINE_BYTES, guard, sizeof guard) != 0)
            return false;
    return true;
}

void km_cpu_sets_release(const km_torch *t, km_cpu_sets *s)
{
    for (size_t k = 0; s->tensors && k < s->count * s->inputs; k++)
        if (s->tensors[k])
            t->aoti_torch_delete_tensor_object(s->tensors[k]);
    free(s->memory);
    free(s->is_input);
    *s = (km_cpu_sets){ 0 };
}
