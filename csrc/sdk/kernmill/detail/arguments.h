/* kernmill/detail/arguments.h: arguments by position, and the text of what was passed. */
#include "kernmill/op.h" /* the header that this one is a part of */

#ifndef KERNMILL_DETAIL_ARGUMENTS_H
#define KERNMILL_DETAIL_ARGUMENTS_H

#include "kernmill/detail/call.h"

/* The value of argument `i` when its schema type is `type` (and a list or not), else NULL with an
 * error: a mistake in the kernel, not in the call. */
static inline const km_value *km_value_at(km_call *c, int i, km_type type, bool list)
{
    const km_parameter *p;

    if (i < 0 || i >= c->signature->parameter_count) {
        km_error(c, "the kernel asks for argument %d of %d", i, c->signature->parameter_count);
        return NULL;
    }
    p = &c->signature->parameters[i];
    if (p->type == type && p->list == list)
        return &c->values[i];
    km_error(c, "the kernel reads argument '%s' as another type than the schema's", p->name);
    return NULL;
}

static inline const km_tensor *km_arg_optional(km_call *c, int i)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_TENSOR, false);

    return v ? v->tensor : NULL;
}

static inline const km_tensor *km_arg_tensor(km_call *c, int i)
{
    static const km_tensor nothing;
    const km_tensor *t = km_arg_optional(c, i);

    if (!t)
        km_error(c, "argument %d is None", i);
    return t ? t : &nothing;
}

static inline int64_t km_arg_int(km_call *c, int i)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_INT, false);

    return v ? (int64_t)v->raw : 0;
}

static inline double km_arg_float(km_call *c, int i)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_FLOAT, false);
    double f = 0;

    if (v)
        memcpy(&f, &v->raw, sizeof f);
    return f;
}

static inline bool km_arg_bool(km_call *c, int i)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_BOOL, false);

    return v && v->raw != 0;
}

static inline const char *km_arg_text(km_call *c, int i)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_TEXT, false);
    const char *text = NULL;

    if (v && v->string && torch_string_c_str(v->string, &text) != 0)
        km_torch_error(c, "reading a text");
    return text ? text : "";
}

static inline km_dtype km_arg_dtype(km_call *c, int i)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_DTYPE, false);

    return v && v->given ? km_dtype_of((int64_t)v->raw) : KM_DTYPE_UNKNOWN;
}

static inline km_device_type km_arg_device(km_call *c, int i, int32_t *index)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_DEVICE, false);

    *index = -1;
    if (!v || !v->given)
        return KM_DEVICE_OTHER;
    *index = (int32_t)(uint32_t)v->raw;
    return km_device_of((int32_t)(v->raw >> 32));
}

static inline bool km_arg_given(km_call *c, int i)
{
    if (i >= 0 && i < c->signature->parameter_count)
        return c->values[i].given;
    km_error(c, "the kernel asks for argument %d of %d", i, c->signature->parameter_count);
    return false;
}

static inline const int64_t *km_arg_ints(km_call *c, int i, size_t *count)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_INT, true);

    *count = v ? v->count : 0;
    return *count ? &c->items[v->raw].i : NULL;
}

static inline const int64_t *km_arg_bools(km_call *c, int i, size_t *count)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_BOOL, true);

    *count = v ? v->count : 0;
    return *count ? &c->items[v->raw].i : NULL;
}

static inline const double *km_arg_floats(km_call *c, int i, size_t *count)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_FLOAT, true);

    *count = v ? v->count : 0;
    return *count ? &c->items[v->raw].f : NULL;
}

static inline const km_tensor *km_arg_tensors(km_call *c, int i, size_t *count)
{
    const km_value *v = km_value_at(c, i, KM_TYPE_TENSOR, true);

    *count = v ? v->count : 0;
    return *count ? &c->tensors[v->raw] : NULL;
}

/* "bfloat16[8, 4096] on cuda:0", with the strides when they are not the contiguous ones. */
static inline void km_describe_tensor(const km_tensor *t, char *out, size_t size)
{
    char device[32];
    int64_t dense = 1;
    bool strided = false;
    size_t n = 0;

#define KM_ADD(...)                                                                                \
    do {                                                                                           \
        int added = snprintf(out + n, size - n, __VA_ARGS__);                                      \
        n = added < 0 || (size_t)added >= size - n ? size - 1 : n + (size_t)added;                 \
    } while (0)
    KM_ADD("%s[", km_dtype_name(t->dtype));
    for (int64_t i = 0; i < t->ndim; i++)
        KM_ADD("%s%lld", i ? ", " : "", (long long)t->sizes[i]);
    for (int64_t i = t->ndim - 1; i >= 0 && t->numel; dense *= t->sizes[i--])
        strided |= t->strides[i] != dense && t->sizes[i] > 1;
    KM_ADD("]%s", strided ? " strides [" : "");
    for (int64_t i = 0; strided && i < t->ndim; i++)
        KM_ADD("%s%lld%s", i ? ", " : "", (long long)t->strides[i], i + 1 == t->ndim ? "]" : "");
    KM_ADD(" on %s", km_device_text(t->device_type, t->device_index, device));
#undef KM_ADD
}

KM_OUTLINED void km_describe(km_call *c, int i, char *out, size_t size)
{
    const km_parameter *p = &c->signature->parameters[i];
    const km_value *v = &c->values[i];
    km_device_type device;
    int32_t index;
    char text[32];
    double f;

    memcpy(&f, &v->raw, sizeof f);
    if (!v->given)
        snprintf(out, size, "None");
    else if (p->list)
        snprintf(out, size, "a list of %zu", v->count);
    else if (v->tensor)
        km_describe_tensor(v->tensor, out, size);
    else if (p->type == KM_TYPE_TEXT)
        snprintf(out, size, "'%.200s'", km_arg_text(c, i));
    else if (p->type == KM_TYPE_FLOAT)
        snprintf(out, size, "%g", f);
    else if (p->type == KM_TYPE_BOOL)
        snprintf(out, size, "%s", v->raw ? "True" : "False");
    else if (p->type == KM_TYPE_DTYPE)
        snprintf(out, size, "%s", km_dtype_name(km_arg_dtype(c, i)));
    else if (p->type == KM_TYPE_INT)
        snprintf(out, size, "%lld", (long long)v->raw);
    else {
        device = km_arg_device(c, i, &index);
        snprintf(out, size, "%s", km_device_text(device, index, text));
    }
}

KM_OUTLINED int km_bad_argument(km_call *c, int i, const char *format, ...)
{
    char expected[KM_CALL_ERROR_BYTES / 2], got[KM_CALL_ERROR_BYTES / 4] = "";
    va_list ap;

    if (i < 0 || i >= c->signature->parameter_count)
        return km_error(c, "the kernel checks argument %d of %d", i, c->signature->parameter_count);
    va_start(ap, format);
    vsnprintf(expected, sizeof expected, format, ap);
    va_end(ap);
    km_describe(c, i, got, sizeof got);
    return km_error(c, "argument '%s': expected %s, got %s", c->signature->parameters[i].name,
                    expected, got);
}

#endif
