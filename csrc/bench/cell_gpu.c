#include <string.h>

#include "bench/gpu_checks.h"
#include "bench/heldout.h"
#include "bench/inputs.h"
#include "bench/trace_check.h"
#include "bench/verify.h"
#include "bench/watch.h"
#include "core/limits.h"

#include <kernmill/op.h>

enum { STREAM_CALLS = 64, HOST_CALLS = 5, SETS_MIN = 8, SETS_BYTES_MIN = 1000000000 };

static km_call_result *result_of(km_gpu_cell *r, size_t call)
{
    return &r->out->results[call];
}

/* ---- set-up ---- */

/* A kernel that fails ends all that the process can do on the GPU. */
static int wait_for(km_gpu_cell *r, size_t call, km_err *err)
{
    km_err why = KM_ERR_INIT;

    km_watch_call(r->cell->op->calls[call].name);
    if (km_gpu_wait(r->g, &why) == 0)
        return 0;
    return km_fail(err, KM_ECHILD, "'%s': a kernel of its own failed: %s",
                   r->cell->op->calls[call].name, why.message);
}

/* One call before any set is made, alone on the GPU: how much memory it takes with its results, and
 * how much of that are results. What Python compiles, it compiles here. */
static int probe_call(km_gpu_cell *r, size_t call, const km_torch_tensor *inputs, double *takes,
                      double *returns, km_err *err)
{
    km_torch_tensor results[KM_RETURNS_MAX] = { NULL };
    km_call_result *c = result_of(r, call);
    size_t before = 0, after = 0, total;
    km_prepared prepared;
    km_err why = KM_ERR_INIT;
    double start = km_now_us();
    int rc;

    if (km_prepare_for(r->a, r->t, r->cell, c, inputs, &prepared, err) < 0)
        return err->code;
    if (!km_takes_part(c))
        return 0;
    r->g->cuMemGetInfo_v2(&before, &total);
    if (km_prepared_call(&prepared, r->t, results, &why) < 0)
        km_set_state(r->a, c, KM_CALL_FAILED, why.message);
    rc = wait_for(r, call, err);
    km_prepared_release(&prepared, r->t);
    c->first_s = (km_now_us() - start) / 1e6;
    r->g->cuMemGetInfo_v2(&after, &total);
    *takes = before > after ? (double)(before - after) : 0;
    for (int i = 0; i < KM_RETURNS_MAX && results[i]; i++) {
        km_view v = km_view_of(r->t, results[i]);
        *returns += (double)km_view_bytes(&v);
        r->t->aoti_torch_delete_tensor_object(results[i]);
    }
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
        *each += 2 * returns; /* of the cold walk and of the chain */
    }
    km_inputs_delete(r->t, r->cell, inputs);
    km_torch_trim(r->t);
    return rc;
}

/* As many as exceed four times the cache and make a replay long against its start. All that is made
 * of them must fit: when torch runs out of memory it gives back what no tensor holds, graphs or
 * not. */
static int choose_sets(km_gpu_cell *r, km_err *err)
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

static int allocate_results(km_gpu_cell *r, km_err *err)
{
    r->out->discarded = km_arena_array(r->a, KM_BENCH_ROUNDS_MAX, sizeof *r->out->discarded);
    return r->out->discarded ? km_cell_begin(r->a, r->o, r->out, err) : km_fail_nomem(err);
}

static int allocate(km_gpu_cell *r, km_err *err)
{
    size_t calls = r->cell->op->call_count;

    r->prepared = km_arena_array(r->a, calls * r->out->sets, sizeof *r->prepared);
    r->walkers = km_arena_array(r->a, calls, sizeof *r->walkers);
    r->again_us = km_arena_array(r->a, calls * KM_BENCH_ROUNDS_MAX, sizeof *r->again_us);
    if (!r->prepared || !r->walkers || !r->again_us)
        return km_fail_nomem(err);
    return 0;
}

