#include "bench/gpu_checks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/gpu_values.h"
#include "bench/inputs.h"
#include "bench/verify.h"

enum { WIDE = 0, FIRST_RESULT = KM_RETURNS_MAX };

static size_t word_of(size_t call, km_walk_kind kind, int result)
{
    return FIRST_RESULT + (call * KM_WALK_COUNT + (size_t)kind) * KM_RETURNS_MAX + (size_t)result;
}

int km_gpu_refer(km_gpu_cell *r, km_arena *a, const km_torch_tensor *inputs, km_gpu_reference *w,
                 km_err *err)
{
    km_torch_guard guard;
    int rc;

    *w = (km_gpu_reference){ .inputs = km_arena_array(a, r->cell->op->input_count + 1,
                                                      sizeof *w->inputs) };
    if (!w->inputs)
        return km_fail_nomem(err);
    if (r->t->create_guard(r->g->stream, 0, &guard) != 0)
        return km_fail(err, KM_ECHILD, "torch does not take our stream");
    rc = km_inputs_make(r->t, r->cell, true, w->inputs, err);
    if (rc < 0)
        w->inputs = NULL;
    if (rc == 0)
        rc = km_inputs_widen(r->t, r->cell, inputs, w->inputs, err);
    if (rc == 0)
        rc = km_call_once(a, r->t, r->cell, km_suite_reference(r->cell->op), w->inputs, true,
                          w->results, err);
    if (rc == 0)
        w->count = km_results_count(w->results);
    r->t->delete_guard(guard);
    return rc;
}

void km_gpu_refer_release(const km_gpu_cell *r, km_gpu_reference *w)
{
    km_results_delete(r->t, w->results);
    if (w->inputs)
        km_inputs_delete(r->t, r->cell, w->inputs);
}

/* Enqueues the comparison of one call's results in one walk. */
static int compare(km_gpu_cell *r, const km_gpu_reference *w, size_t call, km_walk_kind kind,
                   size_t set, km_err *err)
{
    km_call_result *c = &r->out->results[call];
    const km_walk *walk = &r->walkers[call].walks[kind];
    km_torch_tensor got[KM_RETURNS_MAX], like[KM_RETURNS_MAX];

    km_walker_results(&r->walkers[call], kind, set, got);
    km_walker_results(&r->walkers[km_suite_reference_index(r->cell->op)], KM_WALK_LOOSE, 0, like);
    if (!got[0] || walk->drifted || (kind != KM_WALK_LOOSE && !walk->graph.exec))
        return 0;
    if (km_results_count(got) != w->count) {
        km_set_state(r->a, c, KM_CALL_WRONG, "it returns another number of results");
        return 0;
    }
    for (int i = 0; i < w->count; i++) {
        km_view g = km_view_of(r->t, got[i]), want = km_view_of(r->t, w->results[i]);
        const char *mismatch = km_view_mismatch(&g, &want);
        if (!mismatch)
            mismatch = km_dtype_mismatch(r->a, r->t, got[i], like[i]);
        if (mismatch)
            km_set_state(r->a, c, KM_CALL_WRONG, mismatch);
        else if (km_gpu_compare(r->g, (uint64_t)(uintptr_t)g.data, g.dtype,
                                (uint64_t)(uintptr_t)want.data, (uint64_t)g.count, (size_t)i,
                                word_of(call, kind, i), err) < 0)
            return err->code;
    }
    return 0;
}

static const char *const where[KM_WALK_COUNT] = {
    "a result is beyond the tolerance", "a result is beyond the tolerance",
    "in a chain, where its inputs are written just before, a result is beyond the tolerance",
    "a result is beyond the tolerance when calls follow each other on one set",
    "a result is beyond the tolerance outside a graph"
};

static void take(km_gpu_cell *r, size_t call, size_t kind, uint64_t bits)
{
    km_call_result *c = &r->out->results[call];
    double error;

    memcpy(&error, &bits, sizeof error);
    c->error_ulp = error > c->error_ulp ? error : c->error_ulp;
    if (error > r->cell->op->tolerance)
        km_set_state(r->a, c, KM_CALL_WRONG, where[kind]);
}

