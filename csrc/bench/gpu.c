#include "bench/gpu.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "bench/device_source.h"
#include "core/nvrtc.h"
#include "core/str.h"

#include <kernmill/tensor.h>

#define SCRATCH_BYTES (KM_SCRATCH_WORDS * sizeof(uint64_t))

static const char *const function_names[KM_DEVICE_COUNT] = {
    "km_fill",  "km_widen", "km_squares", "km_compare", "km_hash",   "km_copy1",
    "km_copy2", "km_copy4", "km_empty",   "km_write",   "km_refresh"
};

bool km_gpu_exists(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *init, *count;
    int (*cu_init)(unsigned), (*get_count)(int *), n = 0;

    if (!driver)
        return false;
    init = dlsym(driver, "cuInit");
    count = dlsym(driver, "cuDeviceGetCount");
    if (!init || !count)
        return false;
    memcpy(&cu_init, &init, sizeof init);
    memcpy(&get_count, &count, sizeof count);
    return cu_init(0) == 0 && get_count(&n) == 0 && n > 0;
}

static int find_functions(km_gpu *g, km_err *err)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *found;

    if (!driver)
        return km_fail(err, KM_EENV, "there is no CUDA driver: %s", dlerror());
#define KM_FIND(name)                                                                              \
    do {                                                                                           \
        found = dlsym(driver, #name);                                                              \
        if (!found)                                                                                \
            return km_fail(err, KM_EENV, "the CUDA driver has no %s: 12.0 or newer is needed",     \
                           #name);                                                                 \
        memcpy(&g->name, &found, sizeof found);                                                    \
    } while (0);
    KM_DRIVER_FUNCTIONS(KM_FIND)
#undef KM_FIND
#define KM_FIND(name)                                                                              \
    found = dlsym(driver, #name);                                                                  \
    memcpy(&g->name, &found, sizeof found);
    KM_DRIVER_NEWER_FUNCTIONS(KM_FIND)
#undef KM_FIND
    return 0;
}

int km_gpu_check(const km_gpu *g, int code, const char *what, km_err *err)
{
    const char *name = NULL;

    if (code == 0)
        return 0;
    g->cuGetErrorName(code, &name);
    return km_fail(err, KM_ECHILD, "%s failed: %s (%d)", what, name ? name : "unknown", code);
}

static int attribute(const km_gpu *g, int which)
{
    int value = 0;

    return g->cuDeviceGetAttribute(&value, which, g->device) == 0 ? value : 0;
}

static int open_device(km_gpu *g, km_err *err)
{
    int rc = km_gpu_check(g, g->cuInit(0), "starting the CUDA driver", err);

    if (rc == 0)
        rc = km_gpu_check(g, g->cuDeviceGet(&g->device, 0), "finding a GPU", err);
    if (rc == 0)
        rc = km_gpu_check(g, g->cuDevicePrimaryCtxRetain(&g->context, g->device), "opening the GPU",
                          err);
    if (rc == 0)
        rc = km_gpu_check(g, g->cuCtxSetCurrent(g->context), "opening the GPU", err);
    if (rc < 0)
        return rc;
    g->cuDriverGetVersion(&g->driver_version);
    g->cuDeviceGetName(g->name, sizeof g->name, g->device);
    g->cuDeviceGetPCIBusId(g->bus, sizeof g->bus, g->device);
    g->major = attribute(g, KM_CU_DEVICE_CC_MAJOR);
    g->minor = attribute(g, KM_CU_DEVICE_CC_MINOR);
    g->sm_count = attribute(g, KM_CU_DEVICE_SM_COUNT);
    g->l2_bytes = (size_t)attribute(g, KM_CU_DEVICE_L2_BYTES);
    g->pin_gb_s = (double)attribute(g, KM_CU_DEVICE_MEMORY_CLOCK_KHZ) * 1e3 * 2 *
                  attribute(g, KM_CU_DEVICE_MEMORY_BUS_BITS) / 8 / 1e9;
    rc = km_gpu_check(g, g->cuStreamCreate(&g->stream, KM_CU_STREAM_NON_BLOCKING),
                      "making a stream", err);
    if (rc == 0)
        rc = km_gpu_check(g, g->cuEventCreate(&g->start, 0), "making an event", err);
    if (rc == 0)
        rc = km_gpu_check(g, g->cuEventCreate(&g->end, 0), "making an event", err);
    return rc < 0
               ? rc
               : km_gpu_check(g, g->cuMemAlloc_v2(&g->scratch, SCRATCH_BYTES), "allocating", err);
}

static int compile(const km_gpu *g, const char *torch_folder, km_str *cubin, km_err *err)
{
    char arch[48], dtypes[10][32];
    const int codes[] = { KM_FLOAT64, KM_FLOAT32, KM_FLOAT16, KM_BFLOAT16, KM_INT64,
                          KM_INT32,   KM_INT16,   KM_INT8,    KM_UINT8,    KM_BOOL };
    const char *const names[] = { "FLOAT64", "FLOAT32", "FLOAT16", "BFLOAT16", "INT64",
                                  "INT32",   "INT16",   "INT8",    "UINT8",    "BOOL" };
    const char *options[12] = { arch, "--std=c++17" };
    km_str path = KM_STR_INIT;
    km_nvrtc n = { 0 };
    int rc;

    snprintf(arch, sizeof arch, "--gpu-architecture=sm_%d%d", g->major, g->minor);
    for (size_t i = 0; i < 10; i++) {
        snprintf(dtypes[i], sizeof dtypes[i], "-DKM_%s=%d", names[i], codes[i]);
        options[2 + i] = dtypes[i];
    }
    /* torch's own door to the compiler that it was installed with */
    km_str_printf(&path, "%s/lib/libcaffe2_nvrtc.so", torch_folder);
    rc = km_str_check(&path, err);
    if (rc == 0)
        rc = km_nvrtc_open(&n, path.data, err);
    km_str_release(&path);
    return rc < 0 ? rc
                  : km_nvrtc_compile(&n, km_device_source, "device.cu", options, 12, false, cubin,
                                     err);
}

int km_gpu_open(km_gpu *g, const char *torch_folder, km_err *err)
{
    km_str cubin = KM_STR_INIT;
    km_cu_module module = NULL;
    int rc;

    *g = (km_gpu){ 0 };
    if (find_functions(g, err) < 0 || open_device(g, err) < 0)
        return err->code;
    rc = compile(g, torch_folder, &cubin, err);
    if (rc == 0)
        rc = km_gpu_check(g, g->cuModuleLoadData(&module, cubin.data), "loading device code", err);
    for (int i = 0; i < KM_DEVICE_COUNT && rc == 0; i++)
        rc = km_gpu_check(g, g->cuModuleGetFunction(&g->functions[i], module, function_names[i]),
                          function_names[i], err);
    km_str_release(&cubin);
    return rc;
}

int km_gpu_run(const km_gpu *g, km_device_function f, const km_gpu_launch *l, void **arguments,
               km_err *err)
{
    km_cu_attribute programmatic = { .id = KM_CU_LAUNCH_PROGRAMMATIC, .value.programmatic = 1 };
    km_cu_config config = {
        .grid_x = l->grid,
        .grid_y = 1,
        .grid_z = 1,
        .block_x = l->block,
        .block_y = 1,
        .block_z = 1,
        .stream = l->stream,
        .attributes = &programmatic,
        .attribute_count = l->programmatic,
    };

    return km_gpu_check(g, g->cuLaunchKernelEx(&config, g->functions[f], arguments, NULL),
                        function_names[f], err);
}

int km_gpu_run_over(const km_gpu *g, km_device_function f, uint64_t count, void **arguments,
                    km_err *err)
{
    uint64_t blocks = (count + 255) / 256, most = (uint64_t)g->sm_count * 16;
    km_gpu_launch l = { .block = 256, .stream = g->stream };

    if (!count)
        return 0;
    l.grid = (unsigned)(blocks < most ? blocks : most);
    return km_gpu_run(g, f, &l, arguments, err);
}

int km_gpu_clear_scratch(const km_gpu *g, km_err *err)
{
    return km_gpu_check(g, g->cuMemsetD8Async(g->scratch, 0, SCRATCH_BYTES, g->stream),
                        "clearing memory", err);
}

int km_gpu_read_scratch(const km_gpu *g, uint64_t *out, size_t count, km_err *err)
{
    int code = g->cuMemcpyDtoHAsync_v2(out, g->scratch, count * sizeof *out, g->stream);

    return km_gpu_check(g, code ? code : g->cuStreamSynchronize(g->stream), "reading memory", err);
}

int km_gpu_wait(const km_gpu *g, km_err *err)
{
    return km_gpu_check(g, g->cuCtxSynchronize(), "waiting for the GPU", err);
}
