/* Compiled with MOCK_TORCH_CUDA into libtorch_cuda.so, else into libcuda.so.1. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "mock_cuda.h"

#ifdef MOCK_TORCH_CUDA

int32_t aoti_torch_get_current_cuda_stream(int32_t device, void **stream);

int32_t aoti_torch_get_current_cuda_stream(int32_t device, void **stream)
{
    static char streams[MOCK_DEVICES];

    mock_log("stream(%d)", device);
    *stream = &streams[device];
    return 0;
}

#else

#include <kernmill/cuda.h>

enum { CAPTURE_UNSUPPORTED = 900, WRONG = 999, CONTEXTS = MOCK_DEVICES };

struct mock_cuda mock_cuda = { .sm = { 90, 80, 120 } };
static _Thread_local int context = -1; /* the device of the current one */
static _Thread_local int capture_mode; /* global */
static char things[8];                 /* handles point here */

#define CALL(name, ...)                                                                            \
    do {                                                                                           \
        if (!mock_cuda.quiet)                                                                      \
            mock_log(__VA_ARGS__);                                                                 \
        if (mock_cuda.failing && strcmp(mock_cuda.failing, #name) == 0)                            \
            return mock_cuda.code;                                                                 \
    } while (0)

int cuGetErrorName(int code, const char **name)
{
    *name = code == CAPTURE_UNSUPPORTED ? "CAPTURE_UNSUPPORTED" : "MOCK_ERROR";
    return 0;
}

int cuGetErrorString(int code, const char **text)
{
    *text = code == WRONG ? "called wrongly" : "as asked for";
    return 0;
}

int cuDeviceGetAttribute(int *out, int attribute, int device)
{
    CALL(cuDeviceGetAttribute, "ask(%d,%d)", attribute, device);
    if (device < 0 || device >= MOCK_DEVICES)
        return WRONG;
    if (mock_cuda.quiet) /* so that threads meet here */
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    *out = attribute == KM_CU_DEVICE_CC_MAJOR   ? mock_cuda.sm[device] / 10
           : attribute == KM_CU_DEVICE_CC_MINOR ? mock_cuda.sm[device] % 10
           : attribute == KM_CU_DEVICE_SM_COUNT ? 100 + device
                                                : 200000 + device;
    return 0;
}

int cuDevicePrimaryCtxRetain(km_cu_context *out, int device)
{
    CALL(cuDevicePrimaryCtxRetain, "retain(%d)", device);
    *out = (km_cu_context)(void *)&things[device];
    return 0;
}

int cuCtxGetCurrent(km_cu_context *out)
{
    CALL(cuCtxGetCurrent, "getctx");
    *out = context < 0 ? NULL : (km_cu_context)(void *)&things[context];
    return 0;
}

int cuCtxSetCurrent(km_cu_context new_context)
{
    CALL(cuCtxSetCurrent, "setctx");
    context = (int)((char *)new_context - things);
    return 0;
}

void mock_make_current(int device)
{
    context = device;
}

/* As in a capture, a load needs this thread to be relaxed. */
static int in_order(void)
{
    if (capture_mode != KM_CU_CAPTURE_RELAXED)
        return CAPTURE_UNSUPPORTED;
    return context < 0 || context != mock_current_device() ? WRONG : 0;
}

int cuLibraryLoadData(km_cu_library *out, const void *image, void *a, void *b, unsigned c, void *d,
                      void *e, unsigned f)
{
    CALL(cuLibraryLoadData, "load(%.10s)", (const char *)image);
    *out = (km_cu_library)(void *)&things[0];
    __atomic_fetch_add(&mock_cuda.loads, 1, __ATOMIC_RELAXED);
    return a || b || c || d || e || f ? WRONG : in_order();
}

int cuLibraryGetKernel(km_cu_kernel *out, km_cu_library library, const char *name)
{
    CALL(cuLibraryGetKernel, "kernel(%s)", name);
    *out = (km_cu_kernel)(void *)&things[name[0] == 'l'];
    return (char *)library == things ? 0 : WRONG;
}

int cuKernelGetFunction(km_cu_function *out, km_cu_kernel kernel)
{
    CALL(cuKernelGetFunction, "function");
    *out = (km_cu_function)kernel;
    return in_order();
}

int cuKernelSetAttribute(int attribute, int value, km_cu_kernel kernel, int device)
{
    CALL(cuKernelSetAttribute, "set(%d,%d,%d)", attribute, value, device);
    return kernel ? 0 : WRONG;
}

int cuThreadExchangeStreamCaptureMode(int *mode)
{
    int before = capture_mode;

    CALL(cuThreadExchangeStreamCaptureMode, "capture(%d)", *mode);
    capture_mode = *mode;
    *mode = before;
    return 0;
}

#ifndef MOCK_OLD_DRIVER
int cuLaunchKernelEx(const km_cu_config *config, km_cu_function function, void **arguments,
                     void **extra)
{
    CALL(cuLaunchKernelEx, "launch(%ux%ux%u,%u,%u", config->grid_x, config->grid_y, config->grid_z,
         config->block_x * config->block_y * config->block_z, config->shared_bytes);
    for (unsigned i = 0; i < config->attribute_count && !mock_cuda.quiet; i++) {
        const km_cu_attribute *a = &config->attributes[i];
        if (a->id == KM_CU_LAUNCH_CLUSTER)
            mock_log("cluster=%ux%ux%u", a->value.cluster.x, a->value.cluster.y,
                     a->value.cluster.z);
        else
            mock_log("%d=%d", a->id, a->value.programmatic);
    }
    if (!mock_cuda.quiet)
        mock_log(")");
    __atomic_fetch_add(&mock_cuda.launches, 1, __ATOMIC_RELAXED);
    (void)arguments;
    return extra || !function || !config->stream || context != mock_current_device() ? WRONG : 0;
}
#endif

#endif
