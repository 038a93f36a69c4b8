/* bench/yardstick.h: what the times of a cell on a GPU are held against, measured in the same
 * rounds by the same graphs: a copy of as many bytes, an empty kernel, and the writer of a chain.
 *
 * The copy is the best of some fifty launches: vectors a thread, threads a block, plain or
 * streaming stores, with and without programmatic launch and prefetch before the wait. */
#ifndef KERNMILL_BENCH_YARDSTICK_H
#define KERNMILL_BENCH_YARDSTICK_H

#include "bench/graph.h"
#include "bench/sets.h"

typedef enum {
    KM_YARD_COPY,        /* the best copy */
    KM_YARD_COPY_PLAIN,  /* the best without programmatic launch */
    KM_YARD_EMPTY,       /* an empty kernel */
    KM_YARD_EMPTY_EARLY, /* the same, launched programmatically */
    KM_YARD_WRITER,      /* the writer of a chain, alone */
    KM_YARD_COUNT
} km_yard_kind;

extern const char *const km_yard_names[KM_YARD_COUNT]; /* "copy", "copy_plain", ... */

typedef struct {
    uint64_t memory, settle_memory, settle_bytes;
    km_cu_stream stream;
    km_graph graphs[KM_YARD_COUNT];
    km_graph settle;
    char copy_shape[64], copy_plain_shape[64]; /* "256x2 early ahead" */
} km_yardsticks;

/* Copies `bytes` in all (half read, half written, without the weights of the cell, which are read
 * in addition), over as many sets as `s` has. Errors: KM_ENOMEM, KM_ECHILD. On error, too, it wants
 * a release. */
int km_yardsticks_make(km_arena *a, const km_gpu *g, const km_sets *s, double bytes,
                       km_yardsticks *out, km_err *err);

/* Puts the cache into the state it has amid copies of other memory: four times its size is moved on
 * `stream`, half of it read and half of it written. */
int km_yardsticks_settle(const km_gpu *g, const km_yardsticks *y, km_cu_stream stream, km_err *err);

void km_yardsticks_release(const km_gpu *g, km_yardsticks *y);

#endif
