#include "mock_torch.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KERNELS_MAX = 64 };

struct mock_tensor {
    int handles; /* that point here */
    void *data;
    int64_t ndim, numel, *sizes, *strides;
    int32_t dtype, device, index;
};

struct km_torch_tensor_s {
    struct mock_tensor *tensor;
};

struct km_torch_list_s {
    km_slot *items;
    size_t count;
    bool tensors;
};

struct km_torch_string_s {
    char *text;
};

struct km_torch_guard_s {
    int32_t before;
};

struct km_torch_library_s {
    bool cuda;
};

struct mock_counts mock_live, mock_made;
long mock_fail_after = -1;
const char *mock_failed;
void (*mock_set_device)(int device);
_Thread_local char mock_error[2048];

static struct {
    char name[64];
    bool cuda;
    void (*boxed)(km_slot *, uint64_t, uint64_t);
} kernels[KERNELS_MAX];
static int kernel_count;
static _Thread_local jmp_buf thrown;
static _Thread_local int32_t current_device;
static _Thread_local bool recording = true;

/* Threads call too. */
static void count(long *counter, long by)
{
    __atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

#define MADE(kind) (count(&mock_live.kind, 1), count(&mock_made.kind, 1))
#define GONE(kind) count(&mock_live.kind, -1)

static bool fails(const char *function)
{
    static bool read;
    const char *text;

    if (!read) { /* before main, and before there are threads */
        read = true;
        text = getenv("MOCK_FAIL_AFTER");
        mock_fail_after = text ? atol(text) : -1;
    }
    if (mock_fail_after < 0 || mock_fail_after-- > 0)
        return false;
    mock_failed = function;
    return true;
}

#define FAIL_HERE                                                                                  \
    do {                                                                                           \
        if (fails(__func__))                                                                       \
            return 1;                                                                              \
    } while (0)

static void *allocate(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        abort();
    return p;
}

/* ---- codes ---- */

#define DTYPE(name, code)                                                                          \
    int32_t aoti_torch_dtype_##name(void)                                                          \
    {                                                                                              \
        return MOCK_FIRST_DTYPE + (code);                                                          \
    }
DTYPE(float64, 0)
DTYPE(float32, 1)
DTYPE(float16, 2)
DTYPE(bfloat16, 3)
DTYPE(float8_e4m3fn, 4)
DTYPE(float8_e5m2, 5)
DTYPE(int64, 6)
DTYPE(int32, 7)
DTYPE(int16, 8)
DTYPE(int8, 9)
DTYPE(uint8, 10)
DTYPE(bool, 11)

static size_t element_bytes(int32_t dtype)
{
    static const unsigned char bytes[] = { 8, 4, 2, 2, 1, 1, 8, 4, 2, 1, 1, 1 };

    return bytes[dtype - MOCK_FIRST_DTYPE];
}

int32_t aoti_torch_device_type_cpu(void)
{
    return MOCK_CPU;
}

int32_t aoti_torch_device_type_cuda(void)
{
    return MOCK_CUDA;
}

/* ---- tensors ---- */

static km_torch_tensor new_handle(struct mock_tensor *t)
{
    km_torch_tensor h = allocate(sizeof *h);

    h->tensor = t;
    t->handles++;
    MADE(handles);
    return h;
}

int32_t aoti_torch_empty_strided(int64_t ndim, const int64_t *sizes, const int64_t *strides,
                                 int32_t dtype, int32_t device, int32_t index, km_torch_tensor *out)
{
    struct mock_tensor *t;
    size_t bytes = (size_t)ndim * sizeof *sizes;

    FAIL_HERE;
    t = allocate(sizeof *t);
    *t = (struct mock_tensor){ .ndim = ndim, .numel = 1, .dtype = dtype, .device = device };
    t->index = index;
    t->sizes = allocate(bytes);
    t->strides = allocate(bytes);
    if (ndim) {
        memcpy(t->sizes, sizes, bytes);
        memcpy(t->strides, strides, bytes);
    }
    for (int64_t i = 0; i < ndim; i++)
        t->numel *= sizes[i];
    t->data = allocate((size_t)t->numel * element_bytes(dtype)); /* strides are a permutation's */
    MADE(tensors);
    *out = new_handle(t);
    return 0;
}

int32_t aoti_torch_new_tensor_handle(km_torch_tensor tensor, km_torch_tensor *out)
{
    FAIL_HERE;
    *out = new_handle(tensor->tensor);
    return 0;
}

int32_t aoti_torch_delete_tensor_object(km_torch_tensor h)
{
    struct mock_tensor *t = h->tensor;

    free(h);
    GONE(handles);
    if (--t->handles)
        return 0;
    free(t->data);
    free(t->sizes);
    free(t->strides);
    free(t);
    GONE(tensors);
    return 0;
}

static int64_t offset_of(const struct mock_tensor *t, int64_t i)
{
    int64_t offset = 0;

    for (int64_t d = t->ndim - 1; d >= 0; i /= t->sizes[d--])
        offset += i % t->sizes[d] * t->strides[d];
    return offset;
}

int32_t aoti_torch_copy_(km_torch_tensor to, km_torch_tensor from, int32_t non_blocking)
{
    struct mock_tensor *a = to->tensor, *b = from->tensor;
    size_t bytes = element_bytes(a->dtype);

    FAIL_HERE;
    if (a->numel != b->numel || a->dtype != b->dtype || non_blocking || recording)
        return 1;
    for (int64_t i = 0; i < a->numel; i++)
        memcpy((char *)a->data + (size_t)offset_of(a, i) * bytes,
               (const char *)b->data + (size_t)offset_of(b, i) * bytes, bytes);
    return 0;
}

int32_t aoti_torch_zero_(km_torch_tensor h)
{
    FAIL_HERE;
    memset(h->tensor->data, 0, (size_t)h->tensor->numel * element_bytes(h->tensor->dtype));
    return recording;
}

#define GETTER(name, type, field)                                                                  \
    int32_t name(km_torch_tensor h, type *out)                                                     \
    {                                                                                              \
        FAIL_HERE;                                                                                 \
        *out = h->tensor->field;                                                                   \
        return 0;                                                                                  \
    }
GETTER(aoti_torch_get_dtype, int32_t, dtype)
GETTER(aoti_torch_get_device_type, int32_t, device)
GETTER(aoti_torch_get_device_index, int32_t, index)
GETTER(aoti_torch_get_dim, int64_t, ndim)
GETTER(aoti_torch_get_numel, int64_t, numel)
GETTER(aoti_torch_get_sizes, int64_t *, sizes)
GETTER(aoti_torch_get_strides, int64_t *, strides)
GETTER(torch_get_const_data_ptr, const void *, data)
GETTER(torch_get_mutable_data_ptr, void *, data)

/* ---- lists, strings, cells ---- */

/* A list that could not be read: its items are lost to the library, which is not its leak. */
static void forgive(km_torch_list list, size_t begin, size_t end)
{
    for (size_t i = begin; list->tensors && i < end; i++)
        aoti_torch_delete_tensor_object((km_torch_tensor)(uintptr_t)list->items[i]);
}

int32_t torch_list_size(km_torch_list list, size_t *out)
{
    if (fails(__func__)) {
        forgive(list, 0, list->count);
        return 1;
    }
    *out = list->count;
    return 0;
}

int32_t torch_list_get_item(km_torch_list list, size_t i, km_slot *out)
{
    if (fails(__func__)) {
        forgive(list, i, i + 1);
        return 1;
    }
    if (i >= list->count)
        abort();
    *out = list->items[i];
    return 0;
}

int32_t torch_delete_list(km_torch_list list)
{
    free(list->items);
    free(list);
    GONE(lists);
    return 0;
}

int32_t torch_string_length(km_torch_string string, size_t *out)
{
    FAIL_HERE;
    *out = strlen(string->text);
    return 0;
}

int32_t torch_string_c_str(km_torch_string string, const char **out)
{
    FAIL_HERE;
    *out = string->text;
    return 0;
}

int32_t torch_delete_string(km_torch_string string)
{
    free(string->text);
    free(string);
    GONE(strings);
    return 0;
}

#ifdef MOCK_NEWER
int32_t torch_delete_stable_ivalue(km_slot *cell)
{
    free(cell);
    GONE(cells);
    return 0;
}

const char *torch_exception_get_what_without_backtrace(void)
{
    static _Thread_local char text[128];

    snprintf(text, sizeof text, "%s says no", mock_failed ? mock_failed : "mock");
    return text;
}
#endif

/* operator delete */
void _ZdlPv(void *cell)
{
#ifdef MOCK_NEWER
    abort(); /* there is a function for it */
#endif
    free(cell);
    GONE(cells);
}

/* ---- registration ---- */

int32_t aoti_torch_library_init_fragment(const char *ns, const char *file, uint32_t line,
                                         km_torch_library *out)
{
    static struct km_torch_library_s library;

    (void)ns, (void)file, (void)line;
    FAIL_HERE;
    *out = &library;
    return 0;
}

int32_t aoti_torch_library_init_impl(const char *ns, const char *key, const char *file,
                                     uint32_t line, km_torch_library *out)
{
    static struct km_torch_library_s cpu, cuda = { true };

    (void)ns, (void)file, (void)line;
    FAIL_HERE;
    *out = strcmp(key, "CUDA") == 0 ? &cuda : &cpu;
    return 0;
}

int32_t aoti_torch_library_def(km_torch_library library, const char *schema)
{
    (void)library, (void)schema;
    FAIL_HERE;
    return 0;
}

int32_t torch_library_impl(km_torch_library library, const char *name,
                           void (*boxed)(km_slot *, uint64_t, uint64_t), uint64_t version)
{
    FAIL_HERE;
    if (kernel_count == KERNELS_MAX || version != 0x020a000000000000ULL)
        return 1;
    snprintf(kernels[kernel_count].name, sizeof kernels[0].name, "%s", name);
    kernels[kernel_count].cuda = library->cuda;
    kernels[kernel_count++].boxed = boxed;
    return 0;
}

/* ---- errors, devices, threads ---- */

void aoti_torch_check(bool ok, const char *function, const char *file, uint32_t line,
                      const char *message)
{
    (void)function, (void)file, (void)line;
    if (ok)
        return;
    snprintf(mock_error, sizeof mock_error, "%s", message);
    longjmp(thrown, 1);
}

bool aoti_torch_grad_mode_is_enabled(void)
{
    return recording;
}

void aoti_torch_grad_mode_set_enabled(bool enabled)
{
    recording = enabled;
}

static void set_device(int32_t index)
{
    if (index != current_device && mock_set_device)
        mock_set_device(index);
    current_device = index;
}

int32_t aoti_torch_create_device_guard(int32_t index, km_torch_guard *out)
{
    FAIL_HERE;
    *out = allocate(sizeof **out);
    (*out)->before = current_device;
    set_device(index);
    MADE(guards);
    return 0;
}

int32_t aoti_torch_delete_device_guard(km_torch_guard guard)
{
    set_device(guard->before);
    free(guard);
    GONE(guards);
    return 0;
}

int mock_current_device(void)
{
    return current_device;
}

int32_t torch_parallel_for(int64_t begin, int64_t end, int64_t grain,
                           void (*body)(int64_t, int64_t, void *), void *context)
{
    FAIL_HERE;
    for (int64_t at = begin; at < end; at += grain)
        body(at, at + grain < end ? at + grain : end, context);
    return 0;
}

/* ---- the caller's side ---- */

km_slot mock_new_tensor(int32_t device, int32_t index, bool transposed)
{
    static const int64_t sizes[] = { 2, 3 }, dense[] = { 3, 1 }, turned[] = { 1, 2 };
    long fail_after = mock_fail_after;
    km_torch_tensor h;

    if (fail_after >= 0)
        mock_fail_after = -1;
    aoti_torch_empty_strided(2, sizes, transposed ? turned : dense, MOCK_FLOAT32, device, index,
                             &h);
    if (fail_after >= 0)
        mock_fail_after = fail_after;
    for (int i = 0; i < 6; i++)
        ((float *)h->tensor->data)[i] = (float)i;
    return (km_slot)(uintptr_t)h;
}

km_slot mock_new_list(const km_slot *items, size_t n, bool tensors)
{
    km_torch_list list = allocate(sizeof *list);

    *list = (struct km_torch_list_s){ allocate(n * sizeof *items), n, tensors };
    if (n)
        memcpy(list->items, items, n * sizeof *items);
    MADE(lists);
    return (km_slot)(uintptr_t)list;
}

km_slot mock_new_string(const char *text)
{
    km_torch_string string = allocate(sizeof *string);

    string->text = allocate(strlen(text) + 1);
    strcpy(string->text, text);
    MADE(strings);
    return (km_slot)(uintptr_t)string;
}

km_slot mock_new_cell(km_slot value)
{
    km_slot *cell = allocate(sizeof *cell);

    *cell = value;
    MADE(cells);
    return (km_slot)(uintptr_t)cell;
}

void mock_delete_result(km_slot tensor)
{
    aoti_torch_delete_tensor_object((km_torch_tensor)(uintptr_t)tensor);
}

const void *mock_data(km_slot tensor, int64_t *numel)
{
    km_torch_tensor h = (km_torch_tensor)(uintptr_t)tensor;

    *numel = h->tensor->numel;
    return h->tensor->data;
}

int mock_call(const char *name, bool cuda, km_slot *slots, int arguments, int results)
{
    size_t used = (size_t)(arguments > results ? arguments : results);
    km_slot *stack = allocate(used * sizeof *stack); /* as long as torch's: no slot behind it */
    int k = 0, rc;

    while (k < kernel_count && (strcmp(kernels[k].name, name) != 0 || kernels[k].cuda != cuda))
        k++;
    if (k == kernel_count)
        abort();
    memcpy(stack, slots, (size_t)arguments * sizeof *stack);
    mock_error[0] = '\0';
    rc = setjmp(thrown);
    if (rc == 0) {
        kernels[k].boxed(stack, (uint64_t)arguments, (uint64_t)results);
        memcpy(slots, stack, (size_t)results * sizeof *stack);
    }
    free(stack);
    return rc;
}
