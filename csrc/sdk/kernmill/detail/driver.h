/* kernmill/detail/driver.h: the driver opened at first use, devices looked up once, images loaded
 * once.
 *
 * Everything is published by atomics: the first thread through does the work under a spin lock that
 * is held for a file open or a module load only.
 */
#include "kernmill/launch.h" /* the header that this one is a part of */

#ifndef KERNMILL_DETAIL_DRIVER_H
#define KERNMILL_DETAIL_DRIVER_H

#include <dlfcn.h>
#include <sched.h>

struct km_cuda_state {
    atomic_flag lock;
    _Atomic int opened; /* 0: not tried, 1: usable */
    km_cu_driver driver;
    int32_t (*current_stream)(int32_t device, void **stream); /* libtorch_cuda's */
    _Atomic int known[KM_CUDA_DEVICES_MAX];
    km_device devices[KM_CUDA_DEVICES_MAX];
};
KM_ONCE_PER_LIBRARY struct km_cuda_state km_cuda = { .lock = ATOMIC_FLAG_INIT };

static inline void km_cuda_lock(void)
{
    while (atomic_flag_test_and_set_explicit(&km_cuda.lock, memory_order_acquire))
        sched_yield();
}

static inline void km_cuda_unlock(void)
{
    atomic_flag_clear_explicit(&km_cuda.lock, memory_order_release);
}

static inline int km_cuda_error(km_call *c, int code, const char *doing, const char *what)
{
    const char *name = NULL, *text = NULL;

    km_cuda.driver.cuGetErrorName(code, &name);
    km_cuda.driver.cuGetErrorString(code, &text);
    return km_error(c, "%s '%s' failed: %s (%s)", doing, what, name ? name : "CUDA error",
                    text ? text : "no text");
}

/* The name of the first function that is missing, or NULL. */
static inline const char *km_find_driver(void *libcuda, km_cu_driver *d)
{
#define KM_FIND(function)                                                                          \
    do {                                                                                           \
        void *found = dlsym(libcuda, #function);                                                   \
        if (!found)                                                                                \
            return #function;                                                                      \
        memcpy(&d->function, &found, sizeof found);                                                \
    } while (0)
    KM_FIND(cuGetErrorName);
    KM_FIND(cuGetErrorString);
    KM_FIND(cuDeviceGetAttribute);
    KM_FIND(cuDevicePrimaryCtxRetain);
    KM_FIND(cuCtxGetCurrent);
    KM_FIND(cuCtxSetCurrent);
    KM_FIND(cuLibraryLoadData);
    KM_FIND(cuLibraryGetKernel);
    KM_FIND(cuKernelGetFunction);
    KM_FIND(cuKernelSetAttribute);
    KM_FIND(cuThreadExchangeStreamCaptureMode);
    KM_FIND(cuLaunchKernelEx);
#undef KM_FIND
    return NULL;
}

/* Under the lock. A CPU torch has no libtorch_cuda, so it is looked up, never linked. */
static inline int km_open_cuda(km_call *c)
{
    void *libcuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *torch, *stream;
    const char *missing;

    if (!libcuda)
        return km_error(c, "unable to open the CUDA driver: %s", dlerror());
    missing = km_find_driver(libcuda, &km_cuda.driver);
    if (missing)
        return km_error(c, "the CUDA driver has no %s: a driver for CUDA 12.0 or newer is needed",
                        missing);
    torch = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    stream = torch ? dlsym(torch, "aoti_torch_get_current_cuda_stream") : NULL;
    if (!stream)
        return km_error(c, "this torch has no CUDA stream interface");
    memcpy(&km_cuda.current_stream, &stream, sizeof stream);
    atomic_store_explicit(&km_cuda.opened, 1, memory_order_release);
    return 0;
}

static inline int km_cuda_open(km_call *c)
{
    int rc = 0;

    if (atomic_load_explicit(&km_cuda.opened, memory_order_acquire))
        return 0;
    km_cuda_lock();
    if (!atomic_load_explicit(&km_cuda.opened, memory_order_acquire))
        rc = km_open_cuda(c);
    km_cuda_unlock();
    return rc;
}

/* A thread that never touched CUDA has no context; one that has keeps its own. */
static inline int km_ensure_context(km_call *c, int device)
{
    km_cu_context context = NULL;
    int code = km_cuda.driver.cuCtxGetCurrent(&context);

    if (code == 0 && !context) {
        code = km_cuda.driver.cuDevicePrimaryCtxRetain(&context, device);
        if (code == 0)
            code = km_cuda.driver.cuCtxSetCurrent(context);
    }
    return code == 0 ? 0 : km_cuda_error(c, code, "taking the context of", "the device");
}

static inline int km_read_device(km_call *c, int index, km_device *d)
{
    int major = 0, minor = 0;
    const struct {
        int attribute;
        int *out;
    } asked[] = { { KM_CU_DEVICE_CC_MAJOR, &major },
                  { KM_CU_DEVICE_CC_MINOR, &minor },
                  { KM_CU_DEVICE_SM_COUNT, &d->sm_count },
                  { KM_CU_DEVICE_SHARED_OPTIN, &d->shared_bytes } };

    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        int code = km_cuda.driver.cuDeviceGetAttribute(asked[i].out, asked[i].attribute, index);
        if (code)
            return km_cuda_error(c, code, "asking about", "the device");
    }
    d->index = index;
    d->sm = major * 10 + minor;
    return 0;
}

