/* bench/torch_host.h: torch inside a C program, with no Python in the process: libtorch_cpu of an
 * installed torch is opened, libraries of operators are loaded beside it, and operators are called
 * by name. An operator's arguments are encoded by the schema that the suite states.
 *
 * One torch a process; it is never closed; one GPU at most. Not for several threads. */
#ifndef KERNMILL_BENCH_TORCH_HOST_H
#define KERNMILL_BENCH_TORCH_HOST_H

#include <kernmill/torch.h>

#include "bench/images.h"
#include "core/arena.h"

struct km_signature;
struct km_callables;

/* What a caller of operators needs beyond kernmill/torch.h
 * (torch/csrc/stable/c/shim.h). The dispatcher replaces the arguments in `stack`, which it
 * consumes, by the results, which are the caller's. */
int32_t torch_call_dispatcher(const char *name, const char *overload, km_slot *stack,
                              uint64_t version);
int32_t torch_new_string_handle(const char *data, size_t length, km_torch_string *out);
int32_t torch_new_list_reserve_size(size_t size, km_torch_list *out);
int32_t torch_list_push_back(km_torch_list list, km_slot element);
int32_t aoti_torch_device_type_cuda(void);
int32_t aoti_torch_create_tensor_from_blob(void *data, int64_t ndim, const int64_t *sizes,
                                           const int64_t *strides, int64_t offset, int32_t dtype,
                                           int32_t device_type, int32_t device_index,
                                           km_torch_tensor *out);

/* Of libtorch_cuda: while a guard lives, it is the stream that operators of this thread run on. */
typedef struct km_torch_guard_s *km_torch_guard;
int32_t aoti_torch_create_cuda_stream_guard(void *stream, int32_t device, km_torch_guard *out);
int32_t aoti_torch_delete_cuda_stream_guard(km_torch_guard guard);

#define KM_TORCH_HOST_FUNCTIONS(X)                                                                 \
    X(aoti_torch_dtype_float64)                                                                    \
    X(aoti_torch_dtype_float32)                                                                    \
    X(aoti_torch_dtype_float16)                                                                    \
    X(aoti_torch_dtype_bfloat16)                                                                   \
    X(aoti_torch_dtype_int64)                                                                      \
    X(aoti_torch_dtype_int32)                                                                      \
    X(aoti_torch_dtype_int16)                                                                      \
    X(aoti_torch_dtype_int8)                                                                       \
    X(aoti_torch_dtype_uint8)                                                                      \
    X(aoti_torch_dtype_bool)                                                                       \
    X(aoti_torch_device_type_cpu)                                                                  \
    X(aoti_torch_abi_version)                                                                      \
    X(aoti_torch_device_type_cuda)                                                                 \
    X(aoti_torch_create_tensor_from_blob)                                                          \
    X(aoti_torch_empty_strided)                                                                    \
    X(aoti_torch_new_tensor_handle)                                                                \
    X(aoti_torch_delete_tensor_object)                                                             \
    X(aoti_torch_get_dtype)                                                                        \
    X(aoti_torch_get_dim)                                                                          \
    X(aoti_torch_get_numel)                                                                        \
    X(aoti_torch_get_sizes)                                                                        \
    X(aoti_torch_get_strides)                                                                      \
    X(torch_get_mutable_data_ptr)                                                                  \
    X(aoti_torch_grad_mode_set_enabled)                                                            \
    X(torch_get_num_threads)                                                                       \
    X(torch_call_dispatcher)                                                                       \
    X(torch_new_string_handle)                                                                     \
    X(torch_new_list_reserve_size)                                                                 \
    X(torch_list_push_back)

typedef struct {
    void *library;
#define KM_FIELD(name) __typeof__(name) *(name);
    KM_TORCH_HOST_FUNCTIONS(KM_FIELD)
#undef KM_FIELD
    __typeof__(aoti_torch_create_cuda_stream_guard) *create_guard; /* with a GPU alone */
    __typeof__(aoti_torch_delete_cuda_stream_guard) *delete_guard;
    const struct km_callables *callables; /* Python's (bench/callables.h); NULL: no Python */
    km_images images;                     /* of the libraries that are loaded, with a GPU */
    km_gpu *gpu;                          /* where tensors are made; NULL: in the CPU's memory */
    const char *(*what)(void);            /* why the last call failed; NULL before torch 2.13 */
    void *(*new_cell)(size_t size);       /* libstdc++'s operator new, for optional arguments */
    unsigned version_major, version_minor;
} km_torch;

/* Opens `folder`/lib/libtorch_cpu.so, with a GPU libtorch_cuda.so, too, and turns the recording of
 * gradients off. Errors: KM_EENV. */
int km_torch_open(km_torch *t, const char *folder, km_gpu *gpu, km_err *err);

/* Loads a library of operators. Errors: KM_EENV with the loader's reason; KM_EFORMAT when its table
 * was refused (km_status). */
int km_torch_load(km_torch *t, const char *path, km_err *err);

#define KM_DIMENSIONS_MAX 16

/* How a tensor lies in memory. */
typedef struct {
    int64_t ndim, sizes[KM_DIMENSIONS_MAX], strides[KM_DIMENSIONS_MAX]; /* in elements */
} km_layout;

/* Elements from the first to the last, gaps included; 0 where a size is. */
uint64_t km_layout_extent(int64_t ndim, const int64_t *sizes, const int64_t *strides);

/* A new tensor on t->gpu or the CPU: in memory of torch's, which is not initialised, or in the
 * caller's at `data`, which must outlive it. Errors: KM_EENV when there is no memory for it. */
int km_torch_empty(const km_torch *t, const km_layout *layout, int dtype, void *data,
                   km_torch_tensor *out, km_err *err);

/* Makes torch give back the GPU memory that it keeps for later. */
void km_torch_trim(const km_torch *t);

/* The km_dtype of a tensor; 0 for one that has no name here. */
int km_torch_dtype(const km_torch *t, km_torch_tensor tensor);

/* torch's own code of a km_dtype. */
int32_t km_torch_dtype_code(const km_torch *t, int dtype);

/* Calls `name` ("ns::op") with that overload ("" for the only one), whose encoded arguments `stack`
 * holds; the results take their place. Errors: KM_ECHILD with torch's text. */
int km_torch_call(const km_torch *t, const char *name, const char *overload, km_slot *stack,
                  km_err *err);

#endif
