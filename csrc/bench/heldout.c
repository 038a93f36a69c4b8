#include "bench/heldout.h"

#include <string.h>

#include "bench/inputs.h"
#include "bench/overwrite.h"
#include "bench/trace.h"
#include "bench/verify.h"
#include "core/limits.h"

#include <kernmill/op.h>

/* Tensors of one call or of the inputs; those that are not there are NULL. */
struct tensors {
    km_torch_tensor *inputs;
    km_torch_tensor results[KM_RETURNS_MAX];
    int count;
};

static void drop(const km_torch *t, const km_cell *cell, struct tensors *s, bool inputs)
{
    km_results_delete(t, s->results);
    s->count = 0;
    if (inputs && s->inputs)
        km_inputs_delete(t, cell, s->inputs);
}

static int call(km_arena *a, const km_torch *t, const km_cell *cell, const km_suite_call *which,
                bool widened, struct tensors *s, km_err *err)
{
    int rc = widened ? km_call_once(a, t, cell, which, s->inputs, true, s->results, err)
                     : km_overwrites_call(a, t, cell, which, s->inputs, false, s->results, err);

    if (rc < 0)
        return rc;
    s->count = km_results_count(s->results);
    return 0;
}

static void compare(km_arena *a, const km_torch *t, km_call_result *c, const km_cell *cell,
                    const struct tensors *got, const struct tensors *want)
{
    km_err err = KM_ERR_INIT;
    double error = 0;
    const char *why = NULL;

    for (int i = 0; i < want->count && !why; i++) {
        if (got->count != want->count)
            why = "it returns another number of results";
        else if (km_verify(t, got->results[i], want->results[i], &error, &err) < 0)
            why = err.message;
        else if (error > cell->op->tolerance)
            why = "a result is beyond the tolerance";
    }
    if (why)
        km_set_state(a, c, KM_CALL_WRONG,
                     km_arena_printf(a, "with another size (%s): %s", km_cell_text(a, cell), why));
}

/* One call at the other size. */
static int check_call(km_arena *a, const km_torch *t, km_call_result *c, const km_cell *cell,
                      const struct tensors *inputs, const struct tensors *want, km_err *err)
{
    struct tensors got = { .inputs = inputs->inputs };
    km_err why = KM_ERR_INIT;

    if (call(a, t, cell, c->call, false, &got, &why) < 0) {
        km_set_state(
            a, c, KM_CALL_FAILED,
            km_arena_printf(a, "with another size (%s): %s", km_cell_text(a, cell), why.message));
        return 0;
    }
    if (t->gpu && km_gpu_wait(t->gpu, err) < 0)
        return err->code;
    compare(a, t, c, cell, &got, want);
    /* the next call may be given the same memory: no right answer stays in it */
    for (int i = 0; i < got.count; i++)
        km_poison(t, got.results[i], NULL);
    drop(t, cell, &got, false);
    return t->gpu ? km_gpu_wait(t->gpu, err) : 0;
}

static int check_cell(km_arena *a, const km_torch *t, km_random *r, const km_cell *cell,
                      km_cell_result *out, km_err *err)
{
    size_t n = cell->op->input_count + 1;
    struct tensors inputs = { .inputs = km_arena_array(a, n, sizeof(km_torch_tensor)) };
    struct tensors wide = { .inputs = km_arena_array(a, n, sizeof(km_torch_tensor)) };
    int rc;

    if (!inputs.inputs || !wide.inputs)
        return km_fail_nomem(err);
    if (km_inputs_make(t, cell, false, inputs.inputs, err) < 0)
        return err->code;
    rc = km_inputs_make(t, cell, true, wide.inputs, err);
    if (rc < 0)
        wide.inputs = NULL;
    if (rc == 0)
        rc = km_inputs_fill(t, cell, inputs.inputs, 1, r, err);
    if (rc == 0)
        rc = km_inputs_widen(t, cell, inputs.inputs, wide.inputs, err);
    if (rc == 0 && t->gpu)
        rc = km_gpu_wait(t->gpu, err);
    if (rc == 0 && call(a, t, cell, km_suite_reference(cell->op), true, &wide, err) == 0)
        for (size_t i = 0; i < cell->op->call_count && rc == 0; i++)
            if (km_takes_part(&out->results[i]))
                rc = check_call(a, t, &out->results[i], cell, &inputs, &wide, err);
    drop(t, cell, &inputs, true);
    drop(t, cell, &wide, true);
    return rc;
}

int km_heldout_check(km_arena *a, const km_torch *t, km_random *r, km_cell_result *out, km_err *err)
{
    double shape[KM_EXPR_NAMES_MAX], step = 1 + (double)km_random_below(r, 7);
    km_cell cell = out->cell;
    size_t axis = km_trace_free_axis(cell.op);

    if (axis == cell.op->axis_count)
        return 0;
    memcpy(shape, out->cell.shape, cell.op->axis_count * sizeof *shape);
    shape[axis] += shape[axis] > 8 ? -step : step;
    cell.shape = shape;
    return check_cell(a, t, r, &cell, out, err);
}
