/* kernmill/tensor.h: a torch tensor as a C kernel sees it.
 *
 * A km_tensor is a snapshot: pointer, sizes, strides, dtype and device, read once when the operator
 * is entered. It belongs to the call it came from (op.h) and is valid until the operator returns.
 */
#ifndef KERNMILL_TENSOR_H
#define KERNMILL_TENSOR_H

#include "kernmill/torch.h"

/* A function too large to be copied into every operator that calls it. */
#define KM_OUTLINED static __attribute__((noinline, unused))

/* State that exists once in a library, although every file that includes these headers defines it.
 */
#define KM_ONCE_PER_LIBRARY __attribute__((weak, visibility("hidden")))

typedef enum {
    KM_DTYPE_UNKNOWN = 0, /* a torch dtype this interface has no name for */
    KM_FLOAT64,
    KM_FLOAT32,
    KM_FLOAT16,
    KM_BFLOAT16,
    KM_FLOAT8_E4M3FN,
    KM_FLOAT8_E5M2,
    KM_INT64,
    KM_INT32,
    KM_INT16,
    KM_INT8,
    KM_UINT8,
    KM_BOOL,
    KM_DTYPE_COUNT
} km_dtype;

typedef enum { KM_DEVICE_OTHER = 0, KM_CPU, KM_CUDA } km_device_type;

typedef struct {
    km_torch_tensor handle; /* owned by the call */
    void *data;             /* first element; to be read only, unless `writable` */
    int64_t ndim;
    int64_t numel;
    const int64_t *sizes;   /* [ndim] */
    const int64_t *strides; /* [ndim], in elements; 0 in an expanded dimension */
    km_dtype dtype;
    km_device_type device_type;
    int32_t device_index; /* 0 on the CPU */
    bool writable;        /* the schema says (a!), or it is new */
} km_tensor;

/* A tensor seen as rows of its last dimension: element (r, c) is data[r * stride + c]. */
typedef struct {
    void *data;
    int64_t rows;    /* product of the leading sizes; 1 for a vector */
    int64_t columns; /* the last size */
    int64_t stride;  /* elements between rows; 0 when every row is the same one */
} km_rows;

static inline size_t km_dtype_bytes(km_dtype d)
{
    static const unsigned char bytes[KM_DTYPE_COUNT] = { 0, 8, 4, 2, 2, 1, 1, 8, 4, 2, 1, 1, 1 };

    return bytes[d];
}

static inline const char *km_dtype_name(km_dtype d)
{
    static const char *const names[KM_DTYPE_COUNT] = { "an unsupported dtype",
                                                       "float64",
                                                       "float32",
                                                       "float16",
                                                       "bfloat16",
                                                       "float8_e4m3fn",
                                                       "float8_e5m2",
                                                       "int64",
                                                       "int32",
                                                       "int16",
                                                       "int8",
                                                       "uint8",
                                                       "bool" };

    return names[d];
}

static inline int64_t km_size(const km_tensor *t, int64_t dim)
{
    return t->sizes[dim < 0 ? dim + t->ndim : dim];
}

/* float32, float16 or bfloat16: what kernels for models compute in. */
static inline bool km_is_floating(const km_tensor *t)
{
    return t->dtype == KM_FLOAT32 || t->dtype == KM_FLOAT16 || t->dtype == KM_BFLOAT16;
}

static inline bool km_same_sizes(const km_tensor *a, const km_tensor *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int64_t i = 0; i < a->ndim; i++)
        if (a->sizes[i] != b->sizes[i])
            return false;
    return true;
}

/* Whether `t` can be read as rows without a copy; fills *out when it can. The last dimension must
 * be dense and the leading ones must walk memory with one step. */
static inline bool km_as_rows(const km_tensor *t, km_rows *out)
{
    int64_t last = t->ndim - 1, rows = 1, stride = 0;
    bool first = true;

    if (t->ndim < 1)
        return false;
    if (t->numel == 0) { /* strides mean nothing */
        for (int64_t i = 0; i < last; i++)
            rows *= t->sizes[i];
        *out = (km_rows){ t->data, rows, t->sizes[last], t->sizes[last] };
        return true;
    }
    if (t->strides[last] != 1 && t->sizes[last] > 1)
        return false;
    for (int64_t i = last - 1; i >= 0; i--) {
        if (t->sizes[i] == 1)
            continue;
        if (first)
            stride = t->strides[i];
        else if (t->strides[i] != stride * rows)
            return false;
        first = false;
        rows *= t->sizes[i];
    }
    if (stride < 0)
        return false;
    *out = (km_rows){ t->data, rows, t->sizes[last], first ? t->sizes[last] : stride };
    return true;
}

/* body(begin, end, context) over parts of [0, count) on torch's threads, at least `grain` items a
 * part. The parts are disjoint; the body must not fail. When torch cannot, this thread does all. */
static inline void km_parallel_for(int64_t count, int64_t grain,
                                   void (*body)(int64_t begin, int64_t end, void *context),
                                   void *context)
{
    if (count <= grain /* not worth waking anyone */ ||
        torch_parallel_for(0, count, grain, body, context) != 0)
        body(0, count, context);
}

#endif
