#include "bench/trace_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/cell_internal.h"
#include "bench/inputs.h"
#include "bench/overwrite.h"
#include "bench/verify.h"
#include "formats/json.h"

#include <kernmill/op.h>

enum { CHUNK = 1 << 16, ELEMENT_BYTES_MAX = 8, LARGE = 1 << 24 };

const char *const km_rule_verdict_names[] = { "right", "numerical", "shape",
                                              "dtype", "failed",    "untried" };

/* A cell's rule being tried. */
struct trial {
    km_arena *a;
    const km_torch *t;
    const km_cell *cell;
    const km_trace *trace;
    const km_trace_bounds *bounds;
    km_torch_tensor *inputs;
    km_torch_tensor want[KM_RETURNS_MAX];
    char *raw;            /* as they stand on a GPU */
    double *got, *wanted; /* [CHUNK] */
};

static int read_elements(struct trial *p, const km_view *v, int64_t at, size_t count, double *out,
                         km_err *err)
{
    const km_gpu *g = p->t->gpu;
    size_t element = km_dtype_bytes((km_dtype)v->dtype);
    char *from = (char *)v->data + (size_t)at * element;

    if (g && (km_gpu_check(g,
                           g->cuMemcpyDtoHAsync_v2(p->raw, (uint64_t)(uintptr_t)from,
                                                   count * element, g->stream),
                           "reading results", err) < 0 ||
              km_gpu_check(g, g->cuStreamSynchronize(g->stream), "reading results", err) < 0))
        return err->code;
    km_dtype_widen(v->dtype, g ? p->raw : from, out, count);
    return 0;
}

static int sum(struct trial *p, const km_view *got, const km_view *want, km_rule_sum *s,
               km_err *err)
{
    for (int64_t at = 0; at < got->count; at += CHUNK) {
        size_t n = (size_t)(got->count - at < CHUNK ? got->count - at : CHUNK);
        if (read_elements(p, got, at, n, p->got, err) < 0 ||
            read_elements(p, want, at, n, p->wanted, err) < 0)
            return err->code;
        km_rule_add(s, p->trace->format, p->bounds, p->got, p->wanted, n);
    }
    return 0;
}

/* The first reason is kept. */
static void refuse(struct trial *p, km_rule_result *r, km_rule_verdict verdict, const char *why)
{
    if (r->verdict != KM_RULE_RIGHT)
        return;
    r->verdict = verdict;
    r->why = km_arena_strndup(p->a, why, strcspn(why, "\n"));
}

static bool same_sizes(const km_view *got, const km_view *want)
{
    return got->ndim == want->ndim &&
           memcmp(got->sizes, want->sizes, (size_t)got->ndim * sizeof *got->sizes) == 0;
}

static int compare(struct trial *p, int i, km_torch_tensor result, km_rule_result *r, km_err *err)
{
    km_view got = km_view_of(p->t, result), want = km_view_of(p->t, p->want[i]);
    km_rule_sum s = { 0 };

    if (!same_sizes(&got, &want))
        refuse(p, r, KM_RULE_SHAPE, "a result has other sizes than the reference's");
    else if ((size_t)i < p->trace->output_count && got.dtype != p->trace->outputs[i])
        refuse(p, r, KM_RULE_DTYPE, "a result has another dtype than the definition's");
    else if (!km_view_is_dense(&got) || !km_view_is_dense(&want))
        refuse(p, r, KM_RULE_FAILED, "a result's dtype or layout is not compared");
    if (r->verdict != KM_RULE_RIGHT && r->verdict != KM_RULE_NUMERICAL)
        return 0;
    if (sum(p, &got, &want, &s, err) < 0)
        return err->code;
    r->max_absolute = fmax(r->max_absolute, s.max_absolute);
    r->max_relative = fmax(r->max_relative, s.max_relative);
    r->matched = fmin(r->matched, km_rule_matched(&s));
    r->nan |= s.nan;
    r->inf |= s.inf;
    if (!km_rule_holds(&s, p->trace->format, p->bounds))
        refuse(p, r, KM_RULE_NUMERICAL,
               km_arena_printf(p->a, "%zu of %zu elements are out of its bounds%s", s.beyond,
                               s.count, s.beyond ? "" : ", but for its cap, or all are zero"));
    return 0;
}

