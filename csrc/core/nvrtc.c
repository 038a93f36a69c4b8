#include "core/nvrtc.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int km_nvrtc_open(km_nvrtc *n, const char *path, km_err *err)
{
    const struct {
        const char *name;
        void *slot;
    } wanted[] = {
        { "nvrtcVersion", &n->version },
        { "nvrtcCreateProgram", &n->create },
        { "nvrtcDestroyProgram", &n->destroy },
        { "nvrtcCompileProgram", &n->compile },
        { "nvrtcGetProgramLogSize", &n->log_size },
        { "nvrtcGetProgramLog", &n->log },
        { "nvrtcGetCUBINSize", &n->cubin_size },
        { "nvrtcGetCUBIN", &n->cubin },
        { "nvrtcGetPTXSize", &n->ptx_size },
        { "nvrtcGetPTX", &n->ptx },
        { "nvrtcGetErrorString", &n->error_string },
        { "nvrtcGetNumSupportedArchs", &n->arch_count },
        { "nvrtcGetSupportedArchs", &n->archs },
    };

    n->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!n->library)
        return km_fail(err, KM_EENV, "unable to load the CUDA run-time compiler: %s", dlerror());
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *function = dlsym(n->library, wanted[i].name);
        if (!function)
            return km_fail(err, KM_EENV, "'%s' has no function %s", path, wanted[i].name);
        memcpy(wanted[i].slot, &function, sizeof function);
    }
    return 0;
}

int km_nvrtc_archs(const km_nvrtc *n, int out[KM_NVRTC_ARCHS_MAX])
{
    int count = 0;

    if (n->arch_count(&count) != 0 || count > KM_NVRTC_ARCHS_MAX || n->archs(out) != 0)
        return 0;
    return count;
}

/* What a source written for nvcc trips over. */
static void hint_at_device_code(const char *log, km_err *err)
{
    if (strstr(log, "cannot open source file") || strstr(log, "not allowed in JIT mode"))
        km_hint(err, "a .cu file here holds device code only: the launch, and all that needs the "
                     "host's headers, stands in a .c file (see kernmill/launch.h)");
}

/* The compiler's log as the error. */
static int fail_with_log(const km_nvrtc *n, void *program, int code, const char *name, km_err *err)
{
    size_t size = 0;
    char *log = NULL;

    if (n->log_size(program, &size) == 0 && size > 1)
        log = malloc(size);
    if (log && n->log(program, log) == 0) {
        km_fail(err, KM_ECHILD, "%s", log);
        hint_at_device_code(log, err);
    } else
        km_fail(err, KM_ECHILD, "%s: %s", name, n->error_string(code));
    free(log);
    return KM_ECHILD;
}

static int take_image(const km_nvrtc *n, void *program, bool ptx, km_str *out, km_err *err)
{
    size_t size = 0;
    char *image;
    int code = ptx ? n->ptx_size(program, &size) : n->cubin_size(program, &size);

    if (code || !size)
        return km_fail(err, KM_ECHILD, "the CUDA run-time compiler made no image");
    image = malloc(size);
    if (!image)
        return km_fail_nomem(err);
    code = ptx ? n->ptx(program, image) : n->cubin(program, image);
    if (!code) /* PTX counts its terminator */
        km_str_add_bytes(out, image, ptx ? size - 1 : size);
    free(image);
    return code ? km_fail(err, KM_ECHILD, "%s", n->error_string(code)) : km_str_check(out, err);
}

int km_nvrtc_compile(const km_nvrtc *n, const char *source, const char *name,
                     const char *const *options, size_t option_count, bool ptx, km_str *out,
                     km_err *err)
{
    void *program = NULL;
    int rc, code = n->create(&program, source, name, 0, NULL, NULL);

    if (code)
        return km_fail(err, KM_ECHILD, "%s: %s", name, n->error_string(code));
    code = n->compile(program, (int)option_count, options);
    rc = code ? fail_with_log(n, program, code, name, err) : take_image(n, program, ptx, out, err);
    n->destroy(&program);
    return rc;
}
