/* kernmill/launch.h: device code launched from C through the CUDA driver.
 *
 * A .cu file holds device code only, with extern "C" __global__ entry points. The build compiles it
 * for every architecture and links the images in under the file's name; the C side names the image
 * and the entry points it launches:
 *
 *     KM_IMAGE(rmsnorm)                                    the images of cuda/rmsnorm.cu
 *     static km_function norm = KM_FUNCTION("norm_bf16");  one entry point of it
 *
 *     km_launch how = { .grid = { rows, 1, 1 }, .block = { 256, 1, 1 }, .programmatic = true };
 *     void *arguments[] = { &x, &y, &columns };
 *     return km_launch_kernel(c, &rmsnorm_image, &norm, &how, arguments);
 *
 * The launch goes to torch's current stream of the call's device, in the context that is current
 * there (the device's primary context when the thread has none). The image is loaded once in a
 * process, at the first launch, also inside a graph capture. Any thread may launch. Nothing
 * synchronises, and nothing is allocated: ask op.h for workspaces.
 *
 * Programmatic launch (compute capability 9.0 and up; ignored below) lets the kernel start before
 * its predecessor has ended. Such a kernel must execute griddepcontrol.wait before its first access
 * to global memory, read or write, weights included, and must read with coherent loads afterwards.
 */
#ifndef KERNMILL_LAUNCH_H
#define KERNMILL_LAUNCH_H

#include <stdatomic.h>

#include "kernmill/cuda.h"
#include "kernmill/op.h"

#define KM_CUDA_DEVICES_MAX 64 /* devices of one process */

typedef struct {
    const void *fatbin;
    _Atomic(km_cu_library) library; /* NULL until the first launch */
} km_image;

/* Declares `stem_image`, the images built from stem.cu. At file scope. */
#define KM_IMAGE(stem)                                                                             \
    extern const unsigned char km_fatbin_##stem[];                                                 \
    static km_image stem##_image = { km_fatbin_##stem, NULL };

/* An entry point, by its extern "C" name. */
typedef struct {
    const char *name;
    _Atomic(km_cu_kernel) kernel;
    _Atomic uint64_t ready;        /* a bit a device: loaded there, attributes set */
    _Atomic unsigned shared_bytes; /* the limit those devices have set */
} km_function;

/* `entry` is a string literal: behind a mark, by which the build finds it in the library and
 * compares it with the entry points that the images have. */
#define KM_FUNCTION(entry) { &"km_function:" entry[sizeof "km_function:" - 1], NULL, 0, 0 }

typedef struct {
    unsigned grid[3];      /* blocks; x up to 2^31-1, y and z up to 65535 */
    unsigned block[3];     /* threads of a block; at most 1024 in all */
    unsigned cluster[3];   /* blocks of a cluster; zeros: none (compute capability 9.0 and up) */
    unsigned shared_bytes; /* dynamic shared memory; above 48 KiB the limit is raised for you */
    bool programmatic;     /* may start before the preceding kernel of the stream has ended */
} km_launch;

/* What the choice of a launch shape needs to know about the call's device. */
typedef struct {
    int index;
    int sm;           /* compute capability, 90 for 9.0 */
    int sm_count;     /* multiprocessors */
    int shared_bytes; /* the most dynamic shared memory a block can have */
} km_device;

/* The call's CUDA device, or NULL with the error recorded. Read once in a process. */
static inline const km_device *km_call_device(km_call *c);

/* Launches; `arguments` points to each kernel argument in order. 0 or KM_FAILED. */
KM_OUTLINED int km_launch_kernel(km_call *c, km_image *image, km_function *function,
                                 const km_launch *how, void **arguments);

/* ---- the choice of a kernel and its launch shape ---- */

enum { KM_FLOATS = 3 }; /* floating dtypes: float32, float16, bfloat16 */

/* The entry points of each floating dtype, in the order of km_float_index; LIST lists those whose
 * names begin with its argument. */
#define KM_EACH_FLOAT(LIST, prefix)                                                                \
    { LIST(prefix "f32_"), LIST(prefix "f16_"), LIST(prefix "bf16_") }

static inline int km_float_index(km_dtype d)
{
    return d == KM_FLOAT32 ? 0 : d == KM_FLOAT16 ? 1 : 2;
}

static inline int64_t km_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* How many vectors of 16 bytes hold so many elements. */
static inline int64_t km_vectors(int64_t elements, km_dtype dtype)
{
    return km_divide_up(elements, (int64_t)(16 / km_dtype_bytes(dtype)));
}

/* Whether all rows start at a multiple of 16 bytes; `stride` in elements. NULL does. */
static inline bool km_rows_aligned(const void *data, int64_t stride, km_dtype dtype)
{
    return (uintptr_t)data % 16 == 0 && stride * (int64_t)km_dtype_bytes(dtype) % 16 == 0;
}

/* KM_FAILED, with the error recorded, for more blocks than grid[0] holds. */
static inline int km_check_blocks(km_call *c, int64_t blocks)
{
    if (blocks > INT32_MAX)
        return km_error(c, "%lld blocks; a launch holds %d", (long long)blocks, INT32_MAX);
    return 0;
}

#include "kernmill/detail/driver.h"

#endif
