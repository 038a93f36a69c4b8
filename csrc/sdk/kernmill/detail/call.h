/* kernmill/detail/call.h: one call of one operator: slots are decoded, the function runs, results
 * are handed over, everything else is freed, and only then is an error raised. */
#include "kernmill/op.h" /* the header that this one is a part of */

#ifndef KERNMILL_DETAIL_CALL_H
#define KERNMILL_DETAIL_CALL_H

#include <stdio.h>

#include "kernmill/detail/schema.h"

#ifdef KM_NAMESPACE
static const char km_namespace[] = KM_NAMESPACE;
#else
extern const char km_namespace[]; /* the build links a file that defines it */
#endif

#define KM_TORCH_DTYPES 128 /* torch's codes are small; larger ones read as unknown */

/* Torch's codes, asked for once at load time. */
struct km_codes {
    unsigned char dtype_of[KM_TORCH_DTYPES]; /* torch's code -> km_dtype */
    int32_t torch_dtype[KM_DTYPE_COUNT];     /* km_dtype -> torch's code */
    int32_t cpu, cuda;
};
KM_ONCE_PER_LIBRARY struct km_codes km_codes;

static inline km_dtype km_dtype_of(int64_t code)
{
    return code >= 0 && code < KM_TORCH_DTYPES ? (km_dtype)km_codes.dtype_of[code]
                                               : KM_DTYPE_UNKNOWN;
}

static inline km_device_type km_device_of(int64_t code)
{
    return code == km_codes.cpu ? KM_CPU : code == km_codes.cuda ? KM_CUDA : KM_DEVICE_OTHER;
}

typedef struct {
    km_slot raw;  /* int, float bits, bool, dtype or device code; list: index of the first item */
    size_t count; /* items of a list */
    bool given;   /* false for an optional that is None */
    km_tensor *tensor;
    km_torch_string string;
} km_value;

struct km_call {
    const struct km_signature *signature;
    km_value values[KM_ARGS_MAX];
    km_tensor tensors[KM_TENSORS_MAX];
    bool given_away[KM_TENSORS_MAX]; /* returned: torch owns it */
    int tensor_count;
    int argument_count; /* so many of them came in as arguments */
    union {
        int64_t i;
        double f;
    } items[KM_LIST_ITEMS_MAX]; /* numbers of list arguments */
    size_t item_count;
    km_torch_tensor results[KM_RETURNS_MAX];
    km_torch_guard guard; /* NULL on the CPU */
    bool failed;
    char error[KM_CALL_ERROR_BYTES];
};

__attribute__((format(printf, 2, 0))) static inline int km_error_v(km_call *c, const char *format,
                                                                   va_list ap)
{
    int n;

    if (c->failed)
        return KM_FAILED;
    c->failed = true;
    n = snprintf(c->error, sizeof c->error, "%s::%s: ", km_namespace, c->signature->name);
    if (n >= 0 && (size_t)n < sizeof c->error)
        vsnprintf(c->error + n, sizeof c->error - (size_t)n, format, ap);
    return KM_FAILED;
}

KM_OUTLINED int km_error(km_call *c, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    km_error_v(c, format, ap);
    va_end(ap);
    return KM_FAILED;
}

/* A torch function failed: its own text where torch can tell it (2.13), else a pointer to stderr,
 * where older ones print it. */
KM_OUTLINED int km_torch_error(km_call *c, const char *doing)
{
    const char *text = NULL;

    if (torch_exception_get_what_without_backtrace)
        text = torch_exception_get_what_without_backtrace();
    return km_error(c, "%s failed: %s", doing, text ? text : "see torch's message on stderr");
}

/* Takes over `handle` and reads what it holds. NULL, with the handle freed, when that fails. */
static inline km_tensor *km_adopt(km_call *c, km_torch_tensor handle, bool written)
{
    km_tensor *t = &c->tensors[c->tensor_count];
    int32_t dtype = 0, device = 0, failed;
    int64_t *sizes = NULL, *strides = NULL;
    const void *data = NULL;

    if (c->tensor_count == KM_TENSORS_MAX) {
        aoti_torch_delete_tensor_object(handle);
        km_error(c, "more than %d tensors in one call", KM_TENSORS_MAX);
        return NULL;
    }
    memset(t, 0, sizeof *t);
    t->handle = handle;
    c->given_away[c->tensor_count++] = false;
    failed = aoti_torch_get_dtype(handle, &dtype) | aoti_torch_get_device_type(handle, &device) |
             aoti_torch_get_device_index(handle, &t->device_index) |
             aoti_torch_get_dim(handle, &t->ndim) | aoti_torch_get_numel(handle, &t->numel) |
             aoti_torch_get_sizes(handle, &sizes) | aoti_torch_get_strides(handle, &strides);
    if (!failed)
        failed = written ? torch_get_mutable_data_ptr(handle, &t->data)
                         : torch_get_const_data_ptr(handle, &data);
    if (failed) {
        km_torch_error(c, "reading a tensor");
        return NULL;
    }
    if (!written)
        t->data = (void *)(uintptr_t)data;
    t->sizes = sizes;
    t->strides = strides;
    t->writable = written;
    t->dtype = km_dtype_of(dtype);
    t->device_type = km_device_of(device);
    if (t->device_type == KM_CPU)
        t->device_index = 0; /* torch says -1 or 0 */
    return t;
}

static inline km_torch_tensor km_slot_tensor(km_slot s)
{
    return (km_torch_tensor)(uintptr_t)s;
}

