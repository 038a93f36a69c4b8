#include "bench/walk.h"

#include <string.h>

#include "bench/gpu_values.h"
#include "bench/overwrite.h"
#include "bench/verify.h"

#include <kernmill/tensor.h>

enum { FEW = 64, HOT_CALLS = 256 };

static size_t kept_sets(const km_sets *s, km_walk_kind kind)
{
    if (kind == KM_WALK_HOT)
        return 1;
    if ((kind == KM_WALK_SETS64 || kind == KM_WALK_LOOSE) && s->count > FEW)
        return FEW;
    return s->count;
}

int km_walker_make_copies(km_arena *a, km_walker *w, km_err *err)
{
    for (km_walk_kind k = 0; k < KM_WALK_COUNT && w->call->overwrites.count; k++) {
        km_walk *walk = &w->walks[k];
        if (km_sets_make_copies(a, w->t, w->sets, w->call, walk->sets, &walk->copies, err) < 0)
            return err->code;
        walk->given = km_overwrites_given(a, w->sets->cell->op, w->call, w->sets->tensors,
                                          walk->copies.tensors, walk->sets);
        if (!walk->given)
            return km_fail_nomem(err);
    }
    return 0;
}

int km_walker_make(km_arena *a, const km_torch *t, const km_sets *sets, const km_suite_call *call,
                   km_walker *out, km_err *err)
{
    *out = (km_walker){ .t = t, .sets = sets, .call = call };
    for (km_walk_kind k = 0; k < KM_WALK_COUNT; k++) {
        km_walk *w = &out->walks[k];
        w->sets = kept_sets(sets, k);
        w->given = sets->tensors;
        w->returned = km_arena_array(a, w->sets * KM_RETURNS_MAX + 1, sizeof *w->returned);
        if (!w->returned)
            return km_fail_nomem(err);
        if (km_gpu_check(t->gpu, t->gpu->cuStreamCreate(&w->stream, KM_CU_STREAM_NON_BLOCKING),
                         "making a stream", err) < 0)
            return err->code;
    }
    return 0;
}

static km_torch_tensor *returned_by(const km_walker *w, km_walk_kind kind, size_t set)
{
    return &w->walks[kind].returned[set % w->walks[kind].sets * KM_RETURNS_MAX];
}

void km_walker_results(const km_walker *w, km_walk_kind kind, size_t set, km_torch_tensor *out)
{
    const km_walk *walk = &w->walks[kind];

    km_overwrites_results(w->t, w->call, returned_by(w, kind, set),
                          &walk->given[set % walk->sets * w->sets->inputs], out);
}

int km_walker_refresh(const km_walker *w, km_walk_kind kind, size_t first, size_t count,
                      km_err *err)
{
    const km_walk *walk = &w->walks[kind];

    return km_sets_refresh(w->t->gpu, &walk->copies, first, count, walk->stream, err);
}

int km_walker_replay(const km_walker *w, km_walk_kind kind, km_err *err)
{
    const km_walk *walk = &w->walks[kind];

    if (km_walker_refresh(w, kind, 0, walk->sets, err) < 0)
        return err->code;
    return km_graph_replay(w->t->gpu, &walk->graph, walk->stream, err);
}

/* One call on the current stream. Of a hot walk the results before are given back first: each call
 * then finds the same memory. */
static int call_on(km_walker *w, km_walk_kind kind, size_t set, km_err *err)
{
    km_torch_tensor returned[KM_RETURNS_MAX] = { NULL }, *kept = returned_by(w, kind, set);

    if (kind == KM_WALK_HOT)
        km_results_delete(w->t, kept);
    if (km_prepared_call(&w->walks[kind].prepared[set], w->t, returned, err) < 0)
        return err->code;
    km_results_delete(w->t, kept);
    memcpy(kept, returned, sizeof returned);
    return 0;
}

static int enter(const km_walker *w, km_walk_kind kind, km_torch_guard *out, km_err *err)
{
    if (w->t->create_guard(w->walks[kind].stream, 0, out) != 0)
        return km_fail(err, KM_ECHILD, "torch does not take our stream");
    return 0;
}