static int try_call(struct trial *p, const km_suite_call *which, km_rule_result *r, km_err *err)
{
    km_torch_tensor results[KM_RETURNS_MAX] = { NULL };
    km_err why = KM_ERR_INIT;
    int rc = 0;

    if (km_overwrites_call(p->a, p->t, p->cell, which, p->inputs, false, results, &why) < 0) {
        refuse(p, r, KM_RULE_FAILED, why.message);
        return 0;
    }
    if (p->t->gpu)
        rc = km_gpu_wait(p->t->gpu, err);
    if (km_results_count(results) != km_results_count(p->want))
        refuse(p, r, KM_RULE_FAILED, "it returns another number of results");
    for (int i = 0; i < km_results_count(p->want) && rc == 0 && r->verdict != KM_RULE_FAILED; i++)
        rc = compare(p, i, results[i], r, err);
    /* the next call may be given the same memory: no right answer stays in it */
    for (int i = 0; i < km_results_count(results); i++)
        km_poison(p->t, results[i], NULL);
    km_results_delete(p->t, results);
    r->trials++;
    return rc == 0 && p->t->gpu ? km_gpu_wait(p->t->gpu, err) : rc;
}

/* One set of inputs; the definition's function runs on them as they are, and only then is its
 * result widened. */
static int try_set(struct trial *p, km_random *random, km_cell_result *out, km_rule_result *rules,
                   km_err *err)
{
    const km_suite_call *reference = km_suite_reference(p->cell->op);
    km_err why = KM_ERR_INIT;
    int rc = km_inputs_fill(p->t, p->cell, p->inputs, 1, random, err);

    if (rc == 0 && p->t->gpu)
        rc = km_gpu_wait(p->t->gpu, err);
    if (rc < 0)
        return rc;
    if (km_overwrites_call(p->a, p->t, p->cell, reference, p->inputs, reference->python != NULL,
                           p->want, &why) < 0) {
        for (size_t i = 0; i < p->cell->op->call_count; i++)
            refuse(p, &rules[i], KM_RULE_UNTRIED, why.message);
        return 0;
    }
    if (p->t->gpu)
        rc = km_gpu_wait(p->t->gpu, err);
    for (size_t i = 0; i < p->cell->op->call_count && rc == 0; i++)
        if (rules[i].verdict != KM_RULE_UNTRIED)
            rc = try_call(p, out->results[i].call, &rules[i], err);
    return rc;
}

static bool is_large(const struct trial *p)
{
    for (int i = 0; i < km_results_count(p->want); i++)
        if (km_view_of(p->t, p->want[i]).count > LARGE)
            return true;
    return false;
}

static int try_all(struct trial *p, km_random *random, km_cell_result *out, km_rule_result *rules,
                   km_err *err)
{
    bool large = false;
    int rc = 0;

    p->raw = malloc((size_t)CHUNK * ELEMENT_BYTES_MAX);
    p->got = malloc(CHUNK * sizeof *p->got);
    p->wanted = malloc(CHUNK * sizeof *p->wanted);
    if (!p->raw || !p->got || !p->wanted)
        rc = km_fail_nomem(err);
    for (int i = 0; i < KM_RULE_TRIALS && !large && rc == 0; i++) {
        rc = try_set(p, random, out, rules, err);
        large = is_large(p);
        km_results_delete(p->t, p->want);
    }
    free(p->raw);
    free(p->got);
    free(p->wanted);
    return rc;
}

