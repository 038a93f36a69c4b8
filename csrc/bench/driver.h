/* bench/driver.h: the part of the CUDA driver's interface that a measurement needs, declared by us
 * and opened by name: kernmill is built without CUDA and starts without a driver. Functions return
 * 0 for success. The names are those that the driver exports; tests/sdk compares the declarations
 * with NVIDIA's. */
#ifndef KERNMILL_BENCH_DRIVER_H
#define KERNMILL_BENCH_DRIVER_H

#include <kernmill/cuda.h>
#include <stddef.h>

typedef struct km_cu_module_s *km_cu_module;
typedef struct km_cu_event_s *km_cu_event;
typedef struct km_cu_graph_s *km_cu_graph;
typedef struct km_cu_node_s *km_cu_node;
typedef struct km_cu_exec_s *km_cu_exec;

enum {
    KM_CU_DEVICE_MEMORY_CLOCK_KHZ = 36,
    KM_CU_DEVICE_MEMORY_BUS_BITS = 37,
    KM_CU_DEVICE_L2_BYTES = 38,
    KM_CU_LIMIT_PERSISTING_L2 = 6,
    KM_CU_STREAM_NON_BLOCKING = 1,
    KM_CU_NODE_KERNEL = 0,
    KM_CU_NODE_MEMCPY = 1,
    KM_CU_NODE_MEMSET = 2,
    KM_CU_NODE_HOST = 3
};

/* CUDA_KERNEL_NODE_PARAMS_v2 */
typedef struct {
    km_cu_function function;
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    void **arguments;
    void **extra;
    km_cu_kernel kernel;
    km_cu_context context;
} km_cu_kernel_node;

int cuInit(unsigned flags);
int cuGetErrorName(int code, const char **name);
int cuDeviceGet(int *device, int ordinal);
int cuDeviceGetName(char *name, int size, int device);
int cuDeviceGetPCIBusId(char *id, int size, int device);
int cuDeviceGetAttribute(int *out, int attribute, int device);
int cuDevicePrimaryCtxRetain(km_cu_context *out, int device);
int cuDriverGetVersion(int *version);
int cuCtxSetCurrent(km_cu_context context);
int cuCtxSynchronize(void);
int cuCtxResetPersistingL2Cache(void);
int cuCtxGetLimit(size_t *out, int limit);
int cuCtxSetLimit(int limit, size_t value);
int cuModuleLoadData(km_cu_module *out, const void *image);
int cuModuleGetFunction(km_cu_function *out, km_cu_module module, const char *name);
int cuMemAlloc_v2(uint64_t *out, size_t bytes);
int cuMemFree_v2(uint64_t address);
int cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes);
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, km_cu_stream stream);
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, km_cu_stream stream);
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, km_cu_stream stream);
int cuMemsetD8Async(uint64_t address, unsigned char value, size_t bytes, km_cu_stream stream);
int cuStreamCreate(km_cu_stream *out, unsigned flags);
int cuStreamDestroy_v2(km_cu_stream stream);
int cuStreamSynchronize(km_cu_stream stream);
int cuStreamBeginCapture_v2(km_cu_stream stream, int mode);
int cuStreamEndCapture(km_cu_stream stream, km_cu_graph *out);
int cuStreamGetCaptureInfo_v2(km_cu_stream stream, int *status, uint64_t *id, km_cu_graph *graph,
                              const km_cu_node **dependencies, size_t *count);
int cuEventCreate(km_cu_event *out, unsigned flags);
int cuEventDestroy_v2(km_cu_event event);
int cuEventRecord(km_cu_event event, km_cu_stream stream);
int cuEventElapsedTime(float *ms, km_cu_event start, km_cu_event end);
int cuGraphGetNodes(km_cu_graph graph, km_cu_node *out, size_t *count);
int cuGraphNodeGetType(km_cu_node node, int *type);
int cuGraphKernelNodeGetParams_v2(km_cu_node node, km_cu_kernel_node *out);
int cuGraphNodeSetEnabled(km_cu_exec exec, km_cu_node node, unsigned enabled);
int cuGraphInstantiateWithFlags(km_cu_exec *out, km_cu_graph graph, unsigned long long flags);
int cuGraphLaunch(km_cu_exec exec, km_cu_stream stream);
int cuGraphDestroy(km_cu_graph graph);
int cuGraphExecDestroy(km_cu_exec exec);
int cuFuncGetName(const char **name, km_cu_function function);
int cuKernelGetName(const char **name, km_cu_kernel kernel);
int cuLaunchKernelEx(const km_cu_config *config, km_cu_function function, void **arguments,
                     void **extra);

#define KM_DRIVER_FUNCTIONS(X)                                                                     \
    X(cuInit)                                                                                      \
    X(cuGetErrorName)                                                                              \
    X(cuDeviceGet)                                                                                 \
    X(cuDeviceGetName)                                                                             \
    X(cuDeviceGetPCIBusId)                                                                         \
    X(cuDeviceGetAttribute)                                                                        \
    X(cuDevicePrimaryCtxRetain)                                                                    \
    X(cuDriverGetVersion)                                                                          \
    X(cuCtxSetCurrent)                                                                             \
    X(cuCtxSynchronize)                                                                            \
    X(cuCtxResetPersistingL2Cache)                                                                 \
    X(cuCtxGetLimit)                                                                               \
    X(cuCtxSetLimit)                                                                               \
    X(cuModuleLoadData)                                                                            \
    X(cuModuleGetFunction)                                                                         \
    X(cuMemAlloc_v2)                                                                               \
    X(cuMemFree_v2)                                                                                \
    X(cuMemGetInfo_v2)                                                                             \
    X(cuMemcpyDtoHAsync_v2)                                                                        \
    X(cuMemcpyHtoDAsync_v2)                                                                        \
    X(cuMemcpyDtoDAsync_v2)                                                                        \
    X(cuMemsetD8Async)                                                                             \
    X(cuStreamCreate)                                                                              \
    X(cuStreamDestroy_v2)                                                                          \
    X(cuStreamSynchronize)                                                                         \
    X(cuStreamBeginCapture_v2)                                                                     \
    X(cuStreamEndCapture)                                                                          \
    X(cuStreamGetCaptureInfo_v2)                                                                   \
    X(cuEventCreate)                                                                               \
    X(cuEventDestroy_v2)                                                                           \
    X(cuEventRecord)                                                                               \
    X(cuEventElapsedTime)                                                                          \
    X(cuGraphGetNodes)                                                                             \
    X(cuGraphNodeGetType)                                                                          \
    X(cuGraphKernelNodeGetParams_v2)                                                               \
    X(cuGraphNodeSetEnabled)                                                                       \
    X(cuGraphInstantiateWithFlags)                                                                 \
    X(cuGraphLaunch)                                                                               \
    X(cuGraphDestroy)                                                                              \
    X(cuGraphExecDestroy)                                                                          \
    X(cuLaunchKernelEx)

/* Since 12.3: NULL before. */
#define KM_DRIVER_NEWER_FUNCTIONS(X)                                                               \
    X(cuFuncGetName)                                                                               \
    X(cuKernelGetName)

#endif
