#include "bench/cell_internal.h"

#include "bench/gpu_checks.h"
#include "bench/inputs.h"
#include "bench/overwrite.h"
#include "bench/verify.h"
#include "core/limits.h"

enum { SETS_MIN = 8, SETS_BYTES_MIN = 1000000000 };

/* How many bytes all results of a call have. */
static double result_bytes(const km_gpu_cell *r, const km_suite_call *call,
                           const km_torch_tensor *returned, const km_torch_tensor *given)
{
    km_torch_tensor results[KM_RETURNS_MAX];
    double bytes = 0;

    km_overwrites_results(r->t, call, returned, given, results);
    for (int i = 0; i < km_results_count(results); i++) {
        km_view v = km_view_of(r->t, results[i]);
        bytes += (double)km_view_bytes(&v);
    }
    return bytes;
}

static int probe_given(km_gpu_cell *r, size_t call, const km_torch_tensor *given, double *takes,
                       double *returns, km_err *err)
{
    km_torch_tensor returned[KM_RETURNS_MAX] = { NULL };
    km_call_result *c = &r->out->results[call];
    size_t before = 0, after = 0, total;
    km_prepared prepared;
    km_err why = KM_ERR_INIT;
    double start = km_now_us();
    int rc;

    if (km_prepare_for(r->a, r->t, r->cell, c, given, &prepared, err) < 0)
        return err->code;
    if (!km_takes_part(c))
        return 0;
    r->g->cuMemGetInfo_v2(&before, &total);
    if (km_prepared_call(&prepared, r->t, returned, &why) < 0)
        km_set_state(r->a, c, KM_CALL_FAILED, why.message);
    rc = km_gpu_wait_for(r, call, err);
    km_prepared_release(&prepared, r->t);
    c->first_s = (km_now_us() - start) / 1e6;
    r->g->cuMemGetInfo_v2(&after, &total);
    *takes = before > after ? (double)(before - after) : 0;
    *returns = result_bytes(r, c->call, returned, given);
    km_results_delete(r->t, returned);
    return rc;
}

/* One call before any set is made, alone on the GPU: how much memory it takes with its results, and
 * how much are results, what it overwrites among them. What Python compiles, it compiles here. */
static int probe_call(km_gpu_cell *r, size_t call, const km_torch_tensor *inputs, double *takes,
                      double *returns, km_err *err)
{
    const km_suite_call *c = &r->cell->op->calls[call];
    const km_torch_tensor *given;
    int rc;

    if (!km_takes_part(&r->out->results[call]))
        return 0;
    if (km_overwrites_copy(r->a, r->t, r->cell, c, inputs, &given, err) < 0)
        return err->code;
    rc = probe_given(r, call, given, takes, returns, err);
    km_overwrites_release(r->t, c, given);
    km_torch_trim(r->t);
    return rc;
}

/* What checking a set takes: memory that is wanted while graphs are still to be replayed. */
static int probe_reference(km_gpu_cell *r, const km_torch_tensor *inputs, double *takes,
                           km_err *err)
{
    km_gpu_reference reference = { 0 };
    size_t before = 0, after = 0, total;
    int rc;

    r->g->cuMemGetInfo_v2(&before, &total);
    rc = km_gpu_refer(r, r->a, inputs, &reference, err);
    if (rc == 0)
        rc = km_gpu_wait(r->g, err);
    r->g->cuMemGetInfo_v2(&after, &total);
    *takes = before > after ? (double)(before - after) : 0;
    km_gpu_refer_release(r, &reference);
    km_torch_trim(r->t);
    return rc;
}

/* The memory that all calls take beside the sets, and a set of all. */
static int probe(km_gpu_cell *r, double *fixed, double *each, km_err *err)
{
    km_torch_tensor *inputs = km_arena_array(r->a, r->cell->op->input_count + 1,
                                             sizeof(km_torch_tensor));
    int rc = inputs ? km_inputs_make(r->t, r->cell, false, inputs, err) : km_fail_nomem(err);

    if (rc < 0)
        return rc;
    *each = 2 * r->out->bytes; /* inputs and their sources at most, the copy */
    rc = km_inputs_fill(r->t, r->cell, inputs, 1, &r->random, err);
    if (rc == 0)
        rc = probe_reference(r, inputs, fixed, err);
    *fixed += 6.0 * (double)r->g->l2_bytes;
    for (size_t i = 0; i < r->cell->op->call_count && rc == 0; i++) {
        double takes = 0, returns = 0;
        rc = probe_call(r, i, inputs, &takes, &returns, err);
        *fixed += KM_WALK_COUNT * (takes > returns ? takes : returns);
        *each += 3 * returns; /* of the cold walk, of the chain, and of single calls */
    }
    km_inputs_delete(r->t, r->cell, inputs);
    km_torch_trim(r->t);
    return rc;
}

/* As many as exceed four times the cache and make a replay long against its start. All that is made
 * of them must fit: when torch runs out of memory it gives back what no tensor holds, graphs or
 * not. */
int km_gpu_choose_sets(km_gpu_cell *r, km_err *err)
{
    double wanted = 4.0 * (double)r->g->l2_bytes, fixed = 0, each = 0, most;
    double bytes = r->out->bytes > 1 ? r->out->bytes : 1;
    size_t free_bytes = 0, total;

    if (probe(r, &fixed, &each, err) < 0)
        return err->code;
    r->g->cuMemGetInfo_v2(&free_bytes, &total);
    most = (0.9 * (double)free_bytes - fixed) / each;
    if (most < 2)
        return km_fail(err, KM_EENV,
                       "the GPU has %zu MB free; two sets of inputs and all results take %.0f MB",
                       free_bytes >> 20, (fixed + 2 * each) / 0x1p20);
    wanted = (wanted > SETS_BYTES_MIN ? wanted : SETS_BYTES_MIN) / bytes + 1;
    wanted = wanted < SETS_MIN ? SETS_MIN : wanted;
    wanted = wanted > most ? most : wanted;
    wanted = wanted > KM_BENCH_SETS_MAX ? KM_BENCH_SETS_MAX : wanted;
    r->out->sets = (size_t)wanted;
    return 0;
}
