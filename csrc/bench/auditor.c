#include "bench/auditor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/arguments.h"
#include "bench/audit.h"
#include "bench/channel.h"
#include "bench/host.h"
#include "bench/inputs.h"
#include "bench/verify.h"
#include "formats/json.h"

#include <kernmill/op.h>

bool km_auditor_wants_python(const km_suite *s)
{
    for (size_t i = 0; i < s->op_count; i++)
        if (km_suite_reference(&s->ops[i])->python)
            return true;
    return false;
}

/* What one question needs. */
struct question {
    km_arena a;
    const km_session *s;
    const km_torch *t;
    km_cell cell;
    km_torch_tensor *inputs, *wide; /* as they were measured, and in float64; NULL: not made */
    km_torch_tensor want[KM_RETURNS_MAX];
};

static km_torch_tensor *make_inputs(struct question *q, bool widened, km_err *err)
{
    km_torch_tensor *out = km_arena_array(&q->a, q->cell.op->input_count + 1, sizeof *out);

    if (!out)
        km_fail_nomem(err);
    return out && km_inputs_make(q->t, &q->cell, widened, out, err) == 0 ? out : NULL;
}

/* The reference's results for the inputs of this seed. */
static int refer(struct question *q, uint64_t seed, km_err *err)
{
    km_random random;

    km_random_seed(&random, seed);
    q->inputs = make_inputs(q, false, err);
    q->wide = q->inputs ? make_inputs(q, true, err) : NULL;
    if (!q->wide || km_inputs_fill(q->t, &q->cell, q->inputs, 1, &random, err) < 0 ||
        km_inputs_widen(q->t, &q->cell, q->inputs, q->wide, err) < 0 ||
        (q->t->gpu && km_gpu_wait(q->t->gpu, err) < 0))
        return err->code;
    if (km_call_once(&q->a, q->t, &q->cell, km_suite_reference(q->cell.op), q->wide, true, q->want,
                     err) < 0)
        return err->code;
    return q->t->gpu ? km_gpu_wait(q->t->gpu, err) : 0;
}

static int copy_in(const km_torch *t, const km_view *to, int results, uint64_t offset, km_err *err)
{
    uint64_t bytes = km_view_bytes(to);
    void *from = bytes ? km_audit_map(results, offset, bytes) : NULL;
    int rc = 0;

    if (!bytes)
        return 0;
    if (!from)
        return km_fail(err, KM_EIO, "unable to read shared results");
    if (!t->gpu)
        memcpy(to->data, from, bytes);
    else
        rc = km_gpu_check(t->gpu,
                          t->gpu->cuMemcpyHtoDAsync_v2((uint64_t)(uintptr_t)to->data, from, bytes,
                                                       t->gpu->stream),
                          "copying results", err);
    if (rc == 0 && t->gpu)
        rc = km_gpu_wait(t->gpu, err);
    km_audit_unmap(from, bytes);
    return rc;
}

/* The error of one result that was handed over, in units in the last place. */
static int compare(const struct question *q, const json_t *given, km_torch_tensor want,
                   double *error, km_err *err)
{
    km_view w = km_view_of(q->t, want);
    km_layout layout = { .ndim = w.ndim };
    int dtype = (int)json_integer_value(json_object_get(given, "dtype"));
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(given, "bytes"));
    uint64_t offset = (uint64_t)json_integer_value(json_object_get(given, "offset"));
    km_torch_tensor got;
    km_view view;
    int rc;

    if (w.ndim > KM_DIMENSIONS_MAX || (uint64_t)w.count * km_dtype_bytes((km_dtype)dtype) != bytes)
        return km_fail(err, KM_EFORMAT, "a result has other sizes than the reference's");
    memcpy(layout.sizes, w.sizes, (size_t)w.ndim * sizeof *w.sizes);
    memcpy(layout.strides, w.strides, (size_t)w.ndim * sizeof *w.strides);
    if (km_torch_empty(q->t, &layout, dtype, NULL, &got, err) < 0)
        return err->code;
    view = km_view_of(q->t, got);
    rc = copy_in(q->t, &view, q->s->results, offset, err);
    if (rc == 0)
        rc = km_verify(q->t, got, want, error, err);
    q->t->aoti_torch_delete_tensor_object(got);
    return rc;
}