static int check_set(km_gpu_cell *r, unsigned kinds, size_t only, size_t set, km_err *err)
{
    uint64_t words[KM_SCRATCH_WORDS];
    km_arena a = KM_ARENA_INIT;
    km_gpu_reference w = { 0 };
    size_t calls = r->cell->op->call_count;
    int rc = km_gpu_clear_scratch(r->g, err);

    if (rc == 0)
        rc = km_gpu_refer(r, &a, &r->sets.tensors[set * r->sets.inputs], &w, err);
    for (int i = 0; i < w.count && rc == 0; i++) {
        km_view v = km_view_of(r->t, w.results[i]);
        rc = km_gpu_squares(r->g, (uint64_t)(uintptr_t)v.data, (uint64_t)v.count, (size_t)i, err);
    }
    for (size_t call = 0; call < calls; call++)
        for (km_walk_kind kind = 0; kind < KM_WALK_COUNT && rc == 0; kind++)
            if ((only == KM_ANY_CALL || only == call) && km_takes_part(&r->out->results[call]) &&
                kinds >> kind & 1 && set < r->walkers[call].walks[kind].sets)
                rc = compare(r, &w, call, kind, set, err);
    if (rc == 0)
        rc = km_gpu_read_scratch(r->g, words, word_of(calls, 0, 0), err);
    for (size_t call = 0; call < calls && rc == 0; call++)
        for (size_t k = 0; k < (size_t)KM_WALK_COUNT * KM_RETURNS_MAX; k++)
            take(r, call, k / KM_RETURNS_MAX, words[word_of(call, 0, (int)k)]);
    km_gpu_refer_release(r, &w);
    km_arena_release(&a);
    return rc;
}

int km_gpu_check_results(km_gpu_cell *r, unsigned kinds, km_err *err)
{
    if (km_gpu_wait(r->g, err) < 0)
        return err->code;
    for (size_t set = 0; set < r->sets.count; set++)
        if (check_set(r, kinds, KM_ANY_CALL, set, err) < 0)
            return err->code;
    return 0;
}

int km_gpu_renew(km_gpu_cell *r, bool same_sources, km_err *err)
{
    uint64_t seed = km_random_bits(&r->random);

    if (km_sets_fill(r->g, &r->sets, seed, same_sources ? seed : km_random_bits(&r->random), err) <
        0)
        return err->code;
    return km_sets_hash(r->g, &r->sets, r->input_hashes, err);
}

/* Whether the memory beside the copies of what a call overwrites is as it was. */
static int check_copies(km_gpu_cell *r, size_t call, bool *whole, km_err *err)
{
    for (km_walk_kind kind = 0; kind < KM_WALK_COUNT && *whole; kind++) {
        const km_sets *copies = &r->walkers[call].walks[kind].copies;
        if (copies->count && km_sets_check_guards(r->g, copies, whole, err) < 0)
            return err->code;
    }
    return 0;
}

int km_gpu_check_inputs(km_gpu_cell *r, size_t call, const char *during, km_err *err)
{
    uint64_t now[KM_GPU_INPUTS_MAX];
    const char *changed = NULL;
    bool whole = true;
    char why[256];

    if (km_gpu_wait(r->g, err) < 0 || km_sets_hash(r->g, &r->sets, now, err) < 0 ||
        km_sets_check_guards(r->g, &r->sets, &whole, err) < 0)
        return err->code;
    for (size_t i = 0; i < r->cell->op->call_count && whole; i++)
        if ((call == KM_ANY_CALL || call == i) && km_takes_part(&r->out->results[i]) &&
            check_copies(r, i, &whole, err) < 0)
            return err->code;
    for (size_t i = 0; i < r->sets.inputs; i++)
        if (now[i] != r->input_hashes[i])
            changed = r->cell->op->inputs[i].name;
    if (!changed && whole)
        return 0;
    if (changed)
        snprintf(why, sizeof why, "%s%s", changed, during);
    else
        snprintf(why, sizeof why, "memory beside an input%s", during);
    for (size_t i = 0; i < r->cell->op->call_count; i++)
        if ((call == KM_ANY_CALL && km_takes_part(&r->out->results[i])) || call == i)
            km_set_state(r->a, &r->out->results[i], KM_CALL_CHANGED_INPUTS, why);
    return km_gpu_renew(r, true, err);
}

/* ---- after the rounds ---- */

static int replay(km_gpu_cell *r, size_t call, km_walk_kind kind, km_err *err)
{
    if (!km_takes_part(&r->out->results[call]) || !r->walkers[call].walks[kind].graph.exec)
        return 0;
    return km_walker_replay(&r->walkers[call], kind, err);
}