int km_walker_call(km_walker *w, km_walk_kind kind, size_t set, km_err *err)
{
    km_torch_guard guard;
    int rc = enter(w, kind, &guard, err);

    if (rc < 0)
        return rc;
    rc = call_on(w, kind, set, err);
    w->t->delete_guard(guard);
    return rc;
}

/* What an enqueued call belongs to. */
struct step {
    km_walker *w;
    km_walk_kind kind;
};

static int enqueue(void *context, size_t i, km_err *err)
{
    const struct step *s = context;
    const km_walk *walk = &s->w->walks[s->kind];
    size_t set = s->kind == KM_WALK_HOT ? 0 : i;

    if (s->kind == KM_WALK_CHAINED &&
        km_sets_write(s->w->t->gpu, s->w->sets, &walk->copies, set, walk->stream, err) < 0)
        return err->code;
    return call_on(s->w, s->kind, set, err);
}

int km_walker_capture(km_arena *a, km_walker *w, km_walk_kind kind, km_err *err)
{
    struct step s = { w, kind };
    km_walk *walk = &w->walks[kind];
    size_t hot = w->sets->count < HOT_CALLS ? w->sets->count : HOT_CALLS;
    km_torch_guard guard;
    int rc = enter(w, kind, &guard, err);

    if (rc < 0)
        return rc;
    rc = km_graph_capture(a, w->t->gpu, walk->stream, kind == KM_WALK_HOT ? hot : walk->sets,
                          enqueue, &s, &walk->graph, err);
    w->t->delete_guard(guard);
    return rc;
}

/* Values that look like results. */
static int disguise(const km_gpu *g, const km_view *v, uint64_t seed, km_err *err)
{
    const km_suite_input normal = { .values = KM_VALUES_NORMAL };

    return km_gpu_fill(g, &normal, (uint64_t)(uintptr_t)v->data, v->dtype, (uint64_t)v->count, seed,
                       err);
}

static int poison(const km_gpu *g, const km_torch *t, km_torch_tensor result, uint64_t seed,
                  km_err *err)
{
    km_view v = km_view_of(t, result);

    if (!km_view_is_dense(&v))
        return 0; /* km_verify refuses it */
    if (seed)
        return disguise(g, &v, seed, err);
    return km_gpu_check(
        g, g->cuMemsetD8Async((uint64_t)(uintptr_t)v.data, 0xff, km_view_bytes(&v), g->stream),
        "poisoning results", err);
}

int km_walker_poison(const km_walker *w, km_walk_kind kind, uint64_t seed, km_err *err)
{
    const km_gpu *g = w->t->gpu;

    for (size_t set = 0; set < w->walks[kind].sets; set++) {
        km_torch_tensor results[KM_RETURNS_MAX];
        km_walker_results(w, kind, set, results);
        for (int i = 0; i < km_results_count(results); i++)
            if (poison(g, w->t, results[i], seed ? seed + set * KM_RETURNS_MAX + (size_t)i : 0,
                       err) < 0)
                return err->code;
    }
    return km_gpu_wait(g, err);
}

static void release_prepared(const km_walker *w, const km_walk *walk)
{
    for (size_t set = 0; walk->prepared && set < walk->sets; set++)
        km_prepared_release(&walk->prepared[set], w->t);
}

void km_walker_release(km_walker *w)
{
    for (km_walk_kind k = 0; k < KM_WALK_COUNT; k++) {
        km_walk *walk = &w->walks[k];
        km_graph_release(w->t->gpu, &walk->graph);
        for (size_t i = 0; walk->returned && i < walk->sets; i++)
            km_results_delete(w->t, returned_by(w, k, i));
        if (k == 0 || walk->prepared != w->walks[0].prepared)
            release_prepared(w, walk);
        if (walk->stream)
            w->t->gpu->cuStreamDestroy_v2(walk->stream);
        km_sets_release(w->t, &walk->copies);
    }
}
