#include "bench/graph.h"

#include "core/limits.h"

/* What of a node must be the same in every call. */
struct shape {
    int type;
    km_cu_kernel_node kernel; /* arguments apart */
};

static struct shape shape_of(const km_gpu *g, km_cu_node node)
{
    struct shape s = { 0 };

    g->cuGraphNodeGetType(node, &s.type);
    if (s.type == KM_CU_NODE_KERNEL)
        g->cuGraphKernelNodeGetParams_v2(node, &s.kernel);
    return s;
}

static bool same_shape(const struct shape *a, const struct shape *b)
{
    const km_cu_kernel_node *x = &a->kernel, *y = &b->kernel;

    return a->type == b->type && x->function == y->function && x->kernel == y->kernel &&
           x->grid_x == y->grid_x && x->grid_y == y->grid_y && x->grid_z == y->grid_z &&
           x->block_x == y->block_x && x->block_y == y->block_y && x->block_z == y->block_z &&
           x->shared_bytes == y->shared_bytes;
}

static const char *problem_of(const km_gpu *g, const km_graph *graph)
{
    bool works = false;

    for (size_t j = 0; j < graph->nodes_a_call; j++) {
        struct shape first = shape_of(g, graph->nodes[j]);
        works |= first.type == KM_CU_NODE_KERNEL || first.type == KM_CU_NODE_MEMCPY ||
                 first.type == KM_CU_NODE_MEMSET;
        if (first.type == KM_CU_NODE_HOST)
            return "it runs host code inside the graph";
        for (size_t i = 1; i < graph->calls; i++) {
            struct shape other = shape_of(g, graph->nodes[i * graph->nodes_a_call + j]);
            if (!same_shape(&first, &other))
                return "its calls leave different kernels in a graph";
        }
    }
    return works ? NULL : "it leaves no kernel in a graph";
}

/* How many nodes the graph under capture has. */
static size_t count_captured(const km_gpu *g, km_cu_stream stream)
{
    km_cu_graph graph = NULL;
    size_t count = 0;
    int status = 0;

    if (g->cuStreamGetCaptureInfo_v2(stream, &status, NULL, &graph, NULL, NULL) != 0 || !graph ||
        g->cuGraphGetNodes(graph, NULL, &count) != 0)
        return 0;
    return count;
}

/* The calls one by one; whether each left as many nodes as the first. */
static int enqueue_all(const km_gpu *g, km_cu_stream stream, size_t calls, km_enqueue enqueue,
                       void *context, km_graph *out, km_err *err)
{
    size_t before = 0;

    for (size_t i = 0; i < calls; i++) {
        size_t now;
        if (enqueue(context, i, err) < 0)
            return err->code;
        now = count_captured(g, stream);
        if (i == 0)
            out->nodes_a_call = now;
        else if (now - before != out->nodes_a_call)
            out->problem = "its calls leave different numbers of kernels in a graph";
        before = now;
    }
    if (!out->problem && !out->nodes_a_call)
        out->problem = "it leaves no kernel in a graph";
    return 0;
}

static int finish(km_arena *a, const km_gpu *g, km_graph *out, km_err *err)
{
    size_t count = 0;
    int rc = km_gpu_check(g, g->cuGraphGetNodes(out->graph, NULL, &count), "reading a graph", err);

    if (rc < 0)
        return rc;
    out->nodes = km_arena_array(a, count + 1, sizeof *out->nodes);
    if (!out->nodes)
        return km_fail_nomem(err);
    if (count)
        rc = km_gpu_check(g, g->cuGraphGetNodes(out->graph, out->nodes, &count), "reading a graph",
                          err);
    if (rc == 0 && !out->problem && count != out->calls * out->nodes_a_call)
        out->problem = "a graph of its calls holds kernels of no call";
    if (rc == 0 && !out->problem)
        out->problem = problem_of(g, out);
    if (rc == 0)
        rc = km_gpu_check(g, g->cuGraphInstantiateWithFlags(&out->exec, out->graph, 0),
                          "making a graph", err);
    return rc;
}

int km_graph_capture(km_arena *a, const km_gpu *g, km_cu_stream stream, size_t calls,
                     km_enqueue enqueue, void *context, km_graph *out, km_err *err)
{
    int rc, end;

    *out = (km_graph){ .calls = calls };
    rc = km_gpu_check(g, g->cuStreamBeginCapture_v2(stream, KM_CU_CAPTURE_RELAXED),
                      "beginning a capture", err);
    if (rc < 0)
        return rc;
    rc = enqueue_all(g, stream, calls, enqueue, context, out, err);
    end = g->cuStreamEndCapture(stream, &out->graph);
    if (rc == 0)
        rc = km_gpu_check(g, end, "capturing it into a graph", err);
    if (rc == 0)
        rc = finish(a, g, out, err);
    if (rc < 0)
        km_graph_release(g, out);
    return rc;
}

static const char *name_of(const km_gpu *g, const km_cu_kernel_node *node)
{
    const char *name = NULL;

    if (node->kernel && g->cuKernelGetName && g->cuKernelGetName(&name, node->kernel) == 0)
        return name;
    if (node->function && g->cuFuncGetName && g->cuFuncGetName(&name, node->function) == 0)
        return name;
    return NULL;
}

const char **km_graph_kernels(km_arena *a, const km_gpu *g, const km_graph *graph)
{
    const char **names = km_arena_array(a, graph->nodes_a_call + 1, sizeof *names), *name;
    size_t n = 0;

    for (size_t j = 0; names && j < graph->nodes_a_call; j++) {
        struct shape s = shape_of(g, graph->nodes[j]);
        name = s.type == KM_CU_NODE_KERNEL ? name_of(g, &s.kernel) : NULL;
        if (name)
            names[n++] = km_arena_strdup(a, name);
    }
    return names;
}

int km_graph_replay(const km_gpu *g, const km_graph *graph, km_cu_stream stream, km_err *err)
{
    return km_gpu_check(g, g->cuGraphLaunch(graph->exec, stream), "replaying a graph", err);
}

int km_graph_time(const km_gpu *g, const km_graph *graph, km_cu_stream stream, double *us,
                  km_err *err)
{
    float ms = 0;
    int code = g->cuEventRecord(g->start, stream);

    code = code ? code : g->cuGraphLaunch(graph->exec, stream);
    code = code ? code : g->cuEventRecord(g->end, stream);
    code = code ? code : g->cuStreamSynchronize(stream);
    code = code ? code : g->cuEventElapsedTime(&ms, g->start, g->end);
    *us = (double)ms * 1e3;
    return km_gpu_check(g, code, "replaying a graph", err);
}

int km_graph_only(const km_gpu *g, const km_graph *graph, size_t i, km_err *err)
{
    for (size_t k = 0; k < graph->calls * graph->nodes_a_call; k++) {
        struct shape s = shape_of(g, graph->nodes[k]);
        bool on = i >= graph->calls || k / graph->nodes_a_call == i;
        int code = 0;
        if (s.type == KM_CU_NODE_KERNEL || s.type == KM_CU_NODE_MEMCPY ||
            s.type == KM_CU_NODE_MEMSET)
            code = g->cuGraphNodeSetEnabled(graph->exec, graph->nodes[k], on);
        if (km_gpu_check(g, code, "stepping through a graph", err) < 0)
            return err->code;
    }
    return 0;
}

void km_graph_release(const km_gpu *g, km_graph *graph)
{
    if (graph->exec)
        g->cuGraphExecDestroy(graph->exec);
    if (graph->graph)
        g->cuGraphDestroy(graph->graph);
    *graph = (km_graph){ 0 };
}