static void settle(km_arena *a, km_call_result *c, const km_rule_result *rule)
{
    c->rule = rule;
    if (rule->verdict == KM_RULE_RIGHT || rule->verdict == KM_RULE_UNTRIED)
        return;
    km_set_state(a, c, rule->verdict == KM_RULE_FAILED ? KM_CALL_FAILED : KM_CALL_WRONG,
                 km_arena_printf(a, "by the rule of its trace: %s", rule->why));
}

/* A function that overwrites its inputs leaves none for the others. */
static void start(struct trial *p, const km_cell_result *out, km_rule_result *rules)
{
    const km_suite_op *op = p->cell->op;
    bool spoils = false;

    for (size_t i = 0; i < op->call_count; i++)
        spoils |= out->results[i].call == km_suite_reference(op) &&
                  out->results[i].state == KM_CALL_CHANGED_INPUTS;
    for (size_t i = 0; i < op->call_count; i++) {
        const km_call_result *c = &out->results[i];
        rules[i] = (km_rule_result){ .matched = 1, .ours = c->state, .ours_why = c->why };
        if (!km_takes_part(c))
            rules[i].verdict = KM_RULE_UNTRIED;
        if (spoils)
            refuse(p, &rules[i], KM_RULE_UNTRIED,
                   "the definition's own function changes its inputs");
    }
}

int km_rule_check(km_arena *a, const km_torch *t, km_random *r, km_cell_result *out, km_err *err)
{
    const km_suite_op *op = out->cell.op;
    struct trial p = { .a = a, .t = t, .cell = &out->cell, .trace = op->trace };
    km_rule_result *rules;
    int rc;

    if (!op->trace)
        return 0;
    p.bounds = &op->trace->bounds[km_trace_shape(&out->cell)];
    rules = km_arena_array(a, op->call_count, sizeof *rules);
    p.inputs = km_arena_array(a, op->input_count + 1, sizeof(km_torch_tensor));
    if (!rules || !p.inputs)
        return km_fail_nomem(err);
    start(&p, out, rules);
    rc = km_inputs_make(t, &out->cell, false, p.inputs, err);
    if (rc < 0)
        return rc;
    rc = try_all(&p, r, out, rules, err);
    km_inputs_delete(t, &out->cell, p.inputs);
    for (size_t i = 0; i < op->call_count; i++)
        settle(a, &out->results[i], &rules[i]);
    return rc;
}

bool km_rule_without_reference(km_arena *a, km_cell_result *out, const char *why)
{
    const km_suite_op *op = out->cell.op;
    km_rule_result *rules = km_arena_array(a, op->call_count, sizeof *rules);

    if (!op->trace || !out->results || !rules)
        return false;
    for (size_t i = 0; i < op->call_count; i++) {
        km_call_result *c = &out->results[i];
        km_set_state(a, c, KM_CALL_FAILED,
                     km_arena_printf(a, "the reference failed on float64 inputs: %s", why));
        rules[i] = (km_rule_result){ .verdict = KM_RULE_UNTRIED,
                                     .why = km_arena_strndup(a, why, strcspn(why, "\n")),
                                     .ours = c->state,
                                     .ours_why = c->why };
        c->rule = &rules[i];
    }
    return true;
}

/* ---- as JSON ---- */

json_t *km_rule_json(const km_call_result *c, double tolerance)
{
    const km_rule_result *r = c->rule;
    json_t *ours = json_pack("{s:s,s:s?,s:o,s:f}", "state", km_call_state_names[r->ours], "why",
                             r->ours_why, "error_ulp", km_json_real(c->error_ulp), "tolerance_ulp",
                             tolerance);
    json_t *theirs = json_pack("{s:s,s:s?,s:o,s:o,s:f,s:b,s:b,s:i}", "state",
                               km_rule_verdict_names[r->verdict], "why", r->why,
                               "max_absolute_error", km_json_real(r->max_absolute),
                               "max_relative_error", km_json_real(r->max_relative), "matched_ratio",
                               r->matched, "nan", r->nan, "inf", r->inf, "trials", r->trials);

    return json_pack("{s:o,s:o}", "float64", ours, "trace", theirs);
}
