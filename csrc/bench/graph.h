/* bench/graph.h: calls captured into a CUDA graph, each of which must have left the same nodes.
 *
 * A call that enqueues for its successors, that does nothing once it has done so, or that runs
 * while it is captured, does not leave the same kernels as the others. */
#ifndef KERNMILL_BENCH_GRAPH_H
#define KERNMILL_BENCH_GRAPH_H

#include "bench/gpu.h"
#include "core/arena.h"

typedef struct {
    km_cu_graph graph;
    km_cu_exec exec;   /* NULL: not made */
    km_cu_node *nodes; /* [calls][nodes_a_call], in the arena */
    size_t calls, nodes_a_call;
    const char *problem; /* why the nodes are not believed, one line; NULL: they are */
} km_graph;

/* Enqueues the i-th call on the stream that is being captured. */
typedef int (*km_enqueue)(void *context, size_t i, km_err *err);

/* Captures `calls` calls on `stream`. Errors: those of `enqueue`; KM_ECHILD when what it does
 * cannot be captured. On error nothing is left. */
int km_graph_capture(km_arena *a, const km_gpu *g, km_cu_stream stream, size_t calls,
                     km_enqueue enqueue, void *context, km_graph *out, km_err *err);

/* The names of the kernels that the first call left, ends with NULL: those that have one. NULL when
 * memory ends. */
const char **km_graph_kernels(km_arena *a, const km_gpu *g, const km_graph *graph);

/* Replays it once on `stream`. Errors: KM_ECHILD. */
int km_graph_replay(const km_gpu *g, const km_graph *graph, km_cu_stream stream, km_err *err);

/* The time of one replay, by the GPU's clock; returns when it is done. */
int km_graph_time(const km_gpu *g, const km_graph *graph, km_cu_stream stream, double *us,
                  km_err *err);

/* From here on replays carry out the `i`-th call alone; with i >= calls, all of them. */
int km_graph_only(const km_gpu *g, const km_graph *graph, size_t i, km_err *err);

void km_graph_release(const km_gpu *g, km_graph *graph);

#endif