/* Of a hot walk that overwrites, one call: the others would find what it left. */
static int replay_comparable(km_gpu_cell *r, size_t call, km_walk_kind kind, km_err *err)
{
    km_walk *walk = &r->walkers[call].walks[kind];
    size_t one;

    if (kind != KM_WALK_HOT || !walk->copies.count || walk->graph.problem)
        return replay(r, call, kind, err);
    one = (size_t)km_random_below(&r->random, walk->graph.calls);
    walk->drifted = false;
    if (km_graph_only(r->g, &walk->graph, one, err) < 0 || replay(r, call, kind, err) < 0 ||
        km_gpu_wait(r->g, err) < 0)
        return err->code;
    return km_graph_only(r->g, &walk->graph, SIZE_MAX, err);
}

static int poison_and_replay(km_gpu_cell *r, km_walk_kind kind, uint64_t seed, km_err *err)
{
    for (size_t call = 0; call < r->cell->op->call_count; call++)
        if (r->walkers[call].walks[kind].graph.exec &&
            (km_walker_poison(&r->walkers[call], kind, seed, err) < 0 ||
             replay_comparable(r, call, kind, err) < 0 || km_gpu_wait(r->g, err) < 0))
            return err->code;
    return 0;
}

/* New values in the same memory, and nothing right left in the old results. */
static int check_renewed(km_gpu_cell *r, uint64_t seed, km_err *err)
{
    static const km_walk_kind plain[] = { KM_WALK_COLD, KM_WALK_SETS64, KM_WALK_HOT };

    if (km_gpu_renew(r, false, err) < 0)
        return err->code;
    for (size_t i = 0; i < 3; i++)
        if (poison_and_replay(r, plain[i], seed, err) < 0)
            return err->code;
    return km_gpu_check_results(r, 1u << KM_WALK_COLD | 1u << KM_WALK_SETS64 | 1u << KM_WALK_HOT,
                                err);
}

/* Of the results of the sets that every walk keeps but the hot one. */
static int hash_of(km_gpu_cell *r, size_t call, km_walk_kind kind, uint64_t *out, km_err *err)
{
    size_t sets = r->walkers[call].walks[KM_WALK_LOOSE].sets;

    if (km_gpu_clear_scratch(r->g, err) < 0)
        return err->code;
    for (size_t set = 0; set < sets; set++) {
        km_torch_tensor results[KM_RETURNS_MAX];
        km_walker_results(&r->walkers[call], kind, set, results);
        for (int i = 0; i < km_results_count(results); i++) {
            km_view v = km_view_of(r->t, results[i]);
            if (km_view_is_dense(&v) &&
                km_gpu_hash(r->g, (uint64_t)(uintptr_t)v.data, km_view_bytes(&v), 0, err) < 0)
                return err->code;
        }
    }
    return km_gpu_read_scratch(r->g, out, 1, err);
}

/* Every set's call alone, outside a graph, one after another. */
static int call_alone(km_gpu_cell *r, size_t call, km_err *err)
{
    for (size_t set = 0; set < r->walkers[call].walks[KM_WALK_LOOSE].sets; set++)
        if (km_walker_refresh(&r->walkers[call], KM_WALK_LOOSE, set, 1, err) < 0 ||
            km_walker_call(&r->walkers[call], KM_WALK_LOOSE, set, err) < 0 ||
            km_gpu_wait(r->g, err) < 0)
            return err->code;
    return 0;
}

/* As a chain's writer does: it does not write those inputs of which a call has copies. */
static int write_inputs(km_gpu_cell *r, km_err *err)
{
    for (size_t set = 0; set < r->sets.count; set++)
        if (km_sets_write(r->g, &r->sets, NULL, set, r->g->stream, err) < 0)
            return err->code;
    return km_gpu_wait(r->g, err);
}

/* In a chain, values that were not there a moment before: against the reference, and bit for bit
 * against calls that had no neighbour. */
