#include "bench/inputs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/dtype.h"
#include "core/limits.h"

#include <kernmill/tensor.h>

enum { POOL = 65536, RUN = 4096, DIMENSIONS_MAX = 16 };

static int dtype_of(const km_cell *cell, size_t i, bool widened)
{
    const km_suite_input *in = &cell->op->inputs[i];
    int dtype = in->has_dtype ? in->dtype : cell->dtype;

    return widened && km_dtype_epsilon(dtype) > 0 ? KM_FLOAT64 : dtype;
}

static int make_one(const km_torch *t, const km_cell *cell, size_t i, bool widened,
                    km_torch_tensor *out, km_err *err)
{
    const km_list *shape = &cell->op->inputs[i].shape;
    km_variable variables[KM_EXPR_NAMES_MAX];
    size_t n = km_cell_variables(cell, variables);
    int64_t sizes[DIMENSIONS_MAX];
    double size;

    if (shape->count > DIMENSIONS_MAX)
        return km_fail(err, KM_ELIMIT, "input '%s' has %zu dimensions", cell->op->inputs[i].name,
                       shape->count);
    for (size_t d = 0; d < shape->count; d++) {
        if (km_expr_value(shape->items[d], variables, n, &size, err) < 0)
            return KM_EFORMAT;
        if (size < 0 || size != floor(size) || size > 0x1p48)
            return km_fail(err, KM_EFORMAT, "input '%s': '%s' is %g, no size",
                           cell->op->inputs[i].name, shape->items[d], size);
        sizes[d] = (int64_t)size;
    }
    return km_torch_empty(t, (int64_t)shape->count, sizes, dtype_of(cell, i, widened), out, err);
}

int km_inputs_make(const km_torch *t, const km_cell *cell, bool widened, km_torch_tensor *out,
                   km_err *err)
{
    for (size_t i = 0; i < cell->op->input_count; i++) {
        int rc = make_one(t, cell, i, widened, &out[i], err);
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

/* Up to POOL values are drawn; a larger tensor consists of runs of them from random places. */
static int fill(const km_suite_input *in, int dtype, char *data, size_t count, km_random *r,
                km_err *err)
{
    size_t pool = count < POOL ? count : POOL, element = km_dtype_bytes((km_dtype)dtype);
    double *values = malloc((pool + 1) * sizeof *values);
    char *narrow = malloc((pool + 1) * element);

    if (!values || !narrow) {
        free(values);
        free(narrow);
        return km_fail_nomem(err);
    }
    draw(in, r, values, pool);
    km_dtype_narrow(dtype, values, narrow, pool);
    for (size_t at = 0; at < count;) {
        size_t from = count > pool ? (size_t)km_random_below(r, POOL - RUN) : 0;
        size_t n = count > pool ? RUN : pool;
        n = count - at < n ? count - at : n;
        memcpy(data + at * element, narrow + from * element, n * element);
        at += n;
    }
    free(values);
    free(narrow);
    return 0;
}

int km_inputs_fill(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs,
                   km_random *r, km_err *err)
{
    for (size_t i = 0; i < cell->op->input_count; i++) {
        int64_t count = 0;
        void *data = NULL;
        t->aoti_torch_get_numel(inputs[i], &count);
        t->torch_get_mutable_data_ptr(inputs[i], &data);
        if (fill(&cell->op->inputs[i], dtype_of(cell, i, false), data, (size_t)count, r, err) < 0)
            return KM_ENOMEM;
    }
    return 0;
}

void km_inputs_widen(const km_torch *t, const km_cell *cell, const km_torch_tensor *from,
                     const km_torch_tensor *to)
{
    for (size_t i = 0; i < cell->op->input_count; i++) {
        int dtype = dtype_of(cell, i, false);
        void *source = NULL, *target = NULL;
        int64_t count = 0;
        t->aoti_torch_get_numel(from[i], &count);
        t->torch_get_mutable_data_ptr(from[i], &source);
        t->torch_get_mutable_data_ptr(to[i], &target);
        if (dtype_of(cell, i, true) == KM_FLOAT64)
            km_dtype_widen(dtype, source, target, (size_t)count);
        else
            memcpy(target, source, (size_t)count * km_dtype_bytes((km_dtype)dtype));
    }
}

void km_inputs_delete(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs)
{
    for (size_t i = 0; i < cell->op->input_count; i++)
        t->aoti_torch_delete_tensor_object(inputs[i]);
}
