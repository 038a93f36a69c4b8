#include "pkg/doctor.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/path.h"
#include "core/proc.h"
#include "core/str.h"
#include "pkg/device.h"
#include "pkg/home.h"
#include "pkg/toolkit.h"

#define SYMPTOMS_MAX 24

const char *const km_need_names[] = { "build", "cuda", "test", "model", "hub", "gpu" };

static void add(km_diagnosis *d, const char *what, km_need need, const char *found,
                const char *line)
{
    d->items[d->count++] = (km_symptom){ what, need, found, line };
}

/* The first line that a program prints about itself, and where it is. */
static const char *program(km_arena *a, const char *name)
{
    const char *path = km_path_program(a, name), *line = NULL;
    const char *const argv[] = { path, "--version", NULL };
    km_proc p = { .argv = argv, .timeout_ms = 20000 };
    km_proc_result r = KM_PROC_RESULT_INIT;

    if (!path)
        return NULL;
    if (km_proc_check(&p, &r, NULL) == 0)
        line = km_arena_printf(a, "%.*s, %s", (int)strcspn(r.out.data, "\n"), r.out.data, path);
    km_proc_result_release(&r);
    return line ? line : path;
}

/* Python's answer about a package: its version, or NULL. */
static const char *package_version(km_arena *a, const char *answers, const char *name)
{
    const char *line = answers;
    size_t n = strlen(name);

    while (line && *line) {
        if (strncmp(line, name, n) == 0 && line[n] == ' ' && line[n + 1] != '-')
            return km_arena_strndup(a, line + n + 1, strcspn(line + n + 1, "\n"));
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return NULL;
}

static const char *ask_python(km_arena *a, const km_home *home)
{
    static const char script[] =
        "import importlib.metadata as m\n"
        "for n in ('pytest','torch','kernels','transformers','huggingface_hub'):\n"
        "    try: print(n, m.version(n))\n"
        "    except m.PackageNotFoundError: print(n, '-')\n";
    const char *const argv[] = { home->python, "-c", script, NULL };
    km_proc p = { .argv = argv, .timeout_ms = 60000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    const char *answers = "";

    if (home->python && km_proc_check(&p, &r, NULL) == 0)
        answers = km_arena_strdup(a, r.out.data);
    km_proc_result_release(&r);
    return answers ? answers : "";
}

static void diagnose_python(km_arena *a, const km_home *home, km_diagnosis *d)
{
    static const struct {
        const char *name;
        km_need need;
        const char *line;
    } packages[] = {
        { "torch", KM_NEED_TEST, "pip install 'torch>=2.10'" },
        { "pytest", KM_NEED_TEST, "pip install pytest" },
        { "kernels", KM_NEED_MODEL, "pip install kernels==0.17.2" },
        { "transformers", KM_NEED_MODEL, "pip install transformers==5.22.2" },
    };
    const char *answers = ask_python(a, home);

    add(d, "Python", KM_NEED_TEST, home->python, "apt install python3, or set KERNMILL_PYTHON");
    for (size_t i = 0; i < sizeof packages / sizeof packages[0]; i++)
        add(d, packages[i].name, packages[i].need, package_version(a, answers, packages[i].name),
            packages[i].line);
}

static void diagnose_cuda(km_arena *a, const km_home *home, km_diagnosis *d)
{
    const char *version = NULL, *line = KM_TOOLKIT_INSTALL;
    km_toolkit t;

    km_toolkit_find(a, home, &t);
    if (t.nvrtc && km_device_compiler_version(a, &t, false, &version, NULL) == 0)
        version = km_arena_printf(a, "%s, %s", version, t.nvrtc);
    add(d, "CUDA run-time compiler", KM_NEED_CUDA, version, line);
    add(d, "CUDA headers", KM_NEED_CUDA, t.includes[0], line);
    add(d, "fatbinary", KM_NEED_CUDA, t.fatbinary, line);
    if (t.nvcc) /* only for build --compiler nvcc */
        add(d, "nvcc", KM_NEED_CUDA, t.nvcc, "");
    if (t.zig) /* only for build --host */
        add(d, "zig", KM_NEED_BUILD, t.zig, "");
}

/* The driver's own word, without initialising a GPU for longer than the question. */
static const char *driver(km_arena *a)
{
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    int (*version)(int *) = NULL, (*init)(unsigned) = NULL, (*count)(int *) = NULL;
    int v = 0, n = 0;

    if (!cuda)
        return NULL;
    *(void **)(void *)&version = dlsym(cuda, "cuDriverGetVersion");
    *(void **)(void *)&init = dlsym(cuda, "cuInit");
    *(void **)(void *)&count = dlsym(cuda, "cuDeviceGetCount");
    if (!version || !init || !count || version(&v) != 0 || init(0) != 0 || count(&n) != 0 || !n)
        return NULL;
    return km_arena_printf(a, "%d device%s, driver for CUDA %d.%d", n, n == 1 ? "" : "s", v / 1000,
                           v % 1000 / 10);
}

/* What kernmill-net would be linked with. */
static const char *curl(km_arena *a)
{
    void *library = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
    char *(*version)(void) = NULL;
    const char *found = NULL;

    if (!library)
        return NULL;
    *(void **)(void *)&version = dlsym(library, "curl_version");
    if (version)
        found = km_arena_strndup(a, version(), strcspn(version(), " "));
    dlclose(library);
    return found;
}

int km_diagnose(km_arena *a, km_diagnosis *out, km_err *err)
{
    km_home home;

    *out = (km_diagnosis){ km_arena_array(a, SYMPTOMS_MAX, sizeof *out->items), 0 };
    if (!out->items)
        return km_fail_nomem(err);
    if (km_home_find(a, &home, err) < 0)
        return KM_EENV;
    add(out, "C compiler", KM_NEED_BUILD, program(a, "cc"), "apt install gcc");
    add(out, "Ninja", KM_NEED_BUILD, program(a, "ninja"), "apt install ninja-build");
    add(out, "SDK headers", KM_NEED_BUILD, home.include, "pip install kernmill");
    diagnose_cuda(a, &home, out);
    diagnose_python(a, &home, out);
    add(out, "libcurl", KM_NEED_HUB, curl(a), "apt install libcurl4");
    add(out, "hf", KM_NEED_HUB, km_path_program(a, "hf"), "pip install huggingface_hub");
    add(out, "GPU", KM_NEED_GPU, driver(a), "an NVIDIA driver, 525 or newer");
    return 0;
}
