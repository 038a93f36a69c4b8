#include "bench/inputs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/dtype.h"
#include "bench/gpu_values.h"
#include "bench/verify.h"
#include "core/limits.h"

#include <kernmill/tensor.h>

enum { POOL = 65536, RUN = 4096 };

int km_input_dtype(const km_cell *cell, size_t i, bool widened)
{
    const km_suite_input *in = &cell->op->inputs[i];
    int dtype = in->has_dtype ? in->dtype : cell->dtype;

    return widened && km_dtype_epsilon(dtype) > 0 ? KM_FLOAT64 : dtype;
}

/* The values of a list of expressions: sizes, or strides. */
static int evaluate(const km_cell *cell, const char *input, const char *what, const km_list *list,
                    int64_t *out, km_err *err)
{
    km_variable variables[KM_EXPR_NAMES_MAX];
    size_t n = km_cell_variables(cell, variables);
    double value;

    for (size_t d = 0; d < list->count; d++) {
        if (km_expr_value(list->items[d], variables, n, &value, err) < 0)
            return KM_EFORMAT;
        if (value < 0 || value != floor(value) || value > 0x1p48)
            return km_fail(err, KM_EFORMAT, "input '%s': '%s' is %g, no %s", input, list->items[d],
                           value, what);
        out[d] = (int64_t)value;
    }
    return 0;
}

int km_input_layout(const km_cell *cell, size_t i, km_layout *out, km_err *err)
{
    const km_suite_input *in = &cell->op->inputs[i];
    int64_t step = 1;

    *out = (km_layout){ .ndim = (int64_t)in->shape.count };
    if (out->ndim > KM_DIMENSIONS_MAX)
        return km_fail(err, KM_ELIMIT, "input '%s' has %zu dimensions", in->name, in->shape.count);
    if (evaluate(cell, in->name, "size", &in->shape, out->sizes, err) < 0)
        return KM_EFORMAT;
    if (in->strides.count)
        return evaluate(cell, in->name, "stride", &in->strides, out->strides, err);
    for (int64_t d = out->ndim; d-- > 0;) {
        out->strides[d] = step;
        step *= out->sizes[d] > 0 ? out->sizes[d] : 1;
    }
    return 0;
}

int km_input_make(const km_torch *t, const km_cell *cell, size_t i, bool widened,
                  km_torch_tensor *out, km_err *err)
{
    km_layout layout;

    if (km_input_layout(cell, i, &layout, err) < 0)
        return err->code;
    return km_torch_empty(t, &layout, km_input_dtype(cell, i, widened), NULL, out, err);
}

int km_inputs_make(const km_torch *t, const km_cell *cell, bool widened, km_torch_tensor *out,
                   km_err *err)
{
    for (size_t i = 0; i < cell->op->input_count; i++) {
        int rc = km_input_make(t, cell, i, widened, &out[i], err);
        if (rc == 0)
            continue;
        while (i-- > 0)
            t->aoti_torch_delete_tensor_object(out[i]);
        return rc;
    }
    return 0;
}

static void draw(const km_suite_input *in, km_random *r, double *out, size_t count)
{
    switch (in->values) {
    case KM_VALUES_NORMAL:
        km_random_normals(r, out, count);
        return;
    case KM_VALUES_UNIFORM:
        for (size_t i = 0; i < count; i++)
            out[i] = in->low + (in->high - in->low) * km_random_unit(r);
        return;
    case KM_VALUES_INTEGERS:
        for (size_t i = 0; i < count; i++)
            out[i] = ceil(in->low) +
                     (double)km_random_below(r, (uint64_t)(floor(in->high) - ceil(in->low)) + 1);
        return;
    }
}

/* Values of one distribution in its dtype, from which tensors are filled in runs from random
 * places: drawing each value anew would take longer than measuring. */
struct pool {
    char *values; /* [POOL] */
    size_t element;
};

static int make_pool(const km_suite_input *in, int dtype, km_random *r, struct pool *out,
                     km_err *err)
{
    double *values = malloc(POOL * sizeof *values);

    *out = (struct pool){ .element = km_dtype_bytes((km_dtype)dtype) };
    out->values = malloc(POOL * out->element);
    if (!values || !out->values) {
        free(values);
        return km_fail_nomem(err);
    }
    draw(in, r, values, POOL);
    km_dtype_narrow(dtype, values, out->values, POOL);
    free(values);
    return 0;
}