static int prepare(km_gpu_cell *r, km_err *err)
{
    const km_suite_op *op = r->cell->op;
    size_t sets = r->out->sets;

    if (km_sets_make(r->a, r->t, r->cell, sets, &r->sets, err) < 0 ||
        km_gpu_renew(r, true, err) < 0)
        return err->code;
    for (size_t call = 0; call < op->call_count; call++) {
        km_prepared *prepared = &r->prepared[call * sets];
        for (size_t set = 0; set < sets; set++)
            if (km_prepare_for(r->a, r->t, r->cell, result_of(r, call),
                               &r->sets.tensors[set * r->sets.inputs], &prepared[set], err) < 0)
                return err->code;
        if (km_walker_make(r->a, r->t, &r->sets, prepared, &r->walkers[call], err) < 0)
            return err->code;
    }
    return 0;
}

/* The first calls: on each stream that it will be captured on, so that torch has memory there. */
static int try_call(km_gpu_cell *r, size_t call, km_err *err)
{
    km_err why = KM_ERR_INIT;

    for (km_walk_kind kind = 0; kind < KM_WALK_COUNT; kind++) {
        if (km_walker_call(&r->walkers[call], kind, 0, &why) < 0) {
            km_set_state(r->a, result_of(r, call), KM_CALL_FAILED, why.message);
            return 0;
        }
        if (wait_for(r, call, err) < 0)
            return err->code;
        if (km_shares_memory(r->t, km_walker_results(&r->walkers[call], kind, 0), r->sets.tensors,
                             r->sets.inputs)) {
            km_set_state(r->a, result_of(r, call), KM_CALL_FAILED, "it returns memory of an input");
            return 0;
        }
    }
    return km_gpu_check_inputs(r, call, "", err);
}

static int capture_call(km_gpu_cell *r, size_t call, km_err *err)
{
    km_call_result *c = result_of(r, call);
    km_err why = KM_ERR_INIT;

    for (km_walk_kind kind = 0; kind < KM_WALK_LOOSE; kind++) {
        km_graph *graph = &r->walkers[call].walks[kind].graph;
        if (kind == KM_WALK_SETS64 && r->sets.count <= 64)
            continue;
        if (km_walker_capture(r->a, &r->walkers[call], kind, &why) < 0) {
            c->note = km_arena_printf(r->a, "no graph of it: %.*s", (int)strcspn(why.message, "\n"),
                                      why.message);
            return wait_for(r, call, err);
        }
        if (graph->problem)
            km_set_state(r->a, c, KM_CALL_CHEATS, graph->problem);
        if (kind == KM_WALK_COLD) {
            c->nodes = graph->nodes_a_call;
            c->kernels = km_graph_kernels(r->a, r->g, graph);
        }
    }
    return 0;
}

/* Whether torch itself launches the kernel in this cell. */
static bool is_torchs(km_gpu_cell *r, const char *kernel)
{
    for (size_t i = 0; i < r->cell->op->call_count; i++) {
        const km_call_result *c = result_of(r, i);
        for (size_t k = 0; c->call->schema && !c->call->library && c->kernels && c->kernels[k]; k++)
            if (strcmp(c->kernels[k], kernel) == 0)
                return true;
    }
    return false;
}

/* Says of a library's call that its work is done by kernels that the library does not bring. */
static void note_strangers(km_gpu_cell *r, km_call_result *c)
{
    enum { SHOWN = 60 };

    for (size_t k = 0; c->call->library && c->kernels && c->kernels[k] && !c->note; k++)
        if (!km_images_have(&r->t->images, r->g, c->kernels[k]))
            c->note = km_arena_printf(r->a, "it launches '%.*s', %s", SHOWN, c->kernels[k],
                                      is_torchs(r, c->kernels[k])
                                          ? "a kernel of torch's own"
                                          : "which is in the .nv_fatbin of no measured library");
}