static inline const km_device *km_call_device(km_call *c)
{
    int index = c->tensor_count ? c->tensors[0].device_index : -1;
    km_device d;

    if (index < 0 || index >= KM_CUDA_DEVICES_MAX || c->tensors[0].device_type != KM_CUDA) {
        km_error(c, "the call has no CUDA device below %d", KM_CUDA_DEVICES_MAX);
        return NULL;
    }
    if (atomic_load_explicit(&km_cuda.known[index], memory_order_acquire))
        return &km_cuda.devices[index];
    if (km_cuda_open(c) < 0 || km_read_device(c, index, &d) < 0)
        return NULL;
    km_cuda_lock();
    if (!atomic_load_explicit(&km_cuda.known[index], memory_order_relaxed)) {
        km_cuda.devices[index] = d; /* never again: other threads read it by now */
        atomic_store_explicit(&km_cuda.known[index], 1, memory_order_release);
    }
    km_cuda_unlock();
    return &km_cuda.devices[index];
}

static inline int km_load_error(km_call *c, int code, const km_device *d, const char *doing,
                                const char *what)
{
    if (code != KM_CU_ERROR_NO_BINARY)
        return km_cuda_error(c, code, doing, what);
    return km_error(c, "the library holds no image that an sm_%d device runs; build it with --arch",
                    d->sm);
}

/* What the driver would answer with "invalid argument" and no more. */
static inline int km_check_shape(km_call *c, const km_function *f, const km_device *d,
                                 const km_launch *how)
{
    if (how->shared_bytes > (unsigned)d->shared_bytes)
        return km_error(c,
                        "the kernel '%s' asks for %u bytes of shared memory; a block on this "
                        "sm_%d device can have %d",
                        f->name, how->shared_bytes, d->sm, d->shared_bytes);
    if (how->cluster[0] && d->sm < 90)
        return km_error(c,
                        "the kernel '%s' asks for clusters, and this is an sm_%d device; "
                        "sm_90 and newer have them",
                        f->name, d->sm);
    return 0;
}

/* Raises the limit the function has on shared memory to at least `asked`, for the devices to come:
 * those that set the old limit are to set the new one before their next launch. */
static inline unsigned km_shared_limit(km_function *f, unsigned asked)
{
    unsigned limit = atomic_load_explicit(&f->shared_bytes, memory_order_relaxed);

    if (asked <= limit)
        return limit;
    atomic_store_explicit(&f->ready, 0, memory_order_relaxed);
    atomic_store_explicit(&f->shared_bytes, asked, memory_order_release);
    return asked;
}

