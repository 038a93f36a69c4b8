/* bench/walk.h: one call of a suite on a GPU, captured in the ways it is timed: walks over the
 * sets, each in a graph and on a stream of its own.
 *
 * torch's allocator gives memory that was freed on a stream to later requests of the same stream
 * alone. So what a graph uses for its intermediate results, and nobody holds, is given to no other
 * graph as long as no two share a stream. */
#ifndef KERNMILL_BENCH_WALK_H
#define KERNMILL_BENCH_WALK_H

#include "bench/arguments.h"
#include "bench/graph.h"
#include "bench/sets.h"

#include <kernmill/op.h>

typedef enum {
    KM_WALK_COLD,    /* each set once */
    KM_WALK_SETS64,  /* each of the first 64 */
    KM_WALK_CHAINED, /* each set once, its inputs written before each call */
    KM_WALK_HOT,     /* the first set, again and again */
    KM_WALK_LOOSE,   /* no graph; each of the first 64 */
    KM_WALK_COUNT
} km_walk_kind;

typedef struct {
    km_graph graph;
    km_cu_stream stream;
    size_t sets;                  /* of which results are kept */
    km_torch_tensor *returned;    /* [sets][KM_RETURNS_MAX]; NULL: none */
    km_sets copies;               /* of what the call overwrites, one a set; or of nothing */
    const km_torch_tensor *given; /* [sets][sets->inputs] */
    km_prepared *prepared;        /* [sets] */
    bool drifted; /* copies were overwritten again and again, and no results are in them */
} km_walk;

/* A call with all that it needs. */
typedef struct {
    const km_torch *t;
    const km_sets *sets;
    const km_suite_call *call;
    km_walk walks[KM_WALK_COUNT];
} km_walker;

/* Streams and room for results. Calls are prepared by whoever has the walker, for what they are
 * `given`: the sets, and one `prepared` for all walks, or, after km_walker_make_copies, the walk's
 * own copies of what the call overwrites. Graphs are made by km_walker_capture. Errors: KM_ENOMEM,
 * KM_ECHILD, those of km_sets_make_copies. On error, too, it wants a release. */
int km_walker_make(km_arena *a, const km_torch *t, const km_sets *sets, const km_suite_call *call,
                   km_walker *out, km_err *err);
int km_walker_make_copies(km_arena *a, km_walker *w, km_err *err);

/* Launches, on the walk's stream, what brings copies of `count` sets from `first` on back to what
 * the inputs are: before every replay and every call, and never while it is timed. */
int km_walker_refresh(const km_walker *w, km_walk_kind kind, size_t first, size_t count,
                      km_err *err);

/* Refreshes all, and replays the graph of `kind`. */
int km_walker_replay(const km_walker *w, km_walk_kind kind, km_err *err);

/* Calls it on one set, on the stream of `kind`; what it returns replaces what stood there. Errors:
 * KM_ECHILD with torch's text. */
int km_walker_call(km_walker *w, km_walk_kind kind, size_t set, km_err *err);

/* Captures the graph of `kind`. Errors: KM_ECHILD when the call cannot be captured. */
int km_walker_capture(km_arena *a, km_walker *w, km_walk_kind kind, km_err *err);

/* Overwrites all results of a walk: with NaN (all bits set), or, with a seed, with values that look
 * like results. Errors: KM_ECHILD. */
int km_walker_poison(const km_walker *w, km_walk_kind kind, uint64_t seed, km_err *err);

/* All results of one set in a walk, borrowed; `out` has room for KM_RETURNS_MAX. */
void km_walker_results(const km_walker *w, km_walk_kind kind, size_t set, km_torch_tensor *out);

void km_walker_release(km_walker *w);

#endif
