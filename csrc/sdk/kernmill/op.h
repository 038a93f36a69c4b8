/* kernmill/op.h: PyTorch operators in plain C.
 *
 * An operator library is a table of schemas and functions:
 *
 *     #include <kernmill/op.h>
 *
 *     static int scale(km_call *c)
 *     {
 *         const km_tensor *x = km_arg_tensor(c, 0);
 *         double factor = km_arg_float(c, 1);
 *
 *         KM_EXPECT(c, 0, x->dtype == KM_FLOAT32, "a float32 tensor");
 *         x = km_contiguous(c, x);
 *         km_tensor *y = x ? km_empty_like(c, x) : NULL;
 *         if (!y)
 *             return KM_FAILED;
 *         for (int64_t i = 0; i < x->numel; i++)
 *             ((float *)y->data)[i] = (float)factor * ((const float *)x->data)[i];
 *         return km_return(c, 0, y);
 *     }
 *     KM_KERNEL(scale)
 *
 *     static const km_op ops[] = {
 *         { "scale(Tensor x, float factor) -> Tensor", .cpu = &scale_kernel },
 *     };
 *     KM_OPS(ops)
 *
 * Loading the library (torch.ops.load_library, or dlopen after torch) registers the table under the
 * namespace that the build gives (KM_NAMESPACE, or a linked `const char km_namespace[]`).
 *
 * Ownership. Every tensor of a call (arguments, new tensors, copies) belongs to the call and is
 * freed when the function returns, in success and in failure; what was passed to km_return lives
 * on. A function never frees a tensor and never throws.
 *
 * Errors. A function returns 0, or KM_FAILED after km_error (KM_EXPECT and the functions below call
 * it). Python then sees a RuntimeError whose text is "namespace::op: " and the message, verbatim.
 * The first message is kept. Argument functions never fail visibly: one that was asked for the
 * wrong type records an error and gives a zero value, and the call fails when the function returns.
 *
 * Devices. All tensors of a call are on one device (checked before the function is entered); on
 * CUDA that device is current while the function runs. See launch.h. A call without any tensor has
 * no device, and torch refuses it.
 *
 * Aliasing. Arguments may share memory with each other, and so may the elements of one of them: a
 * function that writes checks what it relies on.
 *
 * Schemas. torch's own grammar, with these types: Tensor, int (SymInt), float, bool, str,
 * ScalarType, Device, and lists of Tensor, int, float and bool, each also optional ("int[]?").
 * Results are Tensors or "()". An argument that is written to is declared: "Tensor(a!) out". Names
 * have at most 63 bytes. Anything else is refused when the library is loaded (see km_status).
 *
 * Threads. A function may run on any thread and on several at once; it keeps no state.
 */
#ifndef KERNMILL_OP_H
#define KERNMILL_OP_H

#include <stdarg.h>

#include "kernmill/tensor.h"
#include "kernmill/version.h"

#define KM_ARGS_MAX         24   /* arguments of one operator */
#define KM_RETURNS_MAX      8    /* results of one operator */
#define KM_TENSORS_MAX      32   /* tensors of one call: arguments, results, copies */
#define KM_DIMS_MAX         32   /* dimensions of a new tensor */
#define KM_LIST_ITEMS_MAX   64   /* numbers in all list arguments of one call */
#define KM_CALL_ERROR_BYTES 1024 /* the longest message, namespace and operator included */
#define KM_FAILED           (-1)

typedef struct km_call km_call;

/* A kernel: the C function and the entry torch calls. One kernel serves one operator. */
typedef struct km_kernel {
    int (*run)(km_call *c);
    void (*boxed)(km_slot *stack, uint64_t args, uint64_t results);
    const struct km_signature *signature; /* filled when the library is loaded */
} km_kernel;

/* A row of the table. A device without a kernel is left out; torch then says so by itself. */
typedef struct {
    const char *schema;
    km_kernel *cpu;
    km_kernel *cuda;
} km_op;

/* After the definition of `static int function(km_call *c)`: makes `function_kernel` for the table.
 * KM_KERNEL_AS makes `name_kernel`, another kernel of the same function for another operator. */