static void fill(const struct pool *p, char *data, size_t count, km_random *r)
{
    for (size_t at = 0; at < count; at += RUN) {
        size_t from = (size_t)km_random_below(r, POOL - RUN);
        size_t n = count - at < RUN ? count - at : RUN;
        memcpy(data + at * p->element, p->values + from * p->element, n * p->element);
    }
}

static void *data_of(const km_torch *t, km_torch_tensor tensor, uint64_t *count)
{
    km_view v = km_view_of(t, tensor);

    *count = km_view_extent(&v);
    return v.data;
}

static int fill_on_gpu(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs,
                       size_t count, km_random *r, km_err *err)
{
    for (size_t k = 0; k < count; k++) {
        size_t i = k % cell->op->input_count;
        uint64_t n, to = (uint64_t)(uintptr_t)data_of(t, inputs[k], &n);
        if (km_gpu_fill(t->gpu, &cell->op->inputs[i], to, km_input_dtype(cell, i, false), n,
                        km_random_bits(r), err) < 0)
            return err->code;
    }
    return 0;
}

int km_inputs_fill(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs,
                   size_t sets, km_random *r, km_err *err)
{
    size_t each = cell->op->input_count;

    if (t->gpu)
        return fill_on_gpu(t, cell, inputs, sets * each, r, err);
    for (size_t i = 0; i < each; i++) {
        struct pool p;
        int rc = make_pool(&cell->op->inputs[i], km_input_dtype(cell, i, false), r, &p, err);
        for (size_t set = 0; set < sets && rc == 0; set++) {
            uint64_t n;
            char *to = data_of(t, inputs[set * each + i], &n);
            fill(&p, to, n, r);
        }
        free(p.values);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int widen_on_gpu(const km_gpu *g, const km_cell *cell, size_t i, void *to, void *from,
                        uint64_t count, km_err *err)
{
    int dtype = km_input_dtype(cell, i, false);
    uint64_t target = (uint64_t)(uintptr_t)to, source = (uint64_t)(uintptr_t)from;

    if (km_input_dtype(cell, i, true) == KM_FLOAT64)
        return km_gpu_widen(g, target, source, dtype, count, err);
    return km_gpu_check(
        g,
        g->cuMemcpyDtoDAsync_v2(target, source, count * km_dtype_bytes((km_dtype)dtype), g->stream),
        "copying", err);
}

int km_input_copy(const km_torch *t, km_torch_tensor from, km_torch_tensor to, km_err *err)
{
    km_view source = km_view_of(t, from), target = km_view_of(t, to);
    size_t bytes = km_view_bytes(&source);
    const km_gpu *g = t->gpu;

    if (g)
        return km_gpu_check(g,
                            g->cuMemcpyDtoDAsync_v2((uint64_t)(uintptr_t)target.data,
                                                    (uint64_t)(uintptr_t)source.data, bytes,
                                                    g->stream),
                            "copying inputs", err);
    memcpy(target.data, source.data, bytes);
    return 0;
}

int km_inputs_widen(const km_torch *t, const km_cell *cell, const km_torch_tensor *from,
                    const km_torch_tensor *to, km_err *err)
{
    for (size_t i = 0; i < cell->op->input_count; i++) {
        int dtype = km_input_dtype(cell, i, false);
        uint64_t count;
        void *target = data_of(t, to[i], &count), *source = data_of(t, from[i], &count);
        if (t->gpu && widen_on_gpu(t->gpu, cell, i, target, source, count, err) < 0)
            return err->code;
        if (t->gpu)
            continue;
        if (km_input_dtype(cell, i, true) == KM_FLOAT64)
            km_dtype_widen(dtype, source, target, count);
        else
            memcpy(target, source, count * km_dtype_bytes((km_dtype)dtype));
    }
    return 0;
}

void km_inputs_delete(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs)
{
    for (size_t i = 0; i < cell->op->input_count; i++)
        t->aoti_torch_delete_tensor_object(inputs[i]);
}
