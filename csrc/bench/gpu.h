/* bench/gpu.h: one GPU for the harness: its driver, its own device code (device.cu) and a stream.
 *
 * The primary context is used, which is torch's, too. Addresses are device addresses. Not for
 * several threads. */
#ifndef KERNMILL_BENCH_GPU_H
#define KERNMILL_BENCH_GPU_H

#include <stdbool.h>

#include "bench/driver.h"
#include "core/err.h"

typedef enum {
    KM_DEVICE_FILL,
    KM_DEVICE_WIDEN,
    KM_DEVICE_SQUARES,
    KM_DEVICE_COMPARE,
    KM_DEVICE_HASH,
    KM_DEVICE_COPY1,
    KM_DEVICE_COPY2,
    KM_DEVICE_COPY4,
    KM_DEVICE_EMPTY,
    KM_DEVICE_WRITE,
    KM_DEVICE_REFRESH,
    KM_DEVICE_COUNT
} km_device_function;

#define KM_SCRATCH_WORDS 4096

typedef struct {
#define KM_FIELD(name) __typeof__(name) *(name);
    KM_DRIVER_FUNCTIONS(KM_FIELD)
    KM_DRIVER_NEWER_FUNCTIONS(KM_FIELD)
#undef KM_FIELD
    int device;
    km_cu_context context;
    char name[96], bus[32];
    int major, minor, sm_count, driver_version;
    size_t l2_bytes;
    double pin_gb_s; /* memory clock x 2 x bus width; 0 where the driver does not say */
    km_cu_stream stream;
    km_cu_event start, end; /* of a sample */
    km_cu_function functions[KM_DEVICE_COUNT];
    uint64_t scratch; /* KM_SCRATCH_WORDS words for what device functions return */
} km_gpu;

/* How a device function is launched. */
typedef struct {
    unsigned grid, block;
    km_cu_stream stream;
    bool programmatic; /* may start before its predecessor in the stream ends */
} km_gpu_launch;

/* Whether there is a driver and a GPU. */
bool km_gpu_exists(void);

/* Opens GPU 0. `torch_folder` is of a CUDA torch, which brings the run-time compiler. Errors:
 * KM_EENV with what is missing. */
int km_gpu_open(km_gpu *g, const char *torch_folder, km_err *err);

/* 0, or KM_ECHILD with `what` and the driver's name of the error `code`. */
int km_gpu_check(const km_gpu *g, int code, const char *what, km_err *err);

/* Launches a device function; `arguments` as cuLaunchKernel wants them. Errors: KM_ECHILD. */
int km_gpu_run(const km_gpu *g, km_device_function f, const km_gpu_launch *l, void **arguments,
               km_err *err);

/* The same over `count` elements on g->stream. */
int km_gpu_run_over(const km_gpu *g, km_device_function f, uint64_t count, void **arguments,
                    km_err *err);

/* Sets the scratch words to zero; reads the first `count`, once g->stream is done. */
int km_gpu_clear_scratch(const km_gpu *g, km_err *err);
int km_gpu_read_scratch(const km_gpu *g, uint64_t *out, size_t count, km_err *err);

/* Waits for all streams. Errors: KM_ECHILD with the error of any kernel that ran. */
int km_gpu_wait(const km_gpu *g, km_err *err);

#endif