/* Empties a list: numbers go to c->items, tensors are adopted. */
static inline void km_take_list(km_call *c, const km_parameter *p, km_slot slot, km_value *v)
{
    km_torch_list list = (km_torch_list)(uintptr_t)slot;
    size_t n = 0;

    if (torch_list_size(list, &n) != 0)
        km_torch_error(c, "reading a list");
    v->raw = (km_slot)(p->type == KM_TYPE_TENSOR ? (size_t)c->tensor_count : c->item_count);
    for (size_t i = 0; i < n; i++) {
        km_slot item = 0;
        if (torch_list_get_item(list, i, &item) != 0)
            km_torch_error(c, "reading a list");
        else if (p->type == KM_TYPE_TENSOR)
            km_adopt(c, km_slot_tensor(item), p->written);
        else if (c->item_count == KM_LIST_ITEMS_MAX)
            km_error(c, "more than %d numbers in list arguments", KM_LIST_ITEMS_MAX);
        else
            memcpy(&c->items[c->item_count++], &item, sizeof item);
    }
    v->count = n;
    torch_delete_list(list);
}

/* An optional that is given: frees its heap cell and returns what it held. */
static inline km_slot km_take_cell(km_slot slot)
{
    km_slot *cell = (km_slot *)(uintptr_t)slot, value = *cell;

    if (torch_delete_stable_ivalue)
        torch_delete_stable_ivalue(cell);
    else if (_ZdlPv)
        _ZdlPv(cell);
    return value;
}

static inline void km_take(km_call *c, const km_parameter *p, km_slot slot, km_value *v)
{
    memset(v, 0, sizeof *v);
    v->given = !p->optional || slot;
    if (!v->given)
        return;
    if (p->optional)
        slot = km_take_cell(slot);
    if (p->list)
        km_take_list(c, p, slot, v);
    else if (p->type == KM_TYPE_TENSOR)
        v->tensor = km_adopt(c, km_slot_tensor(slot), p->written);
    else if (p->type == KM_TYPE_TEXT)
        v->string = (km_torch_string)(uintptr_t)slot;
    else
        v->raw = slot;
}

/* "cpu", "cuda:1"; "cuda" without an index. */
static inline const char *km_device_text(km_device_type type, int32_t index, char out[32])
{
    const char *name = type == KM_CPU ? "cpu" : type == KM_CUDA ? "cuda" : "another device";

    if (type != KM_CUDA || index < 0)
        return name;
    snprintf(out, 32, "%s:%d", name, (int)index);
    return out;
}

/* The name of the argument that tensor `t` came in by. */
static inline const char *km_tensor_name(const km_call *c, const km_tensor *t)
{
    for (int i = 0; i < c->signature->parameter_count; i++) {
        const km_value *v = &c->values[i];
        bool in_list = c->signature->parameters[i].list &&
                       c->signature->parameters[i].type == KM_TYPE_TENSOR &&
                       (size_t)(t - c->tensors) - v->raw < v->count;
        if (v->tensor == t || in_list)
            return c->signature->parameters[i].name;
    }
    return "a tensor";
}

static inline void km_check_devices(km_call *c)
{
    for (int i = 1; i < c->tensor_count; i++) {
        const km_tensor *a = &c->tensors[0], *b = &c->tensors[i];
        char one[32], two[32];
        if (a->device_type == b->device_type && a->device_index == b->device_index)
            continue;
        km_error(c, "expected all tensors on one device, but '%s' is on %s and '%s' is on %s",
                 km_tensor_name(c, a), km_device_text(a->device_type, a->device_index, one),
                 km_tensor_name(c, b), km_device_text(b->device_type, b->device_index, two));
        return;
    }
}

KM_OUTLINED void km_call_begin(km_call *c, const struct km_signature *s, const km_slot *stack)
{
    c->signature = s;
    c->tensor_count = 0;
    c->item_count = 0;
    c->guard = NULL;
    c->failed = false;
    c->error[0] = '\0';
    memset(c->results, 0, sizeof c->results);
    /* What is written comes first: reading its address may move copy-on-write memory that another
     * argument views. */
    for (int written = 1; written >= 0; written--)
        for (int i = 0; i < s->parameter_count; i++)
            if (s->parameters[i].written == written)
                km_take(c, &s->parameters[i], stack[i], &c->values[i]);
    c->argument_count = c->tensor_count;
    if (c->failed || !c->tensor_count)
        return;
    km_check_devices(c);
    if (!c->failed && c->tensors[0].device_type == KM_CUDA &&
        aoti_torch_create_device_guard(c->tensors[0].device_index, &c->guard) != 0)
        km_torch_error(c, "selecting the device");
}

KM_OUTLINED void km_call_end(km_call *c, km_slot *stack)
{
    if (c->guard)
        aoti_torch_delete_device_guard(c->guard);
    for (int i = 0; i < c->signature->parameter_count; i++)
        if (c->values[i].string)
            torch_delete_string(c->values[i].string);
    for (int i = 0; i < c->signature->result_count && !c->failed; i++)
        if (!c->results[i])
            km_error(c, "the kernel returned without result %d", i);
    for (int i = 0; i < c->tensor_count; i++)
        if (c->failed || !c->given_away[i])
            aoti_torch_delete_tensor_object(c->tensors[i].handle);
    for (int i = 0; i < c->signature->result_count && !c->failed; i++)
        stack[i] = (km_slot)(uintptr_t)c->results[i];
}

/* What torch calls, through KM_KERNEL. */
static inline void km_call_run(const km_kernel *k, km_slot *stack, uint64_t args, uint64_t results)
{
    km_call c;

    (void)args;
    (void)results;
    km_call_begin(&c, k->signature, stack);
    if (!c.failed && k->run(&c) != 0)
        km_error(&c, "the kernel failed without saying why");
    km_call_end(&c, stack);
    if (c.failed)
        aoti_torch_check(false, c.signature->name, "kernmill/op.h", 0, c.error);
}

#endif
