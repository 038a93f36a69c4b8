/* kernmill/detail/register.h: what happens when the library is loaded. Nothing here can raise: a
 * step that fails is kept for km_status, and the steps after it are not tried. */
#include "kernmill/op.h" /* the header that this one is a part of */

#ifndef KERNMILL_DETAIL_REGISTER_H
#define KERNMILL_DETAIL_REGISTER_H

#include "kernmill/detail/call.h"

struct km_load_state {
    int failed_step; /* 0: all went well */
    int step;
    char text[KM_CALL_ERROR_BYTES];
};
KM_ONCE_PER_LIBRARY struct km_load_state km_load_state;

static inline void km_read_codes(void)
{
    km_codes.torch_dtype[KM_FLOAT64] = aoti_torch_dtype_float64();
    km_codes.torch_dtype[KM_FLOAT32] = aoti_torch_dtype_float32();
    km_codes.torch_dtype[KM_FLOAT16] = aoti_torch_dtype_float16();
    km_codes.torch_dtype[KM_BFLOAT16] = aoti_torch_dtype_bfloat16();
    km_codes.torch_dtype[KM_FLOAT8_E4M3FN] = aoti_torch_dtype_float8_e4m3fn();
    km_codes.torch_dtype[KM_FLOAT8_E5M2] = aoti_torch_dtype_float8_e5m2();
    km_codes.torch_dtype[KM_INT64] = aoti_torch_dtype_int64();
    km_codes.torch_dtype[KM_INT32] = aoti_torch_dtype_int32();
    km_codes.torch_dtype[KM_INT16] = aoti_torch_dtype_int16();
    km_codes.torch_dtype[KM_INT8] = aoti_torch_dtype_int8();
    km_codes.torch_dtype[KM_UINT8] = aoti_torch_dtype_uint8();
    km_codes.torch_dtype[KM_BOOL] = aoti_torch_dtype_bool();
    for (int d = 1; d < KM_DTYPE_COUNT; d++)
        if (km_codes.torch_dtype[d] >= 0 && km_codes.torch_dtype[d] < KM_TORCH_DTYPES)
            km_codes.dtype_of[km_codes.torch_dtype[d]] = (unsigned char)d;
    km_codes.cpu = aoti_torch_device_type_cpu();
    km_codes.cuda = aoti_torch_device_type_cuda();
}

/* Keeps this step as the one that failed; returns false. */
__attribute__((format(printf, 1, 2))) static inline bool km_refuse(const char *format, ...)
{
    va_list ap;

    km_load_state.failed_step = ++km_load_state.step;
    va_start(ap, format);
    vsnprintf(km_load_state.text, sizeof km_load_state.text, format, ap);
    va_end(ap);
    return false;
}

/* Counts a step that torch did; true when it went well. */
static inline bool km_step(bool ok, const char *doing, const char *what)
{
    const char *why = NULL;

    if (ok) {
        km_load_state.step++;
        return true;
    }
    if (torch_exception_get_what_without_backtrace)
        why = torch_exception_get_what_without_backtrace();
    return km_refuse("%s: %s '%.400s' failed%s%s", km_namespace, doing, what,
                     why ? ": " : " (torch's reason is on stderr)", why ? why : "");
}

/* Registers the CPU or the CUDA kernels of the table. */
static inline bool km_register_device(const km_op *table, struct km_signature *signatures,
                                      size_t count, bool cuda)
{
    const char *key = cuda ? "CUDA" : "CPU";
    km_torch_library library = NULL;

    if (!km_step(aoti_torch_library_init_impl(km_namespace, key, "kernmill", 0, &library) == 0,
                 "opening the kernels for", key))
        return false;
    for (size_t i = 0; i < count; i++) {
        km_kernel *k = cuda ? table[i].cuda : table[i].cpu;
        if (!k)
            continue;
        if (k->signature && k->signature != &signatures[i])
            return km_refuse("%s: '%s' and '%s' have one kernel: give each its own (KM_KERNEL_AS)",
                             km_namespace, k->signature->name, signatures[i].name);
        k->signature = &signatures[i];
        if (!km_step(torch_library_impl(library, signatures[i].name, k->boxed, KM_TORCH_FLOOR) == 0,
                     "registering the kernel of", signatures[i].name))
            return false;
    }
    return true; /* the library handle stays: deleting it would undo the registration */
}

KM_OUTLINED void km_register(const km_op *table, struct km_signature *signatures, size_t count)
{
    km_torch_library library = NULL;
    struct km_schema_error e;

    km_read_codes();
    if (!km_step(aoti_torch_library_init_fragment(km_namespace, "kernmill", 0, &library) == 0,
                 "opening the namespace", km_namespace))
        return;
    for (size_t i = 0; i < count; i++) {
        if (!km_parse_schema(table[i].schema, &signatures[i], &e)) {
            km_refuse("%s: schema '%.400s', column %d: %s", km_namespace, table[i].schema,
                      (int)(e.at - table[i].schema) + 1, e.why);
            return;
        }
        if (!km_step(aoti_torch_library_def(library, table[i].schema) == 0, "defining",
                     table[i].schema))
            return;
    }
    if (km_register_device(table, signatures, count, false))
        km_register_device(table, signatures, count, true);
}

#endif
