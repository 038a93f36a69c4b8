#include "bench/yardstick.h"

#include <stdio.h>

const char *const km_yard_names[KM_YARD_COUNT] = { "copy", "copy_plain", "empty", "empty_early",
                                                   "writer" };

/* How a copy is launched. */
struct shape {
    unsigned threads, vectors;
    bool early, ahead, streaming;
};

static const struct {
    unsigned threads, vectors;
} sizes[] = { { 128, 1 }, { 128, 4 }, { 256, 1 }, { 256, 2 },
              { 256, 4 }, { 512, 1 }, { 512, 2 }, { 1024, 1 } };

/* What a captured yardstick is made of. */
struct copy {
    const km_gpu *g;
    const km_sets *sets;
    km_yardsticks *y;
    struct shape shape;
    uint64_t from, to;       /* of the first set */
    uint32_t count, weights; /* vectors of 16 bytes a set */
};

static int launch_copy(const struct copy *c, size_t set, km_err *err)
{
    uint32_t tile = c->shape.threads * c->shape.vectors, mask = 0;
    uint64_t stride = (uint64_t)c->count * 16,
             from = c->from + set * (stride + (uint64_t)c->weights * 16);
    uint64_t to = c->to + set * stride, weight = from + stride;
    int ahead = c->shape.ahead, streaming = c->shape.streaming;
    uint32_t count = c->count, weights = c->weights;
    km_gpu_launch l = { .grid = (count + tile - 1) / tile,
                        .block = c->shape.threads,
                        .stream = c->y->stream,
                        .programmatic = c->shape.early };
    void *arguments[] = { &to, &from, &count, &weight, &weights, &mask, &ahead, &streaming };
    km_device_function f = c->shape.vectors == 1   ? KM_DEVICE_COPY1
                           : c->shape.vectors == 2 ? KM_DEVICE_COPY2
                                                   : KM_DEVICE_COPY4;

    return km_gpu_run(c->g, f, &l, arguments, err);
}

static int enqueue_copy(void *context, size_t i, km_err *err)
{
    return launch_copy(context, i, err);
}

static int launch_empty(const struct copy *c, bool programmatic, km_err *err)
{
    int early = programmatic;
    km_gpu_launch l = {
        .grid = 1, .block = 128, .stream = c->y->stream, .programmatic = programmatic
    };
    void *arguments[] = { &early };

    return km_gpu_run(c->g, KM_DEVICE_EMPTY, &l, arguments, err);
}

static int enqueue_empty(void *context, size_t i, km_err *err)
{
    (void)i;
    return launch_empty(context, false, err);
}

static int enqueue_empty_early(void *context, size_t i, km_err *err)
{
    (void)i;
    return launch_empty(context, true, err);
}

static int enqueue_writer(void *context, size_t i, km_err *err)
{
    const struct copy *c = context;

    return km_sets_write(c->g, c->sets, NULL, i, c->y->stream, err);
}

/* Inputs that are small beside the largest are read by every block: weights. */
static uint64_t weight_bytes(const km_sets *s)
{
    uint64_t most = 0, sum = 0;

    for (size_t i = 0; i < s->inputs; i++)
        most = s->bytes[i] > most ? s->bytes[i] : most;
    for (size_t i = 0; i < s->inputs; i++)
        sum += s->bytes[i] * 16 <= most ? s->bytes[i] : 0;
    return sum;
}

static int allocate(struct copy *c, double bytes, km_err *err)
{
    const km_gpu *g = c->g;
    km_yardsticks *y = c->y;
    uint64_t weights = (weight_bytes(c->sets) + 15) / 16, set;

    if (bytes / 32 + (double)weights > 2e9)
        return km_fail(err, KM_ELIMIT, "a call that moves %g GB has no yardstick", bytes / 1e9);
    c->weights = (uint32_t)weights;
    c->count = (uint32_t)((bytes - (double)weights * 16) / 32) + 1;
    set = ((uint64_t)c->count * 2 + c->weights) * 16;
    y->settle_bytes = 2 * g->l2_bytes;
    if (g->cuMemAlloc_v2(&y->memory, c->sets->count * set) != 0 ||
        g->cuMemAlloc_v2(&y->settle_memory, 2 * y->settle_bytes) != 0)
        return km_fail(err, KM_EENV, "the GPU has no %llu MB for a copy",
                       (unsigned long long)(c->sets->count * set >> 20));
    c->from = y->memory;
    c->to = y->memory + c->sets->count * ((uint64_t)c->count + c->weights) * 16;
    /* values, so that the memory is there and no special case */
    return km_gpu_check(g, g->cuMemsetD8Async(y->memory, 0x3c, c->sets->count * set, g->stream),
                        "writing memory", err);
}