#define KM_KERNEL(function) KM_KERNEL_AS(function, function)
#define KM_KERNEL_AS(name, function)                                                               \
    static km_kernel name##_kernel;                                                                \
    static void name##_boxed(km_slot *stack, uint64_t args, uint64_t results)                      \
    {                                                                                              \
        km_call_run(&name##_kernel, stack, args, results);                                         \
    }                                                                                              \
    static km_kernel name##_kernel = { function, name##_boxed, NULL };

/* Once in a library: registers `table` when the library is loaded, and exports
 *     int km_status(void);               0, or the number of the step that failed
 *     const char *km_status_text(void);  "" or what failed
 * because a constructor cannot raise and load_library stays silent. */
#define KM_OPS(table)                                                                              \
    static struct km_signature km_signatures[sizeof(table) / sizeof(table)[0]];                    \
    __attribute__((visibility("default"))) int km_status(void);                                    \
    __attribute__((visibility("default"))) const char *km_status_text(void);                       \
    int km_status(void)                                                                            \
    {                                                                                              \
        return km_load_state.failed_step;                                                          \
    }                                                                                              \
    const char *km_status_text(void)                                                               \
    {                                                                                              \
        return km_load_state.text;                                                                 \
    }                                                                                              \
    __attribute__((constructor)) static void km_register_table(void)                               \
    {                                                                                              \
        km_register(table, km_signatures, sizeof(table) / sizeof(table)[0]);                       \
    }

/* ---- arguments, by their position in the schema; None reads as zero, "", or an empty list ---- */

/* A required tensor. Never NULL. */
static inline const km_tensor *km_arg_tensor(km_call *c, int i);
/* A "Tensor?": NULL when None was passed. */
static inline const km_tensor *km_arg_optional(km_call *c, int i);
static inline int64_t km_arg_int(km_call *c, int i);
static inline double km_arg_float(km_call *c, int i);
static inline bool km_arg_bool(km_call *c, int i);
/* Terminated (what follows a NUL is cut); valid until the function returns. */
static inline const char *km_arg_text(km_call *c, int i);
/* A "ScalarType": KM_DTYPE_UNKNOWN for None and for one that km_dtype does not name. */
static inline km_dtype km_arg_dtype(km_call *c, int i);
/* A "Device": its type, KM_DEVICE_OTHER for None, and its index, -1 when it has none ("cuda"). */
static inline km_device_type km_arg_device(km_call *c, int i, int32_t *index);
/* Whether an optional argument of any type was passed. */
static inline bool km_arg_given(km_call *c, int i);
/* Lists: the items (NULL for none; a bool is 0 or 1) and how many; valid until the function
 * returns. */
static inline const int64_t *km_arg_ints(km_call *c, int i, size_t *count);
static inline const double *km_arg_floats(km_call *c, int i, size_t *count);
static inline const int64_t *km_arg_bools(km_call *c, int i, size_t *count);
static inline const km_tensor *km_arg_tensors(km_call *c, int i, size_t *count);

/* ---- errors ---- */

/* Records the message and returns KM_FAILED. */
KM_OUTLINED int km_error(km_call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "argument 'weight': expected <format>, got float32[4095] on cpu"; returns KM_FAILED. */
KM_OUTLINED int km_bad_argument(km_call *c, int i, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether a "str" argument is `yes`; anything but `yes` and `no` is an error that names both. */
KM_OUTLINED int km_arg_choice(km_call *c, int i, const char *yes, const char *no, bool *out);

/* Leaves the function with that error unless `condition` holds. */
#define KM_EXPECT(c, i, condition, ...)                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return km_bad_argument(c, i, __VA_ARGS__);                                             \
    } while (0)

/* ---- new tensors: NULL (with the error recorded) when torch has no memory ---- */

/* Contiguous, not initialised, on the device of `like`. */
KM_OUTLINED km_tensor *km_empty(km_call *c, int64_t ndim, const int64_t *sizes, km_dtype dtype,
                                const km_tensor *like);
/* The same with `strides` of the caller's, in elements: at least 0, for any order of the dimensions
 * and for gaps between rows. Where they lead several indices to one element, that is shared. */
KM_OUTLINED km_tensor *km_empty_strided(km_call *c, int64_t ndim, const int64_t *sizes,
                                        const int64_t *strides, km_dtype dtype,
                                        const km_tensor *like);
/* Strides of a contiguous tensor into `strides`, which has room for one at least. 0 or KM_FAILED.
 */
KM_OUTLINED int km_dense_strides(km_call *c, int64_t ndim, const int64_t *sizes, int64_t *strides);
/* Contiguous, not initialised, with the sizes, dtype and device of `like`. */
static inline km_tensor *km_empty_like(km_call *c, const km_tensor *like);
/* `t` itself when it is contiguous, else a contiguous copy. */
KM_OUTLINED const km_tensor *km_contiguous(km_call *c, const km_tensor *t);
/* Copies `from` into `to`, which is writable (same sizes; dtypes are converted). 0 or KM_FAILED. */
KM_OUTLINED int km_copy(km_call *c, const km_tensor *to, const km_tensor *from);
/* Fills `t`, which is writable, with zeros. 0 or KM_FAILED. */
KM_OUTLINED int km_zero(km_call *c, const km_tensor *t);
/* `t` as rows of its last dimension, to be read: by a contiguous copy when its layout has no
 * constant row stride. 0 or KM_FAILED. */
KM_OUTLINED int km_rows_of(km_call *c, const km_tensor *t, km_rows *out);
/* Rows of argument `i`, a tensor that is written to. One whose rows have no constant stride is
 * written through a contiguous *copy, which the caller copies back with km_copy; NULL: there is
 * none. An empty tensor has no rows. Fails when elements share memory. */
KM_OUTLINED int km_rows_into(km_call *c, int i, const km_tensor *t, km_rows *out, km_tensor **copy);

/* How many results the schema has. */
static inline int km_result_count(const km_call *c);

/* Makes `t` result `i`. The same tensor may be returned once only; an argument only where the
 * schema says so ("-> Tensor(a!)"), since torch.compile takes other results for new memory. 0 or
 * KM_FAILED. */
KM_OUTLINED int km_return(km_call *c, int i, const km_tensor *t);

/* ---- what follows is how it is done ---- */

#include "kernmill/detail/arguments.h"
#include "kernmill/detail/call.h"
#include "kernmill/detail/register.h"
#include "kernmill/detail/schema.h"
#include "kernmill/detail/tensors.h"

#endif
