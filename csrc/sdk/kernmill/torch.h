/* kernmill/torch.h: LibTorch's stable C functions, declared as C.
 *
 * Torch's own headers for these functions are C++; the symbols are not. Each prototype here is
 * compiled against upstream's in tests/sdk, so a difference is a compile error there.
 *
 * Rules that hold for all of them (torch/csrc/stable/c/shim.h,
 * torch/csrc/inductor/aoti_torch/c/shim.h):
 *   - int32_t results are 0 for success; the text of a failure can be read from torch 2.13 on.
 *   - A handle that comes back through a pointer is new and owned by the caller, unless the line
 *     says "borrowed". Handles passed in are borrowed.
 *   - Sizes and strides are in elements.
 *   - Functions under "newer" are weak: NULL in a torch that lacks them, so test before calling.
 *
 * You seldom call these yourself: tensor.h and op.h do.
 */
#ifndef KERNMILL_TORCH_H
#define KERNMILL_TORCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t km_slot; /* StableIValue: one argument or result, encoded by its schema type */

#ifdef KM_UPSTREAM_TYPES /* tests/sdk: our prototypes with upstream's handle types */
typedef AtenTensorHandle km_torch_tensor;
typedef TorchLibraryHandle km_torch_library;
typedef StableListHandle km_torch_list;
typedef StringHandle km_torch_string;
typedef DeviceGuardHandle km_torch_guard;
#else
typedef struct km_torch_tensor_s *km_torch_tensor;
typedef struct km_torch_library_s *km_torch_library;
typedef struct km_torch_list_s *km_torch_list;
typedef struct km_torch_string_s *km_torch_string;
typedef struct km_torch_guard_s *km_torch_guard;
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Codes of dtypes and devices are asked for at run time, never compiled in. */
int32_t aoti_torch_dtype_float64(void);
int32_t aoti_torch_dtype_float32(void);
int32_t aoti_torch_dtype_float16(void);
int32_t aoti_torch_dtype_bfloat16(void);
int32_t aoti_torch_dtype_float8_e4m3fn(void);
int32_t aoti_torch_dtype_float8_e5m2(void);
int32_t aoti_torch_dtype_int64(void);
int32_t aoti_torch_dtype_int32(void);
int32_t aoti_torch_dtype_int16(void);
int32_t aoti_torch_dtype_int8(void);
int32_t aoti_torch_dtype_uint8(void);
int32_t aoti_torch_dtype_bool(void);
int32_t aoti_torch_device_type_cpu(void);
int32_t aoti_torch_device_type_cuda(void);
uint64_t aoti_torch_abi_version(void);

/* Tensors. */
int32_t aoti_torch_empty_strided(int64_t ndim, const int64_t *sizes, const int64_t *strides,
                                 int32_t dtype, int32_t device_type, int32_t device_index,
                                 km_torch_tensor *out);
int32_t aoti_torch_new_tensor_handle(km_torch_tensor tensor, km_torch_tensor *out);
int32_t aoti_torch_delete_tensor_object(km_torch_tensor tensor);
int32_t aoti_torch_copy_(km_torch_tensor to, km_torch_tensor from, int32_t non_blocking);
int32_t aoti_torch_zero_(km_torch_tensor tensor);
int32_t aoti_torch_get_dtype(km_torch_tensor tensor, int32_t *out);
int32_t aoti_torch_get_device_type(km_torch_tensor tensor, int32_t *out);
int32_t aoti_torch_get_device_index(km_torch_tensor tensor, int32_t *out);
int32_t aoti_torch_get_dim(km_torch_tensor tensor, int64_t *out);
int32_t aoti_torch_get_numel(km_torch_tensor tensor, int64_t *out);
int32_t aoti_torch_get_sizes(km_torch_tensor tensor, int64_t **out);        /* borrowed */
int32_t aoti_torch_get_strides(km_torch_tensor tensor, int64_t **out);      /* borrowed */
int32_t torch_get_const_data_ptr(km_torch_tensor tensor, const void **out); /* borrowed */
int32_t torch_get_mutable_data_ptr(km_torch_tensor tensor, void **out);     /* borrowed */

/* Lists and strings, as they arrive in slots; deleting a list leaves its elements alone. */
int32_t torch_list_size(km_torch_list list, size_t *out);
int32_t torch_list_get_item(km_torch_list list, size_t index, km_slot *out);
int32_t torch_delete_list(km_torch_list list);
int32_t torch_string_length(km_torch_string string, size_t *out);
int32_t torch_string_c_str(km_torch_string string, const char **out); /* borrowed */
int32_t torch_delete_string(km_torch_string string);

/* Registration. `version` is the torch whose conventions the caller was written for. */
int32_t aoti_torch_library_init_fragment(const char *ns, const char *file, uint32_t line,
                                         km_torch_library *out);
int32_t aoti_torch_library_init_impl(const char *ns, const char *key, const char *file,
                                     uint32_t line, km_torch_library *out);
int32_t aoti_torch_library_def(km_torch_library library, const char *schema);
int32_t torch_library_impl(km_torch_library library, const char *name,
                           void (*boxed)(km_slot *, uint64_t, uint64_t), uint64_t version);

/* Throws a C++ exception when `ok` is false: the frames between here and torch need unwind tables
 * (-fexceptions), and nothing may be owned by them any more. */
void aoti_torch_check(bool ok, const char *function, const char *file, uint32_t line,
                      const char *message);

/* Devices and threads. Grad mode is the calling thread's: whether operators are recorded. */
bool aoti_torch_grad_mode_is_enabled(void);
void aoti_torch_grad_mode_set_enabled(bool enabled);
int32_t aoti_torch_create_device_guard(int32_t device_index, km_torch_guard *out);
int32_t aoti_torch_delete_device_guard(km_torch_guard guard);
int32_t torch_parallel_for(int64_t begin, int64_t end, int64_t grain,
                           void (*body)(int64_t begin, int64_t end, void *context), void *context);
int32_t torch_get_num_threads(uint32_t *out);

/* Newer. */
#pragma weak torch_exception_get_what_without_backtrace
const char *torch_exception_get_what_without_backtrace(void); /* 2.13; borrowed */
#pragma weak torch_delete_stable_ivalue
int32_t torch_delete_stable_ivalue(km_slot *cell); /* 2.13 */

/* libstdc++'s operator delete, which frees an optional's cell where the function above is absent.
 */
#ifndef __cplusplus
#pragma weak _ZdlPv
void _ZdlPv(void *);
#endif

#ifdef __cplusplus
}
#endif

#endif