static int make_columns(km_gpu_cell *r, km_err *err)
{
    for (size_t call = 0; call < r->cell->op->call_count; call++)
        for (int k = KM_COLUMN_COLD; k < KM_COLUMN_COUNT; k++) {
            static const int kinds[KM_COLUMN_COUNT] = {
                [KM_COLUMN_COLD] = KM_WALK_COLD,       [KM_COLUMN_SETS64] = KM_WALK_SETS64,
                [KM_COLUMN_CHAINED] = KM_WALK_CHAINED, [KM_COLUMN_HOT] = KM_WALK_HOT,
                [KM_COLUMN_STREAM] = KM_WALK_LOOSE,    [KM_COLUMN_HOST] = KM_WALK_LOOSE,
                [KM_COLUMN_LATENCY] = KM_WALK_LOOSE,
            };
            km_column *c = &result_of(r, call)->columns[k];
            bool there = kinds[k] == KM_WALK_LOOSE || r->walkers[call].walks[kinds[k]].graph.exec;
            if (!km_takes_part(result_of(r, call)) || !there)
                continue;
            c->samples_us = km_arena_array(r->a, KM_BENCH_ROUNDS_MAX, sizeof *c->samples_us);
            if (!c->samples_us)
                return km_fail_nomem(err);
        }
    for (int k = 0; k < KM_YARD_COUNT; k++) {
        r->out->yards[k].samples_us = km_arena_array(r->a, KM_BENCH_ROUNDS_MAX, sizeof(double));
        if (!r->out->yards[k].samples_us)
            return km_fail_nomem(err);
    }
    return 0;
}

/* ---- samples ---- */

/* Per call, after the cache was emptied. */
static int time_cold(km_gpu_cell *r, const km_graph *graph, km_cu_stream stream, double *us,
                     km_err *err)
{
    if (km_yardsticks_settle(r->g, &r->yardsticks, stream, err) < 0 ||
        km_graph_time(r->g, graph, stream, us, err) < 0)
        return err->code;
    *us /= (double)graph->calls;
    return 0;
}

/* Per call, after a replay that is not counted. */
static int time_warm(km_gpu_cell *r, const km_walk *w, double *us, km_err *err)
{
    if (km_graph_replay(r->g, &w->graph, w->stream, err) < 0 ||
        km_graph_time(r->g, &w->graph, w->stream, us, err) < 0)
        return err->code;
    *us /= (double)w->graph.calls;
    return 0;
}

static int time_stream(km_gpu_cell *r, km_walker *w, double *us, km_err *err)
{
    const km_gpu *g = r->g;
    km_cu_stream stream = w->walks[KM_WALK_LOOSE].stream;
    size_t n = r->sets.count < STREAM_CALLS ? r->sets.count : STREAM_CALLS;
    float ms = 0;

    if (km_yardsticks_settle(g, &r->yardsticks, stream, err) < 0 ||
        km_gpu_check(g, g->cuEventRecord(g->start, stream), "timing", err) < 0)
        return err->code;
    for (size_t set = 0; set < n; set++)
        if (km_walker_call(w, KM_WALK_LOOSE, set, err) < 0)
            return err->code;
    if (km_gpu_check(g, g->cuEventRecord(g->end, stream), "timing", err) < 0 ||
        km_gpu_check(g, g->cuStreamSynchronize(stream), "timing", err) < 0 ||
        km_gpu_check(g, g->cuEventElapsedTime(&ms, g->start, g->end), "timing", err) < 0)
        return err->code;
    *us = (double)ms * 1e3 / (double)n;
    return 0;
}