static int check_chain(km_gpu_cell *r, size_t call, km_err *err)
{
    uint64_t chained = 0, alone = 0, again = 0;
    int rc;

    if (!km_takes_part(&r->out->results[call]) ||
        !r->walkers[call].walks[KM_WALK_CHAINED].graph.exec)
        return 0;
    if (km_gpu_renew(r, false, err) < 0 ||
        km_walker_poison(&r->walkers[call], KM_WALK_CHAINED, 0, err) < 0 ||
        replay(r, call, KM_WALK_CHAINED, err) < 0 || km_gpu_wait(r->g, err) < 0 ||
        write_inputs(r, err) < 0)
        return err->code;
    for (size_t set = 0; set < r->sets.count; set++)
        if (check_set(r, 1u << KM_WALK_CHAINED, call, set, err) < 0)
            return err->code;
    rc = hash_of(r, call, KM_WALK_CHAINED, &chained, err);
    if (rc == 0)
        rc = call_alone(r, call, err);
    if (rc == 0)
        rc = hash_of(r, call, KM_WALK_LOOSE, &alone, err);
    if (rc < 0 || alone == chained)
        return rc;
    rc = call_alone(r, call, err);
    if (rc == 0)
        rc = hash_of(r, call, KM_WALK_LOOSE, &again, err);
    if (rc == 0 && again == alone)
        km_set_state(r->a, &r->out->results[call], KM_CALL_WRONG,
                     "in a chain its results are not those of a call alone, bit for bit");
    else if (rc == 0)
        r->out->results[call].note = "its results differ from call to call";
    return rc;
}

/* Whether the results of one set of the cold walk are right; what is wrong is told nobody. */
static int is_right(km_gpu_cell *r, size_t call, size_t set, bool *right, km_err *err)
{
    km_call_result *c = &r->out->results[call], kept = *c;
    int rc;

    c->state = KM_CALL_RIGHT;
    rc = check_set(r, 1u << KM_WALK_COLD, call, set, err);
    *right = c->state == KM_CALL_RIGHT;
    *c = kept;
    return rc;
}

/* One call of the cold walk alone: it must compute its own results, and nobody else's. (It may
 * overwrite them: what it gave back before a later call took it.) */
static int step(km_gpu_cell *r, size_t call, size_t set, km_err *err)
{
    km_walker *w = &r->walkers[call];
    const km_walk *walk = &w->walks[KM_WALK_COLD];
    size_t others[] = { (set + 1) % r->sets.count, (set + r->sets.count - 1) % r->sets.count,
                        (size_t)km_random_below(&r->random, r->sets.count) };
    bool own = true, other = false, right = false;

    if (km_walker_poison(w, KM_WALK_COLD, km_random_bits(&r->random) | 1, err) < 0 ||
        km_walker_refresh(w, KM_WALK_COLD, set, 1, err) < 0 ||
        km_graph_only(r->g, &walk->graph, set, err) < 0 ||
        km_graph_replay(r->g, &walk->graph, walk->stream, err) < 0 || km_gpu_wait(r->g, err) < 0 ||
        is_right(r, call, set, &own, err) < 0)
        return err->code;
    for (size_t i = 0; i < 3; i++) {
        if (others[i] == set)
            continue;
        if (is_right(r, call, others[i], &right, err) < 0)
            return err->code;
        other |= right;
    }
    if (other)
        km_set_state(r->a, &r->out->results[call], KM_CALL_CHEATS,
                     "a call computes the results of other calls");
    else if (!own)
        km_set_state(r->a, &r->out->results[call], KM_CALL_CHEATS,
                     "a call that runs alone does not compute its results");
    return km_graph_only(r->g, &walk->graph, SIZE_MAX, err);
}

/* Work elsewhere goes on when the call's stream is done. */
static int check_stream(km_gpu_cell *r, size_t call, km_err *err)
{
    km_walker *w = &r->walkers[call];
    const km_walk *walk = &w->walks[KM_WALK_LOOSE];
    uint64_t early = 0, late = 0;

    if (km_gpu_renew(r, true, err) < 0 ||
        km_walker_refresh(w, KM_WALK_LOOSE, 0, walk->sets, err) < 0)
        return err->code;
    for (size_t set = 0; set < walk->sets; set++)
        if (km_walker_call(w, KM_WALK_LOOSE, set, err) < 0)
            return err->code;
    if (km_gpu_check(r->g, r->g->cuStreamSynchronize(walk->stream), "waiting for a stream", err) <
            0 ||
        hash_of(r, call, KM_WALK_LOOSE, &early, err) < 0 || km_gpu_wait(r->g, err) < 0 ||
        hash_of(r, call, KM_WALK_LOOSE, &late, err) < 0)
        return err->code;
    if (early != late)
        km_set_state(r->a, &r->out->results[call], KM_CALL_CHEATS,
                     "it works on after its stream is done");
    return 0;
}

