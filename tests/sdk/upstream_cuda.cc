// kernmill/cuda.h against NVIDIA's cuda.h: codes, layouts, and the type of each function.
// Enumerations are int to us, and pointers that we always pass as NULL are void *. test_upstream.py
// compiles this file, and checks that a difference is found.
#include <cstddef>
#include <string_view>
#include <type_traits>

#include <cuda.h>

// Our handles are NVIDIA's.
#define km_cu_stream_s   CUstream_st
#define km_cu_library_s  CUlib_st
#define km_cu_kernel_s   CUkern_st
#define km_cu_function_s CUfunc_st
#define km_cu_context_s  CUctx_st
#include <kernmill/cuda.h>

#include "upstream_types.h"

template <class Ours, class Theirs>
constexpr bool fits = std::is_same_v<Ours, typename ours<Theirs>::type> ||
                      (std::is_same_v<Ours, void *> && std::is_pointer_v<Theirs>);

template <class R, class... A, class S, class... B> constexpr bool same(R (*)(A...), S (*)(B...))
{
    if constexpr (sizeof...(A) != sizeof...(B))
        return false;
    else
        return fits<R, S> && (fits<A, B> && ...);
}

// The name that dlsym is given must be the name behind NVIDIA's macro (some stand for name_v2).
#define TEXT(x)   #x
#define SYMBOL(x) TEXT(x)
#define EACH(CHECK)                                                                                \
    CHECK(cuGetErrorName)                                                                          \
    CHECK(cuGetErrorString)                                                                        \
    CHECK(cuDeviceGetAttribute)                                                                    \
    CHECK(cuDevicePrimaryCtxRetain)                                                                \
    CHECK(cuCtxGetCurrent)                                                                         \
    CHECK(cuCtxSetCurrent)                                                                         \
    CHECK(cuLibraryLoadData)                                                                       \
    CHECK(cuLibraryGetKernel)                                                                      \
    CHECK(cuKernelGetFunction)                                                                     \
    CHECK(cuKernelSetAttribute)                                                                    \
    CHECK(cuThreadExchangeStreamCaptureMode)                                                       \
    CHECK(cuLaunchKernelEx)
#define ONE(function) +1
#define FUNCTION(function)                                                                         \
    static_assert(std::string_view(#function) == SYMBOL(function), #function);                     \
    static_assert(                                                                                 \
        same(decltype(km_cu_driver::function)(nullptr), decltype (&::function)(nullptr)),          \
        #function);
EACH(FUNCTION)
static_assert(sizeof(km_cu_driver) == (0 EACH(ONE)) * sizeof(void *), "a function is not compared");

#define CODE(ours, theirs) static_assert(int(ours) == int(theirs), #ours);
CODE(0, CUDA_SUCCESS)
CODE(KM_CU_ERROR_NO_BINARY, CUDA_ERROR_NO_BINARY_FOR_GPU)
CODE(KM_CU_CAPTURE_RELAXED, CU_STREAM_CAPTURE_MODE_RELAXED)
CODE(KM_CU_DEVICE_SM_COUNT, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
CODE(KM_CU_DEVICE_CC_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
CODE(KM_CU_DEVICE_CC_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
CODE(KM_CU_DEVICE_SHARED_OPTIN, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
CODE(KM_CU_FUNCTION_SHARED_DYNAMIC, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
CODE(KM_CU_FUNCTION_CLUSTER_NONPORTABLE, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED)
CODE(KM_CU_LAUNCH_CLUSTER, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
CODE(KM_CU_LAUNCH_PROGRAMMATIC, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)

#define FIELD(our_struct, our_field, their_struct, their_field)                                    \
    static_assert(offsetof(our_struct, our_field) == offsetof(their_struct, their_field) &&        \
                      sizeof(our_struct::our_field) == sizeof(their_struct::their_field),          \
                  #our_field);
#define CONFIG(our_field, their_field) FIELD(km_cu_config, our_field, CUlaunchConfig, their_field)
static_assert(sizeof(km_cu_config) == sizeof(CUlaunchConfig), "km_cu_config");
CONFIG(grid_x, gridDimX)
CONFIG(grid_y, gridDimY)
CONFIG(grid_z, gridDimZ)
CONFIG(block_x, blockDimX)
CONFIG(block_y, blockDimY)
CONFIG(block_z, blockDimZ)
CONFIG(shared_bytes, sharedMemBytes)
CONFIG(stream, hStream)
CONFIG(attributes, attrs)
CONFIG(attribute_count, numAttrs)

static_assert(sizeof(km_cu_attribute) == sizeof(CUlaunchAttribute), "km_cu_attribute");
FIELD(km_cu_attribute, id, CUlaunchAttribute, id)
FIELD(km_cu_attribute, value, CUlaunchAttribute, value)
FIELD(km_cu_attribute, value.programmatic, CUlaunchAttribute,
      value.programmaticStreamSerializationAllowed)
FIELD(km_cu_attribute, value.cluster, CUlaunchAttribute, value.clusterDim)
FIELD(km_cu_attribute, value.cluster.y, CUlaunchAttribute, value.clusterDim.y)
FIELD(km_cu_attribute, value.cluster.z, CUlaunchAttribute, value.clusterDim.z)