/* Under the lock, and with this thread's captures relaxed: a load allocates. */
static inline int km_load(km_call *c, km_image *image, km_function *f, const km_device *d,
                          const km_launch *how)
{
    km_cu_library library = atomic_load_explicit(&image->library, memory_order_relaxed);
    km_cu_kernel kernel = NULL;
    km_cu_function function = NULL;
    unsigned shared = km_shared_limit(f, how->shared_bytes);
    int code = 0;

    if (!library) {
        code = km_cuda.driver.cuLibraryLoadData(&library, image->fatbin, NULL, NULL, 0, NULL, NULL,
                                                0);
        if (code)
            return km_load_error(c, code, d, "loading the image of", f->name);
        atomic_store_explicit(&image->library, library, memory_order_release);
    }
    code = km_cuda.driver.cuLibraryGetKernel(&kernel, library, f->name);
    if (code == 0) /* loads it into the context now rather than at the launch */
        code = km_cuda.driver.cuKernelGetFunction(&function, kernel);
    if (shared > (unsigned)d->shared_bytes) /* another device has more */
        shared = (unsigned)d->shared_bytes;
    if (code == 0 && shared > 48u * 1024)
        code = km_cuda.driver.cuKernelSetAttribute(KM_CU_FUNCTION_SHARED_DYNAMIC, (int)shared,
                                                   kernel, d->index);
    if (code == 0 && d->sm >= 90) /* clusters of more than 8 blocks, should a launch ask for them */
        code = km_cuda.driver.cuKernelSetAttribute(KM_CU_FUNCTION_CLUSTER_NONPORTABLE, 1, kernel,
                                                   d->index);
    if (code)
        return km_load_error(c, code, d, "preparing the kernel", f->name);
    atomic_store_explicit(&f->kernel, kernel, memory_order_relaxed);
    atomic_fetch_or_explicit(&f->ready, 1ULL << d->index, memory_order_release);
    return 0;
}

static inline int km_prepare(km_call *c, km_image *image, km_function *f, const km_device *d,
                             const km_launch *how)
{
    unsigned limit = atomic_load_explicit(&f->shared_bytes, memory_order_acquire);
    int mode = KM_CU_CAPTURE_RELAXED, rc;

    if (atomic_load_explicit(&f->ready, memory_order_acquire) >> d->index & 1 &&
        how->shared_bytes <= limit)
        return 0;
    if (km_check_shape(c, f, d, how) < 0)
        return KM_FAILED;
    km_cuda_lock();
    km_cuda.driver.cuThreadExchangeStreamCaptureMode(&mode);
    rc = km_load(c, image, f, d, how);
    km_cuda.driver.cuThreadExchangeStreamCaptureMode(&mode);
    km_cuda_unlock();
    return rc;
}

KM_OUTLINED int km_launch_kernel(km_call *c, km_image *image, km_function *f, const km_launch *how,
                                 void **arguments)
{
    const km_device *d = km_call_device(c);
    km_cu_attribute attributes[2];
    km_cu_config config = {
        how->grid[0],  how->grid[1],      how->grid[2], how->block[0], how->block[1],
        how->block[2], how->shared_bytes, NULL,         attributes,    0
    };
    void *stream = NULL;
    int code;

    if (!d || km_ensure_context(c, d->index) < 0 || km_prepare(c, image, f, d, how) < 0)
        return KM_FAILED;
    if (km_cuda.current_stream(d->index, &stream) != 0)
        return km_torch_error(c, "asking for the current stream");
    config.stream = stream;
    if (how->cluster[0])
        attributes[config.attribute_count++] = (km_cu_attribute){
            .id = KM_CU_LAUNCH_CLUSTER,
            .value.cluster = { how->cluster[0], how->cluster[1], how->cluster[2] }
        };
    if (how->programmatic && d->sm >= 90)
        attributes[config.attribute_count++] = (km_cu_attribute){ .id = KM_CU_LAUNCH_PROGRAMMATIC,
                                                                  .value.programmatic = 1 };
    code = km_cuda.driver.cuLaunchKernelEx(
        &config, (km_cu_function)atomic_load_explicit(&f->kernel, memory_order_relaxed), arguments,
        NULL);
    return code == 0 ? 0 : km_cuda_error(c, code, "launching", f->name);
}

#endif