/* One call's results, all of them. */
static json_t *judge(const struct question *q, const json_t *results)
{
    static const char *const beyond =
        "a result is beyond the tolerance of the reference in a process of its own";
    km_err err = KM_ERR_INIT;
    const char *why = NULL;
    double worst = 0;
    size_t i, count = (size_t)km_results_count(q->want);
    const json_t *given;

    if (json_array_size(results) != count)
        why = "it returns another number of results";
    json_array_foreach(results, i, given)
    {
        double error = INFINITY;
        if (why)
            break;
        if (compare(q, given, q->want[i], &error, &err) < 0)
            why = err.message;
        else if (error > q->cell.op->tolerance)
            why = beyond;
        worst = error > worst ? error : worst;
    }
    return json_pack("{s:o,s:s?}", "error_ulp", km_json_real(worst), "why", why);
}

static void release(struct question *q)
{
    km_results_delete(q->t, q->want);
    if (q->wide)
        km_inputs_delete(q->t, &q->cell, q->wide);
    if (q->inputs)
        km_inputs_delete(q->t, &q->cell, q->inputs);
    if (q->t->gpu)
        km_torch_trim(q->t); /* the memory is wanted by who measures */
    km_arena_release(&q->a);
}

static json_t *answer(const km_session *s, const km_torch *t, const json_t *asked, km_err *err)
{
    struct question q = { .a = KM_ARENA_INIT, .s = s, .t = t };
    const json_t *calls = json_object_get(asked, "calls"), *results;
    uint64_t seed = strtoull(km_json_text_of(asked, "seed"), NULL, 16);
    json_t *out = NULL;
    const char *name;

    if (!km_session_cell(s, &q.a, (size_t)json_integer_value(json_object_get(asked, "cell")),
                         &q.cell))
        km_fail(err, KM_EBUG, "the auditor is asked about no cell");
    else if (refer(&q, seed, err) == 0) {
        out = json_object();
        json_object_foreach((json_t *)(uintptr_t)calls, name, results)
            json_object_set_new(out, name, judge(&q, results));
    }
    release(&q);
    return out ? json_pack("{s:o}", "calls", out) : NULL;
}

static int serve(const km_session *s, FILE *questions, const km_torch *t, km_err *err)
{
    char *text = NULL;
    size_t room = 0;
    int rc = 0;

    while (rc == 0 && getline(&text, &room, questions) > 0) {
        json_t *asked = json_loads(text, 0, NULL), *said = answer(s, t, asked, err);
        json_decref(asked);
        rc = said ? km_channel_send(fileno(questions), said) : err->code;
    }
    free(text);
    return rc;
}

void km_auditor_run(const km_session *s, int fd, const struct km_callables *callables)
{
    FILE *questions = fdopen(fd, "r");
    km_err err = KM_ERR_INIT;
    km_torch t;
    km_gpu gpu;
    int rc;

    if (!questions)
        return;
    rc = km_host_open(s, s->reference_libraries, callables, &t, &gpu, &err);
    if (rc == 0)
        rc = serve(s, questions, &t, &err);
    if (rc < 0)
        km_channel_send_error(fd, &err);
    fclose(questions);
}

bool km_auditor_apply(json_t *cell, const json_t *answer, char *why, size_t room)
{
    const json_t *judged = json_object_get(answer, "calls");
    json_t *calls = json_object_get(cell, "calls"), *call;
    bool all = true;
    size_t i;

    json_array_foreach(calls, i, call)
    {
        const char *name = km_json_text_of(call, "name");
        const json_t *said = json_object_get(judged, name);
        const char *fault = json_string_value(json_object_get(said, "why"));
        bool right = strcmp(km_json_text_of(call, "state"), "right") == 0;
        if (right && !said) {
            snprintf(why, room, "the results of '%s' were not handed over", name);
            all = false;
        }
        if (said)
            json_object_set(call, "audit_error_ulp", json_object_get(said, "error_ulp"));
        if (!right || !fault)
            continue;
        json_object_set_new(call, "state", json_string("wrong"));
        json_object_set_new(call, "why", json_string(fault));
    }
    return all;
}
