#include <string.h>

#include "bench/gpu_checks.h"
#include "bench/heldout.h"
#include "bench/inputs.h"
#include "bench/trace_check.h"
#include "bench/verify.h"
#include "bench/watch.h"
#include "core/limits.h"

#include <kernmill/op.h>

enum { STREAM_CALLS = 64, HOST_CALLS = 5 };

static km_call_result *result_of(km_gpu_cell *r, size_t call)
{
    return &r->out->results[call];
}

/* ---- set-up ---- */

int km_gpu_wait_for(km_gpu_cell *r, size_t call, km_err *err)
{
    km_err why = KM_ERR_INIT;

    km_watch_call(r->cell->op->calls[call].name);
    if (km_gpu_wait(r->g, &why) == 0)
        return 0;
    return km_fail(err, KM_ECHILD, "'%s': a kernel of its own failed: %s",
                   r->cell->op->calls[call].name, why.message);
}

static int allocate_results(km_gpu_cell *r, km_err *err)
{
    r->out->discarded = km_arena_array(r->a, KM_BENCH_ROUNDS_MAX, sizeof *r->out->discarded);
    return r->out->discarded ? km_cell_begin(r->a, r->o, r->out, err) : km_fail_nomem(err);
}

static int allocate(km_gpu_cell *r, km_err *err)
{
    size_t calls = r->cell->op->call_count;

    r->walkers = km_arena_array(r->a, calls, sizeof *r->walkers);
    r->again_us = km_arena_array(r->a, calls * KM_BENCH_ROUNDS_MAX, sizeof *r->again_us);
    if (!r->walkers || !r->again_us)
        return km_fail_nomem(err);
    return 0;
}

static int prepare_walk(km_gpu_cell *r, size_t call, km_walk *w, km_err *err)
{
    w->prepared = km_arena_array(r->a, w->sets, sizeof *w->prepared);
    if (!w->prepared)
        return km_fail_nomem(err);
    for (size_t set = 0; set < w->sets; set++)
        if (km_prepare_for(r->a, r->t, r->cell, result_of(r, call), &w->given[set * r->sets.inputs],
                           &w->prepared[set], err) < 0)
            return err->code;
    return 0;
}

/* The first walk has all sets; where nothing is overwritten, the others are given the same. */
static int prepare_call(km_gpu_cell *r, size_t call, km_err *err)
{
    km_walker *w = &r->walkers[call];
    km_walk *walks = w->walks;

    if (km_walker_make(r->a, r->t, &r->sets, &r->cell->op->calls[call], w, err) < 0 ||
        (km_takes_part(result_of(r, call)) && km_walker_make_copies(r->a, w, err) < 0))
        return err->code;
    for (km_walk_kind k = 0; k < KM_WALK_COUNT; k++) {
        if (k > 0 && walks[k].given == walks[0].given)
            walks[k].prepared = walks[0].prepared;
        else if (prepare_walk(r, call, &walks[k], err) < 0)
            return err->code;
    }
    return 0;
}

static int prepare(km_gpu_cell *r, km_err *err)
{
    if (km_sets_make(r->a, r->t, r->cell, r->out->sets, &r->sets, err) < 0 ||
        km_gpu_renew(r, true, err) < 0)
        return err->code;
    for (size_t call = 0; call < r->cell->op->call_count; call++)
        if (prepare_call(r, call, err) < 0)
            return err->code;
    return 0;
}

/* The first calls: on each stream that it will be captured on, so that torch has memory there. */
static int try_call(km_gpu_cell *r, size_t call, km_err *err)
{
    km_torch_tensor results[KM_RETURNS_MAX];
    km_err why = KM_ERR_INIT;

    for (km_walk_kind kind = 0; kind < KM_WALK_COUNT; kind++) {
        if (km_walker_refresh(&r->walkers[call], kind, 0, 1, err) < 0)
            return err->code;
        if (km_walker_call(&r->walkers[call], kind, 0, &why) < 0) {
            km_set_state(r->a, result_of(r, call), KM_CALL_FAILED, why.message);
            return 0;
        }
        if (km_gpu_wait_for(r, call, err) < 0)
            return err->code;
        km_walker_results(&r->walkers[call], kind, 0, results);
        if (km_shares_memory(r->t, results, r->sets.tensors, r->sets.inputs)) {
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
            return km_gpu_wait_for(r, call, err);
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

/* The same of a call's walk. */
static int time_walk(km_gpu_cell *r, const km_walker *w, km_walk_kind kind, double *us, km_err *err)
{
    const km_walk *walk = &w->walks[kind];

    if (km_walker_refresh(w, kind, 0, walk->sets, err) < 0)
        return err->code;
    return time_cold(r, &walk->graph, walk->stream, us, err);
}

/* Per call, after a replay that is not counted. */
static int time_warm(km_gpu_cell *r, km_walker *w, km_walk_kind kind, double *us, km_err *err)
{
    km_walk *walk = &w->walks[kind];

    walk->drifted = kind == KM_WALK_HOT && walk->copies.count;
    if (km_walker_replay(w, kind, err) < 0 || km_walker_refresh(w, kind, 0, walk->sets, err) < 0 ||
        km_graph_time(r->g, &walk->graph, walk->stream, us, err) < 0)
        return err->code;
    *us /= (double)walk->graph.calls;
    return 0;
}

static int time_stream(km_gpu_cell *r, km_walker *w, double *us, km_err *err)
{
    const km_gpu *g = r->g;
    km_cu_stream stream = w->walks[KM_WALK_LOOSE].stream;
    size_t n = r->sets.count < STREAM_CALLS ? r->sets.count : STREAM_CALLS;
    float ms = 0;

    if (km_walker_refresh(w, KM_WALK_LOOSE, 0, n, err) < 0 ||
        km_yardsticks_settle(g, &r->yardsticks, stream, err) < 0 ||
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
        size_t set = (r->out->rounds * HOST_CALLS + i) % w->walks[KM_WALK_LOOSE].sets;
        double start;
        if (km_walker_refresh(w, KM_WALK_LOOSE, set, 1, err) < 0 || km_gpu_wait(r->g, err) < 0)
            return err->code;
        start = km_now_us();
        if (km_walker_call(w, KM_WALK_LOOSE, set, err) < 0)
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

    km_watch_call(r->cell->op->calls[call].name);
    switch (kind) {
    case KM_COLUMN_SETS64:
        return time_warm(r, w, KM_WALK_SETS64, us, err);
    case KM_COLUMN_HOT:
        return time_warm(r, w, KM_WALK_HOT, us, err);
    case KM_COLUMN_CHAINED: /* the writers are taken off when the round is complete */
        return time_walk(r, w, KM_WALK_CHAINED, us, err);
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
        int rc;
        km_watch_call(i < calls ? r->cell->op->calls[i].name : NULL);
        rc = i < calls
                 ? time_walk(r, &r->walkers[i], KM_WALK_COLD,
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
    for (size_t i = 0; i < r->cell->op->call_count; i++)
        if (result_of(r, i)->columns[KM_COLUMN_COLD].samples_us &&
            time_walk(r, &r->walkers[i], KM_WALK_COLD,
                      &r->again_us[i * KM_BENCH_ROUNDS_MAX + r->out->rounds], err) < 0)
            return err->code;
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

    if (allocate_results(r, err) < 0 || km_gpu_choose_sets(r, err) < 0 || allocate(r, err) < 0 ||
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
    km_yardsticks_release(r.g, &r.yardsticks);
    km_sets_release(t, &r.sets);
    km_torch_trim(t);
    return rc;
}
