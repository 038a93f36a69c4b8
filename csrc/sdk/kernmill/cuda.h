/* kernmill/cuda.h: the part of the CUDA driver interface that launch.h uses, declared by us.
 *
 * A library built with these headers needs no CUDA package to be built and none to be loaded: the
 * driver (libcuda.so.1) is opened at the first CUDA call. Layouts, codes and signatures are
 * compared with NVIDIA's cuda.h in tests/sdk. Functions return 0 for success.
 */
#ifndef KERNMILL_CUDA_H
#define KERNMILL_CUDA_H

#include <stdint.h>

typedef struct km_cu_stream_s *km_cu_stream;   /* CUstream; NULL is the default stream */
typedef struct km_cu_library_s *km_cu_library; /* CUlibrary */
typedef struct km_cu_kernel_s *km_cu_kernel;   /* CUkernel, usable as a CUfunction */
typedef struct km_cu_function_s *km_cu_function;
typedef struct km_cu_context_s *km_cu_context;

enum {
    KM_CU_ERROR_NO_BINARY = 209,
    KM_CU_CAPTURE_RELAXED = 2,
    KM_CU_DEVICE_SM_COUNT = 16,
    KM_CU_DEVICE_CC_MAJOR = 75,
    KM_CU_DEVICE_CC_MINOR = 76,
    KM_CU_DEVICE_SHARED_OPTIN = 97,
    KM_CU_FUNCTION_SHARED_DYNAMIC = 8,
    KM_CU_FUNCTION_CLUSTER_NONPORTABLE = 14,
    KM_CU_LAUNCH_CLUSTER = 4,
    KM_CU_LAUNCH_PROGRAMMATIC = 6
};

typedef struct {
    int32_t id;
    int32_t pad;
    union {
        char size[64];
        struct {
            unsigned x, y, z;
        } cluster;
        int programmatic;
    } value;
} km_cu_attribute;

typedef struct {
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    km_cu_stream stream;
    km_cu_attribute *attributes;
    unsigned attribute_count;
} km_cu_config;

/* The driver's functions, found by name at first use. */
typedef struct {
    int (*cuGetErrorName)(int code, const char **name);
    int (*cuGetErrorString)(int code, const char **text);
    int (*cuDeviceGetAttribute)(int *out, int attribute, int device);
    int (*cuDevicePrimaryCtxRetain)(km_cu_context *out, int device);
    int (*cuCtxGetCurrent)(km_cu_context *out);
    int (*cuCtxSetCurrent)(km_cu_context context);
    int (*cuLibraryLoadData)(km_cu_library *out, const void *image, void *, void *, unsigned,
                             void *, void *, unsigned);
    int (*cuLibraryGetKernel)(km_cu_kernel *out, km_cu_library library, const char *name);
    int (*cuKernelGetFunction)(km_cu_function *out, km_cu_kernel kernel);
    int (*cuKernelSetAttribute)(int attribute, int value, km_cu_kernel kernel, int device);
    int (*cuThreadExchangeStreamCaptureMode)(int *mode);
    int (*cuLaunchKernelEx)(const km_cu_config *config, km_cu_function function, void **arguments,
                            void **extra);
} km_cu_driver;

#endif
