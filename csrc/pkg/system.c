#include "pkg/system.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/proc.h"
#include "core/str.h"
#include "formats/json.h"
#include "pkg/home.h"
#include "pkg/variant.h"

const km_system_module km_system_modules[] = {
    { "einops", "einops", "einops", NULL },
    { "helion", "helion", "helion", NULL },
    { "tvm-ffi", "apache-tvm-ffi", "tvm_ffi", NULL },
    { "nvidia-cutlass-dsl", "nvidia-cutlass-dsl", "cutlass", "cuda" },
    { "nki", "nki", "nki", "neuron" },
    { "onednn", "onednn-devel", NULL, "xpu" },
    { NULL, NULL, NULL, NULL },
};

/* CUDA's versions and the driver branches that they came with. */
static const struct {
    int version, branch;
} branches[] = { { 12000, 525 }, { 12010, 530 }, { 12020, 535 }, { 12030, 545 },
                 { 12040, 550 }, { 12050, 555 }, { 12060, 560 }, { 12070, 565 },
                 { 12080, 570 }, { 12090, 575 }, { 13000, 580 }, { 13010, 590 } };

int km_driver_of_cuda(int version)
{
    int branch = 0;

    for (size_t i = 0; i < sizeof branches / sizeof branches[0]; i++)
        if (version >= branches[i].version)
            branch = branches[i].branch;
    return branch;
}

int km_driver_for_cuda(unsigned cuda_major)
{
    return cuda_major == 12 ? 525 : cuda_major == 13 ? 580 : 0;
}

const char *km_system_family(const char *backend, char out[16])
{
    size_t n = strcspn(backend, "0123456789");

    snprintf(out, 16, "%.*s", (int)(n < 15 ? n : 15), backend);
    if (strcmp(out, "cu") == 0)
        return "cuda";
    return strcmp(out, "cann") == 0 ? "npu" : out;
}

bool km_system_set_backend(km_system *s, const char *text)
{
    char name[64];
    km_variant v;

    snprintf(name, sizeof name, "torch-stable-abi210-%s-x86_64-linux", text);
    if (km_variant_parse(name, &v, NULL) < 0)
        return false;
    memcpy(s->backend, v.compute, sizeof s->backend);
    s->cuda_major = v.cuda_major;
    s->cuda_minor = v.cuda_minor;
    return true;
}

/* The first number of a file, "580.95.05", or 0. A file of the kernel's has not the size it says.
 */
static int first_number(const char *path)
{
    char text[64] = "";
    FILE *f = fopen(path, "re");
    bool read = f && fgets(text, sizeof text, f);

    if (f)
        fclose(f);
    return read ? (int)strtol(text + strcspn(text, "0123456789"), NULL, 10) : 0;
}

/* The driver's own word. */
struct driver {
    int (*version)(int *);
    int (*init)(unsigned);
    int (*count)(int *);
    int (*device)(int *, int);
    int (*attribute)(int *, int, int);
};

static bool open_driver(struct driver *d)
{
    static const char *const names[] = { "cuDriverGetVersion", "cuInit", "cuDeviceGetCount",
                                         "cuDeviceGet", "cuDeviceGetAttribute" };
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *found;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        found = cuda ? dlsym(cuda, names[i]) : NULL;
        if (!found)
            return false;
        memcpy((char *)d + i * sizeof found, &found, sizeof found);
    }
    return true;
}

static void find_gpus(km_system *s)
{
    enum { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };
    int n = 0, version = 0, device, major, minor;
    struct driver d;

    s->driver = KM_DRIVER_NONE;
    s->gpus_known = true;
    if (!open_driver(&d))
        return;
    s->driver = first_number("/sys/module/nvidia/version");
    if (!s->driver && d.version(&version) == 0)
        s->driver = km_driver_of_cuda(version);
    if (d.init(0) != 0 || d.count(&n) != 0)
        return;
    for (int i = 0; i < n && s->gpu_count < KM_GPUS_MAX; i++)
        if (d.device(&device, i) == 0 && d.attribute(&major, CAPABILITY_MAJOR, device) == 0 &&
            d.attribute(&minor, CAPABILITY_MINOR, device) == 0)
            s->gpus[s->gpu_count++] = (unsigned)(major * 10 + minor);
}

static unsigned x86_level(void)
{
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4"))
        return 4;
    if (__builtin_cpu_supports("x86-64-v3"))
        return 3;
    return __builtin_cpu_supports("x86-64-v2") ? 2 : 1;
#else
    return 0;
#endif
}

static void find_hardware(km_system *s)
{
    struct utsname u;

    uname(&u);
    snprintf(s->os, sizeof s->os, "linux");
    snprintf(s->cpu, sizeof s->cpu, "%.15s", u.machine);
    s->x86_level = x86_level();
    km_version_parse(gnu_get_libc_version(), &s->glibc);
    find_gpus(s);
}

/* What the client would see, without importing torch where its files say it: that takes seconds.
 * An extension that changes torch's backend, a Mac, or a torch from before the cxx11 ABI is asked.
 */