/* The median of three replays of the copy in this shape. */
static int try_shape(km_arena *a, struct copy *c, double *us, km_err *err)
{
    km_graph graph;
    double t[3];
    int rc = km_graph_capture(a, c->g, c->y->stream, c->sets->count, enqueue_copy, c, &graph, err);

    for (int i = -1; i < 3 && rc == 0; i++) {
        rc = km_yardsticks_settle(c->g, c->y, c->y->stream, err);
        if (rc == 0)
            rc = km_graph_time(c->g, &graph, c->y->stream, &t[i < 0 ? 0 : i], err);
    }
    if (rc == 0)
        *us = t[0] > t[1] ? (t[1] > t[2]   ? t[1]
                             : t[0] < t[2] ? t[0]
                                           : t[2])
                          : (t[0] > t[2]   ? t[0]
                             : t[1] < t[2] ? t[1]
                                           : t[2]);
    km_graph_release(c->g, &graph);
    return rc;
}

/* The fastest shape of each kind. */
static int choose(struct copy *c, struct shape *best, struct shape *plain, km_err *err)
{
    double best_us = 0, plain_us = 0;
    bool has_early = c->g->major >= 9;

    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0] * 6; k++) {
        km_arena a = KM_ARENA_INIT;
        unsigned mode = (unsigned)(k % 6) / 2;
        double us = 0;
        int rc;
        c->shape = (struct shape){ sizes[k / 6].threads, sizes[k / 6].vectors, mode >= 1, mode >= 2,
                                   k % 2 };
        if (c->shape.early && !has_early)
            continue;
        rc = try_shape(&a, c, &us, err);
        km_arena_release(&a);
        if (rc < 0)
            return rc;
        if (best_us == 0 || us < best_us) {
            best_us = us;
            *best = c->shape;
        }
        if (!c->shape.early && (plain_us == 0 || us < plain_us)) {
            plain_us = us;
            *plain = c->shape;
        }
    }
    return 0;
}

static void describe(const struct shape *s, char *out, size_t room)
{
    snprintf(out, room, "%ux%u%s%s%s", s->threads, s->vectors, s->early ? " early" : "",
             s->ahead ? " ahead" : "", s->streaming ? " streaming" : "");
}

static int capture_settle(km_arena *a, const struct copy *c, km_err *err)
{
    struct copy settle = *c;

    settle.shape = (struct shape){ 512, 1, false, false, false };
    settle.from = c->y->settle_memory;
    settle.to = c->y->settle_memory + c->y->settle_bytes;
    settle.count = (uint32_t)(c->y->settle_bytes / 16);
    settle.weights = 0;
    return km_graph_capture(a, c->g, c->y->stream, 1, enqueue_copy, &settle, &c->y->settle, err);
}

int km_yardsticks_make(km_arena *a, const km_gpu *g, const km_sets *s, double bytes,
                       km_yardsticks *out, km_err *err)
{
    struct copy c = { .g = g, .sets = s, .y = out };
    struct shape best = { 0 }, plain = { 0 };
    static const km_enqueue others[] = { enqueue_empty, enqueue_empty_early, enqueue_writer };

    *out = (km_yardsticks){ 0 };
    if (km_gpu_check(g, g->cuStreamCreate(&out->stream, KM_CU_STREAM_NON_BLOCKING),
                     "making a stream", err) < 0 ||
        allocate(&c, bytes, err) < 0 || km_gpu_wait(g, err) < 0 || capture_settle(a, &c, err) < 0 ||
        choose(&c, &best, &plain, err) < 0)
        return err->code;
    describe(&best, out->copy_shape, sizeof out->copy_shape);
    describe(&plain, out->copy_plain_shape, sizeof out->copy_plain_shape);
    for (int k = 0; k < 2; k++) {
        c.shape = k ? plain : best;
        if (km_graph_capture(a, g, out->stream, s->count, enqueue_copy, &c, &out->graphs[k], err) <
            0)
            return err->code;
    }
    for (int k = KM_YARD_EMPTY; k < KM_YARD_COUNT; k++)
        if (km_graph_capture(a, g, out->stream, s->count, others[k - KM_YARD_EMPTY], &c,
                             &out->graphs[k], err) < 0)
            return err->code;
    return 0;
}

int km_yardsticks_settle(const km_gpu *g, const km_yardsticks *y, km_cu_stream stream, km_err *err)
{
    return km_graph_replay(g, &y->settle, stream, err);
}

void km_yardsticks_release(const km_gpu *g, km_yardsticks *y)
{
    for (int k = 0; k < KM_YARD_COUNT; k++)
        km_graph_release(g, &y->graphs[k]);
    km_graph_release(g, &y->settle);
    if (y->memory)
        g->cuMemFree_v2(y->memory);
    if (y->settle_memory)
        g->cuMemFree_v2(y->settle_memory);
    if (y->stream)
        g->cuStreamDestroy_v2(y->stream);
    *y = (km_yardsticks){ 0 };
}
