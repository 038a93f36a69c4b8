#include "bench/torch_host.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/str.h"

#include <kernmill/tensor.h>

#define TORCH_CONVENTIONS 0x020a000000000000ULL /* of torch 2.10, which this is written for */

static int find_functions(km_torch *t, const char *path, km_err *err)
{
    void *what = dlsym(t->library, "torch_exception_get_what_without_backtrace");
    void *new_cell = dlsym(t->library, "_Znwm"); /* of the libstdc++ that torch loaded */

#define KM_FIND(name)                                                                              \
    do {                                                                                           \
        void *found = dlsym(t->library, #name);                                                    \
        if (!found)                                                                                \
            return km_fail(err, KM_EENV, "'%s' has no %s: torch 2.10 or newer is needed", path,    \
                           #name);                                                                 \
        memcpy(&t->name, &found, sizeof found);                                                    \
    } while (0);
    KM_TORCH_HOST_FUNCTIONS(KM_FIND)
#undef KM_FIND
    if (!new_cell)
        return km_fail(err, KM_EENV, "'%s' brings no libstdc++", path);
    memcpy(&t->what, &what, sizeof what);
    memcpy(&t->new_cell, &new_cell, sizeof new_cell);
    return 0;
}

static int open_library(const char *folder, const char *name, void **out, km_err *err)
{
    km_str path = KM_STR_INIT;
    int rc;

    km_str_printf(&path, "%s/lib/%s", folder, name);
    rc = km_str_check(&path, err);
    *out = rc == 0 ? dlopen(path.data, RTLD_NOW | RTLD_GLOBAL) : NULL;
    km_str_release(&path);
    if (rc == 0 && !*out)
        return km_fail(err, KM_EENV, "unable to load torch: %s", dlerror());
    return rc;
}

static int open_cuda(km_torch *t, const char *folder, km_err *err)
{
    void *library, *create, *delete;

    if (open_library(folder, "libtorch_cuda.so", &library, err) < 0)
        return err->code;
    create = dlsym(library, "aoti_torch_create_cuda_stream_guard");
    delete = dlsym(library, "aoti_torch_delete_cuda_stream_guard");
    if (!create || !delete)
        return km_fail(err, KM_EENV, "this torch has no CUDA stream interface");
    memcpy(&t->create_guard, &create, sizeof create);
    memcpy(&t->delete_guard, &delete, sizeof delete);
    return 0;
}

int km_torch_open(km_torch *t, const char *folder, km_gpu *gpu, km_err *err)
{
    uint64_t version;
    int rc;

    *t = (km_torch){ .gpu = gpu };
    rc = open_library(folder, "libtorch_cpu.so", &t->library, err);
    if (rc == 0)
        rc = find_functions(t, "libtorch_cpu.so", err);
    if (rc == 0 && gpu)
        rc = open_cuda(t, folder, err);
    if (rc < 0 || !t->aoti_torch_abi_version)
        return rc;
    version = t->aoti_torch_abi_version();
    t->version_major = (unsigned)(version >> 56);
    t->version_minor = (unsigned)(version >> 48 & 0xff);
    t->aoti_torch_grad_mode_set_enabled(false);
    return 0;
}

int km_torch_load(km_torch *t, const char *path, km_err *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL), *found;
    const char *(*status_text)(void);

    if (!library)
        return km_fail(err, KM_EENV, "unable to load '%s': %s", path, dlerror());
    if (t->gpu)
        km_images_add(&t->images, t->gpu, path);
    found = dlsym(library, "km_status_text");
    if (!found) /* not one of ours: it says nothing */
        return 0;
    memcpy(&status_text, &found, sizeof status_text);
    if (*status_text())
        return km_fail(err, KM_EFORMAT, "'%s': %s", path, status_text());
    return 0;
}

int32_t km_torch_dtype_code(const km_torch *t, int dtype)
{
    switch (dtype) {
    case KM_FLOAT64:
        return t->aoti_torch_dtype_float64();
    case KM_FLOAT32:
        return t->aoti_torch_dtype_float32();
    case KM_FLOAT16:
        return t->aoti_torch_dtype_float16();
    case KM_BFLOAT16:
        return t->aoti_torch_dtype_bfloat16();
    case KM_INT64:
        return t->aoti_torch_dtype_int64();
    case KM_INT32:
        return t->aoti_torch_dtype_int32();
    case KM_INT16:
        return t->aoti_torch_dtype_int16();
    case KM_INT8:
        return t->aoti_torch_dtype_int8();
    case KM_UINT8:
        return t->aoti_torch_dtype_uint8();
    case KM_BOOL:
        return t->aoti_torch_dtype_bool();
    default:
        return -1;
    }
}

int km_torch_dtype(const km_torch *t, km_torch_tensor tensor)
{
    int32_t code = -1;

    t->aoti_torch_get_dtype(tensor, &code);
    for (int d = 1; d < KM_DTYPE_COUNT; d++)
        if (km_torch_dtype_code(t, d) == code)
            return d;
    return 0;
}

static int fail(const km_torch *t, int code, const char *what, km_err *err)
{
    const char *why = t->what ? t->what() : "torch's reason is above";

    return km_fail(err, code, "%s failed: %s", what, why ? why : "torch gives no reason");
}

uint64_t km_layout_extent(int64_t ndim, const int64_t *sizes, const int64_t *strides)
{
    uint64_t extent = 1;

    for (int64_t i = 0; i < ndim; i++) {
        if (sizes[i] == 0)
            return 0;
        extent += (uint64_t)(sizes[i] - 1) * (uint64_t)strides[i];
    }
    return extent;
}

int km_torch_empty(const km_torch *t, const km_layout *l, int dtype, void *data,
                   km_torch_tensor *out, km_err *err)
{
    int32_t type = t->gpu ? t->aoti_torch_device_type_cuda() : t->aoti_torch_device_type_cpu();
    int32_t code = km_torch_dtype_code(t, dtype), rc;

    rc = data ? t->aoti_torch_create_tensor_from_blob(data, l->ndim, l->sizes, l->strides, 0, code,
                                                      type, 0, out)
              : t->aoti_torch_empty_strided(l->ndim, l->sizes, l->strides, code, type, 0, out);
    return rc == 0 ? 0 : fail(t, KM_EENV, "making a tensor", err);
}

void km_torch_trim(const km_torch *t)
{
    const int64_t size = (int64_t)1 << 46, stride = 1;
    int32_t byte = t->aoti_torch_dtype_uint8(), cuda = t->aoti_torch_device_type_cuda();
    int kept = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    km_torch_tensor never = NULL;

    /* there is no function for it: a request beyond all memory is refused after all that is kept
     * was given back; before torch 2.13 the refusal is printed */
    if (nowhere >= 0)
        dup2(nowhere, STDERR_FILENO);
    if (t->aoti_torch_empty_strided(1, &size, &stride, byte, cuda, 0, &never) == 0)
        t->aoti_torch_delete_tensor_object(never);
    if (kept >= 0) {
        dup2(kept, STDERR_FILENO);
        close(kept);
    }
    if (nowhere >= 0)
        close(nowhere);
}

int km_torch_call(const km_torch *t, const char *name, const char *overload, km_slot *stack,
                  km_err *err)
{
    if (t->torch_call_dispatcher(name, overload, stack, TORCH_CONVENTIONS) != 0)
        return fail(t, KM_ECHILD, name, err);
    return 0;
}