static const char script[] =
    "import sys\n"
    "sys.path[:] = [p for p in sys.path if p]\n"
    "import ctypes, ctypes.util, importlib.metadata as m, importlib.util as u, json, os, "
    "sysconfig\n"
    "def version(n):\n"
    "    try: return m.version(n)\n"
    "    except m.PackageNotFoundError: return ''\n"
    "def two(v): return '.'.join(v.split('.')[:2])\n"
    "def has(n): return u.find_spec(n) is not None\n"
    "def compute(f):\n"
    "    if f.get('cuda'): return 'cu' + two(f['cuda']).replace('.', '')\n"
    "    if f.get('hip'): return 'rocm' + two(f['hip'].split('-')[0]).replace('.', '')\n"
    "    if f.get('xpu'): return 'xpu' + f['xpu'][0:4] + f['xpu'][5:6]\n"
    "    return 'cpu'\n"
    "def asked():\n"
    "    import torch\n"
    "    if hasattr(torch.backends, 'tpu'): return 'tpu'\n"
    "    if hasattr(torch, 'neuron'): return 'neuron'\n"
    "    if torch.backends.mps.is_available(): return 'metal'\n"
    "    if getattr(torch._C, '_get_privateuse1_backend_name', str)() == 'npu':\n"
    "        from torch_npu.utils.collect_env import get_cann_version\n"
    "        return 'cann' + get_cann_version()[0] + get_cann_version()[2]\n"
    "def runtime():\n"
    "    n, v = ctypes.util.find_library('cudart'), ctypes.c_int(0)\n"
    "    try: ctypes.CDLL(n or '-').cudaRuntimeGetVersion(ctypes.byref(v))\n"
    "    except OSError: return 'cpu'\n"
    "    return f'cu{v.value // 1000}{v.value % 1000 // 10}' if v.value else 'cpu'\n"
    "o = {'python': '%d.%d' % sys.version_info[:2], 'torch': '', 'abi': 'cxx11',\n"
    "     'free': bool(sysconfig.get_config_var('Py_GIL_DISABLED')),\n"
    "     'kernels': version('kernels'), 'tvm_ffi': two(version('apache-tvm-ffi')),\n"
    "     'modules': [n for n in sys.argv[1:] if has(n)]}\n"
    "t = u.find_spec('torch')\n"
    "if t:\n"
    "    f = {}\n"
    "    exec(open(os.path.join(t.submodule_search_locations[0], 'version.py')).read(), f)\n"
    "    o['torch'] = two(f['__version__'])\n"
    "    special = sys.platform == 'darwin' or any(map(has, ('torch_tpu', 'torch_neuronx', "
    "'torch_npu')))\n"
    "    o['backend'] = special and asked() or compute(f)\n"
    "    if tuple(map(int, o['torch'].split('.'))) < (2, 7):\n"
    "        import torch\n"
    "        o['abi'] = 'cxx11' if torch.compiled_with_cxx11_abi() else 'cxx98'\n"
    "else: o['backend'] = runtime()\n"
    "print(json.dumps(o))\n";

/* The numbers that a version starts with: "0.17.2.dev0" is 0.17.2. */
static void take_version(const json_t *answer, const char *key, km_version *out)
{
    char text[32];
    size_t n = 0;

    snprintf(text, sizeof text, "%s", km_json_text_of(answer, key));
    while (text[n] >= '0' && text[n] <= '9') {
        n += strspn(text + n, "0123456789");
        if (text[n] == '.' && text[n + 1] >= '0' && text[n + 1] <= '9')
            n++;
    }
    text[n] = '\0';
    km_version_parse(text, out);
}

static int take_answer(km_system *s, const json_t *answer, km_err *err)
{
    const json_t *modules = json_object_get(answer, "modules");

    take_version(answer, "python", &s->python);
    take_version(answer, "torch", &s->torch);
    take_version(answer, "kernels", &s->kernels);
    take_version(answer, "tvm_ffi", &s->tvm_ffi);
    s->free_threaded = json_is_true(json_object_get(answer, "free"));
    s->cxx11_abi = strcmp(km_json_text_of(answer, "abi"), "cxx11") == 0;
    for (size_t i = 0; i < json_array_size(modules); i++)
        for (size_t j = 0; km_system_modules[j].depends; j++)
            if (km_system_modules[j].module &&
                strcmp(km_system_modules[j].module,
                       json_string_value(json_array_get(modules, i))) == 0)
                s->modules |= 1u << j;
    if (!km_system_set_backend(s, km_json_text_of(answer, "backend")))
        return km_fail(err, KM_EENV, "torch here computes with '%s', which no variant is named for",
                       km_json_text_of(answer, "backend"));
    return 0;
}

static int ask_python(km_system *s, const char *python, km_err *err)
{
    const char *argv[16] = { python, "-c", script };
    km_proc p = { .argv = argv, .timeout_ms = 120000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    km_err why = KM_ERR_INIT;
    json_t *answer = NULL;
    size_t n = 3;
    int rc;

    for (size_t i = 0; km_system_modules[i].depends; i++)
        if (km_system_modules[i].module)
            argv[n++] = km_system_modules[i].module;
    rc = km_proc_check(&p, &r, &why);
    if (rc < 0)
        rc = km_fail(err, KM_EENV, "'%s' cannot say what it has: %s", python, why.message);
    if (rc == 0)
        rc = km_json_parse(r.out.data, r.out.length, python, &answer, err);
    if (rc == 0)
        rc = take_answer(s, answer, err);
    json_decref(answer);
    km_proc_result_release(&r);
    return rc;
}

int km_system_find(km_system *out, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_home home;
    int rc;

    *out = (km_system){ .backend = "cpu", .cxx11_abi = true };
    find_hardware(out);
    rc = km_home_find(&a, &home, err);
    if (rc == 0 && home.python)
        rc = ask_python(out, home.python, err);
    km_arena_release(&a);
    return rc;
}
