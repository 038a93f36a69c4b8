// bench/driver.h against NVIDIA's cuda.h: codes, the layout of a kernel node, and the type of each
// function. test_upstream.py compiles this file, and checks that a difference is found.
#include <cstddef>
#include <type_traits>

#define __CUDA_API_VERSION_INTERNAL // every name stands for itself, old versions among them
#include <cuda.h>

// Our handles are NVIDIA's.
#define km_cu_stream_s   CUstream_st
#define km_cu_library_s  CUlib_st
#define km_cu_kernel_s   CUkern_st
#define km_cu_function_s CUfunc_st
#define km_cu_context_s  CUctx_st
#define km_cu_module_s   CUmod_st
#define km_cu_event_s    CUevent_st
#define km_cu_graph_s    CUgraph_st
#define km_cu_node_s     CUgraphNode_st
#define km_cu_exec_s     CUgraphExec_st
#include <kernmill/cuda.h>

namespace ours_declared
{ // not extern "C": the same names with other types are no error here
#include "bench/driver.h"
}
using namespace ours_declared;

#include "upstream_types.h"

template <> struct ours<CUDA_KERNEL_NODE_PARAMS_v2> {
    using type = km_cu_kernel_node;
};

// uint64_t is unsigned long here, NVIDIA's 64-bit words are unsigned long long: the same to a call.
template <class T> struct word {
    using type = T;
};
template <> struct word<unsigned long long> {
    using type = unsigned long;
};
template <class T> struct word<T *> {
    using type = typename word<T>::type *;
};
template <class T> using word_t = typename word<T>::type;

template <class Ours, class Theirs>
constexpr bool fits = std::is_same_v<word_t<Ours>, word_t<typename ours<Theirs>::type>>;

template <class R, class... A, class S, class... B> constexpr bool same(R (*)(A...), S (*)(B...))
{
    if constexpr (sizeof...(A) != sizeof...(B))
        return false;
    else
        return fits<R, S> && (fits<A, B> && ...);
}

#define FUNCTION(name) static_assert(same(&ours_declared::name, &::name), #name);
KM_DRIVER_FUNCTIONS(FUNCTION)
KM_DRIVER_NEWER_FUNCTIONS(FUNCTION)

#define CODE(ours, theirs) static_assert(int(ours) == int(theirs), #ours);
CODE(KM_CU_DEVICE_MEMORY_CLOCK_KHZ, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)
CODE(KM_CU_DEVICE_MEMORY_BUS_BITS, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)
CODE(KM_CU_DEVICE_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)
CODE(KM_CU_LIMIT_PERSISTING_L2, CU_LIMIT_PERSISTING_L2_CACHE_SIZE)
CODE(KM_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING)
CODE(KM_CU_NODE_KERNEL, CU_GRAPH_NODE_TYPE_KERNEL)
CODE(KM_CU_NODE_MEMCPY, CU_GRAPH_NODE_TYPE_MEMCPY)
CODE(KM_CU_NODE_MEMSET, CU_GRAPH_NODE_TYPE_MEMSET)
CODE(KM_CU_NODE_HOST, CU_GRAPH_NODE_TYPE_HOST)

#define FIELD(our_field, their_field)                                                              \
    static_assert(offsetof(km_cu_kernel_node, our_field) ==                                        \
                          offsetof(CUDA_KERNEL_NODE_PARAMS_v2, their_field) &&                     \
                      sizeof(km_cu_kernel_node::our_field) ==                                      \
                          sizeof(CUDA_KERNEL_NODE_PARAMS_v2::their_field),                         \
                  #our_field);
static_assert(sizeof(km_cu_kernel_node) == sizeof(CUDA_KERNEL_NODE_PARAMS_v2), "km_cu_kernel_node");
FIELD(function, func)
FIELD(grid_x, gridDimX)
FIELD(grid_y, gridDimY)
FIELD(grid_z, gridDimZ)
FIELD(block_x, blockDimX)
FIELD(block_y, blockDimY)
FIELD(block_z, blockDimZ)
FIELD(shared_bytes, sharedMemBytes)
FIELD(arguments, kernelParams)
FIELD(extra, extra)
FIELD(kernel, kern)
FIELD(context, ctx)