/* Medians of HOST_CALLS calls of an idle GPU. */
static int time_host(km_gpu_cell *r, km_walker *w, double *host_us, double *latency_us, km_err *err)
{
    double host[HOST_CALLS], latency[HOST_CALLS];

    for (size_t i = 0; i < HOST_CALLS; i++) {
        size_t sets = w->walks[KM_WALK_LOOSE].sets;
        double start;
        if (km_gpu_wait(r->g, err) < 0)
            return err->code;
        start = km_now_us();
        if (km_walker_call(w, KM_WALK_LOOSE, (r->out->rounds * HOST_CALLS + i) % sets, err) < 0)
            return err->code;
        host[i] = km_now_us() - start;
        r->g->cuStreamSynchronize(w->walks[KM_WALK_LOOSE].stream);
        latency[i] = km_now_us() - start;
    }
    km_sort(host, HOST_CALLS);
    km_sort(latency, HOST_CALLS);
    *host_us = host[HOST_CALLS / 2];
    *latency_us = latency[HOST_CALLS / 2];
    return 0;
}

/* One of the samples of a round but the cold ones. */
static int take_sample(km_gpu_cell *r, size_t call, km_column_kind kind, km_err *err)
{
    km_walker *w = &r->walkers[call];
    km_column *columns = result_of(r, call)->columns;
    double *us = &columns[kind].samples_us[r->out->rounds];
    const km_walk *chained = &w->walks[KM_WALK_CHAINED];

    km_watch_call(r->cell->op->calls[call].name);
    switch (kind) {
    case KM_COLUMN_SETS64:
        return time_warm(r, &w->walks[KM_WALK_SETS64], us, err);
    case KM_COLUMN_HOT:
        return time_warm(r, &w->walks[KM_WALK_HOT], us, err);
    case KM_COLUMN_CHAINED: /* the writers are taken off when the round is complete */
        return time_cold(r, &chained->graph, chained->stream, us, err);
    case KM_COLUMN_STREAM:
        return time_stream(r, w, us, err);
    case KM_COLUMN_HOST:
        return time_host(r, w, us, &columns[KM_COLUMN_LATENCY].samples_us[r->out->rounds], err);
    default:
        return 0;
    }
}

static int time_yard(km_gpu_cell *r, size_t kind, km_err *err)
{
    return time_cold(r, &r->yardsticks.graphs[kind], r->yardsticks.stream,
                     &r->out->yards[kind].samples_us[r->out->rounds], err);
}

/* ---- rounds ---- */