/* Memory that calls leave behind, and cache set aside. */
static int check_resources(km_gpu_cell *r, size_t call, km_err *err)
{
    km_walker *w = &r->walkers[call];
    size_t before = 0, after = 0, total, limit = 0;
    char why[128];

    r->g->cuCtxSetLimit(KM_CU_LIMIT_PERSISTING_L2, 0);
    for (int pass = 0; pass < 3; pass++) {
        for (size_t set = 0; set < w->walks[KM_WALK_LOOSE].sets; set++)
            if (km_walker_call(w, KM_WALK_LOOSE, set, err) < 0)
                return err->code;
        if (km_gpu_wait(r->g, err) < 0)
            return err->code;
        r->g->cuMemGetInfo_v2(pass < 2 ? &before : &after, &total);
    }
    if (after < before) {
        snprintf(why, sizeof why, "it keeps memory: %zu KB in %zu calls", (before - after) >> 10,
                 w->walks[KM_WALK_LOOSE].sets);
        km_set_state(r->a, &r->out->results[call], KM_CALL_CHEATS, why);
    }
    if (r->g->cuCtxGetLimit(&limit, KM_CU_LIMIT_PERSISTING_L2) == 0 && limit > 0)
        km_set_state(r->a, &r->out->results[call], KM_CALL_CHEATS,
                     "it sets a part of the cache aside for what persists");
    return 0;
}

static int check_call(km_gpu_cell *r, size_t call, km_err *err)
{
    const km_walk *cold = &r->walkers[call].walks[KM_WALK_COLD];
    size_t last = r->sets.count - 1;
    int rc = 0;

    for (int i = 0; i < 3 && rc == 0; i++)
        rc = check_chain(r, call, err);
    if (rc == 0 && cold->graph.exec && r->out->results[call].state == KM_CALL_RIGHT) {
        rc = step(r, call, 0, err);
        for (int i = 0; i < 2 && rc == 0 && last; i++)
            rc = step(r, call, 1 + (size_t)km_random_below(&r->random, last), err);
    }
    if (rc == 0)
        rc = check_stream(r, call, err);
    return rc == 0 ? check_resources(r, call, err) : rc;
}

int km_gpu_check_all(km_gpu_cell *r, km_err *err)
{
    size_t calls = r->cell->op->call_count;
    int rc = km_gpu_check_inputs(r, KM_ANY_CALL, " while it was timed, by one of the calls", err);

    if (rc == 0)
        rc = km_gpu_check_results(r, ~0u, err); /* what the last round left */
    if (rc == 0)
        rc = check_renewed(r, 0, err);
    if (rc == 0)
        rc = check_renewed(r, km_random_bits(&r->random) | 1, err);
    for (size_t call = 0; call < calls && rc == 0; call++)
        if (km_takes_part(&r->out->results[call]))
            rc = check_call(r, call, err);
    return rc;
}

/* One call as it was timed, where it could be captured. */
static int audit_call(km_gpu_cell *r, size_t call, km_err *err)
{
    km_walker *w = &r->walkers[call];
    km_walk_kind kind = w->walks[KM_WALK_COLD].graph.exec ? KM_WALK_COLD : KM_WALK_LOOSE;
    km_torch_tensor results[KM_RETURNS_MAX];

    if (!km_takes_part(&r->out->results[call]))
        return 0;
    if (km_walker_poison(w, kind, 0, err) < 0 || km_walker_refresh(w, kind, 0, 1, err) < 0 ||
        (kind == KM_WALK_COLD ? replay(r, call, kind, err) : km_walker_call(w, kind, 0, err)) < 0 ||
        km_gpu_wait(r->g, err) < 0)
        return err->code;
    km_walker_results(w, kind, 0, results);
    return km_audit_put(r->audit, r->t, r->cell->op->calls[call].name, results, err);
}

int km_gpu_audit(km_gpu_cell *r, km_err *err)
{
    km_random random;
    uint64_t seed;

    if (!km_audit_begin(r->audit, &seed, err))
        return err ? err->code : 0;
    km_random_seed(&random, seed);
    if (km_inputs_fill(r->t, r->cell, r->sets.tensors, 1, &random, err) < 0 ||
        km_gpu_wait(r->g, err) < 0)
        return err->code;
    for (size_t call = 0; call < r->cell->op->call_count; call++)
        if (audit_call(r, call, err) < 0)
            return err->code;
    return 0;
}