/* First, while the values are new to everybody: cold samples of calls, and the yardsticks. */
static int time_first(km_gpu_cell *r, km_err *err)
{
    size_t order[KM_CALLS_MAX + KM_YARD_COUNT], n = 0, calls = r->cell->op->call_count;

    for (size_t i = 0; i < calls + KM_YARD_COUNT; i++)
        if (i >= calls || result_of(r, i)->columns[KM_COLUMN_COLD].samples_us)
            order[n++] = i;
    km_random_shuffle(&r->random, order, n);
    for (size_t k = 0; k < n; k++) {
        size_t i = order[k];
        const km_walk *w = i < calls ? &r->walkers[i].walks[KM_WALK_COLD] : NULL;
        int rc;
        km_watch_call(w ? r->cell->op->calls[i].name : NULL);
        rc = w ? time_cold(r, &w->graph, w->stream,
                           &result_of(r, i)->columns[KM_COLUMN_COLD].samples_us[r->out->rounds],
                           err)
               : time_yard(r, i - calls, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int time_others(km_gpu_cell *r, km_err *err)
{
    size_t order[KM_CALLS_MAX * KM_COLUMN_COUNT], n = 0;
    size_t items = r->cell->op->call_count * KM_COLUMN_COUNT;

    for (size_t i = 0; i < items; i++)
        if (i % KM_COLUMN_COUNT != KM_COLUMN_LATENCY && i % KM_COLUMN_COUNT != KM_COLUMN_COLD &&
            result_of(r, i / KM_COLUMN_COUNT)->columns[i % KM_COLUMN_COUNT].samples_us)
            order[n++] = i;
    km_random_shuffle(&r->random, order, n);
    for (size_t k = 0; k < n; k++)
        if (take_sample(r, order[k] / KM_COLUMN_COUNT, order[k] % KM_COLUMN_COUNT, err) < 0)
            return err->code;
    return 0;
}

/* Cold samples of values that each call has seen. */
static int time_again(km_gpu_cell *r, km_err *err)
{
    for (size_t i = 0; i < r->cell->op->call_count; i++) {
        const km_walk *w = &r->walkers[i].walks[KM_WALK_COLD];
        if (result_of(r, i)->columns[KM_COLUMN_COLD].samples_us &&
            time_cold(r, &w->graph, w->stream,
                      &r->again_us[i * KM_BENCH_ROUNDS_MAX + r->out->rounds], err) < 0)
            return err->code;
    }
    return 0;
}

static int time_round(km_gpu_cell *r, km_err *err)
{
    size_t round = r->out->rounds;
    km_nvml_state now;

    r->g->cuCtxResetPersistingL2Cache();
    if (km_gpu_renew(r, true, err) < 0 || time_first(r, err) < 0 || time_others(r, err) < 0 ||
        time_again(r, err) < 0)
        return err->code;
    for (size_t i = 0; i < r->cell->op->call_count; i++) {
        double *chained = result_of(r, i)->columns[KM_COLUMN_CHAINED].samples_us;
        if (chained)
            chained[round] -= r->out->yards[KM_YARD_WRITER].samples_us[round];
    }
    if (km_nvml_read(&r->nvml, &now))
        km_nvml_widen(&r->out->least, &r->out->most, &now);
    r->out->rounds++;
    return 0;
}

/* A look: true when no cold verdict is open. */
static bool judge(km_gpu_cell *r)
{
    km_cell_result *out = r->out;
    const km_column *copy = &out->yards[KM_YARD_COPY_PLAIN]; /* steadier than the best one */
    bool settled = true;
    double tolerance;

    km_judge(&out->yards[KM_YARD_COPY_PLAIN], NULL, NULL, out->rounds, r->o->margin);
    tolerance = copy->median_us < 5 ? 0.05 : 0.02; /* the GPU's clock counts in half microseconds */
    out->kept = km_judge_discard(copy->samples_us, out->rounds, tolerance, out->discarded);
    for (int k = 0; k < KM_YARD_COUNT; k++)
        km_judge(&out->yards[k], NULL, out->discarded, out->rounds, r->o->margin);
    for (size_t i = 0; i < r->cell->op->call_count; i++)
        for (int k = KM_COLUMN_COLD; k < KM_COLUMN_COUNT; k++) {
            km_column *c = &result_of(r, i)->columns[k];
            const km_column *first = km_takes_part(result_of(r, 0)) ? &result_of(r, 0)->columns[k]
                                                                    : NULL;
            km_judge(c, first, out->discarded, out->rounds, r->o->margin);
            if (k == KM_COLUMN_COLD && c->ratio.rounds)
                settled &= c->verdict != KM_UNDECIDED;
        }
    return settled;
}

static int time_rounds(km_gpu_cell *r, km_err *err)
{
    size_t look = km_next_look(0), looked_at = km_random_below(&r->random, KM_LOOKS_MIN - 1);
    double end;

    if (time_round(r, err) < 0) /* the first replays are slower: not counted */
        return err->code;
    r->out->rounds = 0;
    r->out->first_sample_us = km_now_us();
    end = r->out->first_sample_us + r->o->budget_s * 1e6;
    while (r->out->rounds < KM_BENCH_ROUNDS_MAX) {
        if (time_round(r, err) < 0)
            return err->code;
        if (r->out->rounds == looked_at + 1 && km_gpu_check_results(r, ~0u, err) < 0)
            return err->code;
        if (r->out->rounds >= KM_LOOKS_MIN && km_now_us() > end)
            break;
        if (r->out->rounds < look)
            continue;
        if (judge(r))
            return 0;
        look = km_next_look(look);
    }
    judge(r);
    return 0;
}

/* What times alone show: memory that is too fast, and values that were seen before. */
static void check_times(km_gpu_cell *r)
{
    double floor_us = r->g->pin_gb_s > 0 ? r->out->bytes / r->g->pin_gb_s / 1e3 : 0;

    for (size_t i = 0; i < r->cell->op->call_count; i++) {
        const km_column *cold = &result_of(r, i)->columns[KM_COLUMN_COLD];
        const double *again = &r->again_us[i * KM_BENCH_ROUNDS_MAX];
        km_interval ratio;
        if (!cold->samples_us)
            continue;
        if (cold->median_us < floor_us)
            km_set_state(r->a, result_of(r, i), KM_CALL_CHEATS,
                         "it is faster than the memory can move its bytes");
        if (km_interval_of_ratio(again, cold->samples_us, r->out->rounds, 0.999, &ratio, NULL) ==
                0 &&
            ratio.high < 0.9)
            km_set_state(r->a, result_of(r, i), KM_CALL_CHEATS,
                         "it is faster with values that it has seen");
    }
}

static int measure(km_gpu_cell *r, km_err *err)
{
    size_t calls = r->cell->op->call_count;

    if (allocate_results(r, err) < 0 || choose_sets(r, err) < 0 || allocate(r, err) < 0 ||
        prepare(r, err) < 0)
        return err->code;
    for (size_t i = 0; i < calls; i++)
        if (km_takes_part(result_of(r, i)) && try_call(r, i, err) < 0)
            return err->code;
    for (size_t i = 0; i < calls; i++)
        if (km_takes_part(result_of(r, i)) && capture_call(r, i, err) < 0)
            return err->code;
    for (size_t i = 0; i < calls; i++)
        note_strangers(r, result_of(r, i));
    if (km_yardsticks_make(r->a, r->g, &r->sets, r->out->bytes, &r->yardsticks, err) < 0 ||
        make_columns(r, err) < 0 || time_rounds(r, err) < 0)
        return err->code;
    r->out->copy_shape = km_arena_strdup(r->a, r->yardsticks.copy_shape);
    r->out->copy_plain_shape = km_arena_strdup(r->a, r->yardsticks.copy_plain_shape);
    check_times(r);
    if (km_gpu_check_all(r, err) < 0 || km_gpu_audit(r, err) < 0 ||
        km_heldout_check(r->a, r->t, &r->random, r->out, err) < 0)
        return err->code;
    return km_rule_check(r->a, r->t, &r->random, r->out, err);
}

int km_cell_measure_gpu(km_arena *a, const km_torch *t, const km_cell *cell,
                        const km_bench_options *o, km_audit *audit, km_cell_result *out,
                        km_err *err)
{
    km_gpu_cell r = {
        .a = a, .t = t, .g = t->gpu, .cell = cell, .o = o, .audit = audit, .out = out
    };
    int rc;

    km_random_seed(&r.random, out->seed);
    km_nvml_open(&r.nvml, r.g->bus);
    r.g->cuCtxSetLimit(KM_CU_LIMIT_PERSISTING_L2, 0);
    out->cache_bytes = r.g->l2_bytes;
    out->calls_a_sample = 1;
    rc = measure(&r, err);
    r.g->cuCtxSynchronize();
    for (size_t i = 0; r.walkers && i < cell->op->call_count; i++)
        if (r.walkers[i].t)
            km_walker_release(&r.walkers[i]);
    for (size_t i = 0; r.prepared && i < cell->op->call_count * r.out->sets; i++)
        km_prepared_release(&r.prepared[i], t);
    km_yardsticks_release(r.g, &r.yardsticks);
    km_sets_release(t, &r.sets);
    km_torch_trim(t);
    return rc;
}
