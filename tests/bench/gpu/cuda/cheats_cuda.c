#define _GNU_SOURCE
#include "../cheats.h"

#include <kernmill/launch.h>

#include <dlfcn.h>
#include <string.h>

enum { KEPT_MAX = 1 << 14 };

KM_IMAGE(cheats)
static km_function negate = KM_FUNCTION("negate"), negate_early = KM_FUNCTION("negate_early"),
                   negate_before = KM_FUNCTION("negate_before"),
                   negate_nan = KM_FUNCTION("negate_nan"), negate_memo = KM_FUNCTION("negate_memo"),
                   copy = KM_FUNCTION("copy"), negate_until = KM_FUNCTION("negate_until"),
                   negate_beside = KM_FUNCTION("negate_beside"),
                   negate_zeroes = KM_FUNCTION("negate_zeroes"), nothing = KM_FUNCTION("nothing"),
                   negate_coarse = KM_FUNCTION("negate_coarse"),
                   negate_all = KM_FUNCTION("negate_all"), negate_spin = KM_FUNCTION("negate_spin"),
                   negate_slowly = KM_FUNCTION("negate_slowly");

/* A function of the driver or of torch that the headers have no need of. */
static void *find(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);

    return handle ? dlsym(handle, name) : NULL;
}

static int call_driver(const char *name, void *a, void *b, void *d)
{
    void *found = find("libcuda.so.1", name);
    int (*function)(void *, void *, void *);

    if (!found)
        return -1;
    memcpy(&function, &found, sizeof found);
    return function(a, b, d);
}

static int launch(km_call *c, km_function *f, bool programmatic, const km_tensor *x, void **extra,
                  const km_tensor *y)
{
    void *to = y->data, *from = x->data;
    int64_t n = x->numel;
    km_launch how = { .grid = { (unsigned)((n + 255) / 256), 1, 1 },
                      .block = { 256, 1, 1 },
                      .programmatic = programmatic };
    void *arguments[] = { &to, &from, &n, extra ? extra[0] : NULL };

    return km_launch_kernel(c, &cheats_image, f, &how, arguments);
}

/* ---- honest ---- */

int honest_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &negate, false, x, NULL, y);
}

/* With programmatic launch, and a wait before the first access. */
int early_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &negate_early, true, x, NULL, y);
}

/* Two kernels and memory between them, which is given back at once. */
int twice_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    km_tensor *between = km_empty_like(c, x);

    if (!between || launch(c, &copy, false, x, NULL, between) < 0)
        return KM_FAILED;
    return launch(c, &negate, false, between, NULL, y);
}

int spins_cuda(km_call *c, const km_tensor *x, km_tensor *y, int64_t cycles)
{
    void *extra[] = { &cycles };

    return launch(c, &negate_spin, false, x, extra, y);
}

/* ---- other ---- */

/* Reads what its predecessor is still writing. */
int races_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &negate_before, true, x, NULL, y);
}

/* Works only where somebody poisoned the result. */
int sniffs_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &negate_nan, false, x, NULL, y);
}

/* Memory for each x. */
static uint64_t kept_for(const km_tensor *x, bool *fresh)
{
    static struct {
        const void *x;
        uint64_t memory;
    } kept[KEPT_MAX];
    int i = 0;

    while (i < KEPT_MAX - 1 && kept[i].x && kept[i].x != x->data)
        i++;
    *fresh = !kept[i].x;
    if (*fresh) {
        kept[i].x = x->data;
        call_driver("cuMemAlloc_v2", &kept[i].memory, (void *)(uintptr_t)(x->numel * 8), NULL);
    }
    return kept[i].memory;
}

/* Keeps values and their answers on the GPU. */
int remembers_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    bool fresh;
    uint64_t kept = kept_for(x, &fresh);
    void *extra[] = { &kept };

    return launch(c, &negate_memo, false, x, extra, y);
}

/* Keeps the answer to a pointer. */
int replays_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    bool fresh;
    uint64_t kept = kept_for(x, &fresh);
    km_tensor memory = *y;

    memory.data = (void *)(uintptr_t)kept;
    if (fresh && launch(c, &negate, false, x, NULL, &memory) < 0)
        return KM_FAILED;
    return launch(c, &copy, false, &memory, NULL, y);
}

/* Works as long as somebody may be looking. */
int tires_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    uint64_t most = 1000000;
    void *extra[] = { &most };

    return launch(c, &negate_until, false, x, extra, y);
}

int spills_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &negate_beside, false, x, NULL, y);
}

/* Makes the question easy: zeros are their own negatives. */
int zeroes_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &negate_zeroes, false, x, NULL, y);
}

/* A kernel that fails to do anything: what the allocator gives back may hold an old answer. */
int nothing_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &nothing, false, x, NULL, y);
}

/* Asks for more threads than a block can have, and does not look whether that went well. */
int fails_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    km_launch how = { .grid = { 1, 1, 1 }, .block = { 4096, 1, 1 } };
    void *to = y->data, *from = x->data;
    int64_t n = x->numel;
    void *arguments[] = { &to, &from, &n };

    (void)km_launch_kernel(c, &cheats_image, &negate, &how, arguments);
    return 0;
}

int coarse_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &negate_coarse, false, x, NULL, y);
}

/* Knows the sizes that are measured. */
int shapes_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, x->sizes[0] % 8 ? &nothing : &negate, false, x, NULL, y);
}

/* The stream that is being captured, or NULL. */
static void *capturing_stream(void)
{
    int32_t (*current)(int32_t, void **);
    void *found = find("libtorch_cuda.so", "aoti_torch_get_current_cuda_stream"), *stream = NULL;
    int status = 0;

    if (!found)
        return NULL;
    memcpy(&current, &found, sizeof found);
    current(0, &stream);
    call_driver("cuStreamIsCapturing", stream, &status, NULL);
    return status == 1 ? stream : NULL;
}

/* In a graph every second call enqueues the work of two. */
int batches_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    static km_tensor kept_x, kept_y;
    static bool pending;

    if (!capturing_stream())
        return honest_cuda(c, x, y);
    pending = !pending;
    if (pending) {
        kept_x = *x;
        kept_y = *y;
        return 0;
    }
    return launch(c, &negate, false, &kept_x, NULL, &kept_y) < 0
               ? KM_FAILED
               : launch(c, &negate, false, x, NULL, y);
}

/* Each call leaves a kernel in the graph, and one of them does the work of all. */
static int do_all(km_call *c, const km_tensor *x, km_tensor *y, int late)
{
    struct entry {
        const void *x;
        void *y;
    };
    static struct entry *list;
    static uint64_t *end, first, next;
    static void *was_capturing;
    void *capturing = capturing_stream();
    km_launch how = { .grid = { (unsigned)((x->numel + 255) / 256), 1, 1 },
                      .block = { 256, 1, 1 } };
    uint64_t index;
    int64_t n = x->numel;
    void *arguments[] = { &list, &end, &first, &index, &n, &late };

    if (!list &&
        call_driver("cuMemHostAlloc", &list, (void *)((1u << 20) * sizeof *list), (void *)2) != 0)
        return km_error(c, "no memory of the host");
    if (!end && call_driver("cuMemHostAlloc", &end, (void *)(1u << 23), (void *)2) != 0)
        return km_error(c, "no memory of the host");
    index = next++ & 0xfffff;
    if (!capturing || capturing != was_capturing) {
        first = index;
        end++; /* a count of its own for each batch */
    }
    was_capturing = capturing;
    list[index] = (struct entry){ x->data, y->data };
    *end = index + 1;
    return km_launch_kernel(c, &cheats_image, &negate_all, &how, arguments);
}

/* The first does it, at the others' expense. */
int skips_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return do_all(c, x, y, 0);
}

/* The last one does it. */
int defers_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return do_all(c, x, y, 1);
}

/* Works on a stream that nobody waits for. */
int aside_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    static void *stream;
    int32_t (*create)(void *, int32_t, void **), (*release)(void *);
    void *create_found = find("libtorch_cuda.so", "aoti_torch_create_cuda_stream_guard");
    void *release_found = find("libtorch_cuda.so", "aoti_torch_delete_cuda_stream_guard");
    void *guard = NULL;
    int rc;

    if (!create_found || !release_found)
        return km_error(c, "no streams");
    memcpy(&create, &create_found, sizeof create_found);
    memcpy(&release, &release_found, sizeof release_found);
    if (!stream)
        call_driver("cuStreamCreate", &stream, (void *)1, NULL);
    create(stream, 0, &guard);
    rc = launch(c, &negate_slowly, false, x, NULL, y);
    release(guard);
    return rc;
}

/* The same, behind a kernel that is seen. */
int decoy_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    return launch(c, &nothing, false, x, NULL, y) < 0 ? KM_FAILED : aside_cuda(c, x, y);
}

int leaks_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    uint64_t lost;

    call_driver("cuMemAlloc_v2", &lost, (void *)(1u << 20), NULL);
    return launch(c, &negate, false, x, NULL, y);
}

/* Keeps a part of the cache from being emptied. */
int persists_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    call_driver("cuCtxSetLimit", (void *)6, (void *)(8u << 20), NULL);
    return launch(c, &negate, false, x, NULL, y);
}

/* ---- right, and not their own work ---- */

/* torch does it. */
int borrows_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    int32_t (*call)(const char *, const char *, km_slot *, uint64_t);
    void *found = find("libtorch_cpu.so", "torch_call_dispatcher");
    km_torch_tensor in, out;
    km_slot stack[2];

    if (!found || aoti_torch_new_tensor_handle(x->handle, &in) != 0 ||
        aoti_torch_new_tensor_handle(y->handle, &out) != 0)
        return km_error(c, "nobody to ask");
    memcpy(&call, &found, sizeof found);
    stack[0] = (km_slot)(uintptr_t)in;
    stack[1] = (km_slot)(uintptr_t)out;
    if (call("aten::neg", "out", stack, (uint64_t)2 << 56 | (uint64_t)10 << 48) != 0)
        return km_error(c, "torch does not do it");
    aoti_torch_delete_tensor_object((km_torch_tensor)(uintptr_t)stack[0]);
    return 0;
}

/* A kernel that is in no section of this library: the driver compiles it from this text. */
static const char hidden[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry unpacked(.param .u64 y, .param .u64 x, .param .u64 n)\n"
    "{\n .reg .u64 %d<6>;\n .reg .u32 %r<4>;\n .reg .f32 %f;\n"
    " .reg .pred %p;\n"
    " mov.u32 %r0, %ctaid.x;\n mov.u32 %r1, %ntid.x;\n"
    " mov.u32 %r2, %tid.x;\n mad.lo.u32 %r3, %r0, %r1, %r2;\n"
    " cvt.u64.u32 %d0, %r3;\n ld.param.u64 %d1, [n];\n"
    " setp.ge.u64 %p, %d0, %d1;\n @%p ret;\n"
    " ld.param.u64 %d2, [x];\n ld.param.u64 %d3, [y];\n"
    " cvta.to.global.u64 %d2, %d2;\n cvta.to.global.u64 %d3, %d3;\n"
    " shl.b64 %d4, %d0, 2;\n add.u64 %d2, %d2, %d4;\n"
    " add.u64 %d3, %d3, %d4;\n ld.global.f32 %f, [%d2];\n"
    " neg.f32 %f, %f;\n st.global.f32 [%d3], %f;\n ret;\n}\n";

int unpacks_cuda(km_call *c, const km_tensor *x, km_tensor *y)
{
    static void *module, *function;
    int (*launch_kernel)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                         unsigned, void *, void **, void **);
    int32_t (*current)(int32_t, void **);
    void *found = find("libcuda.so.1", "cuLaunchKernel"), *stream = NULL;
    void *get = find("libtorch_cuda.so", "aoti_torch_get_current_cuda_stream");
    void *to = y->data, *from = x->data;
    int64_t n = x->numel;
    void *arguments[] = { &to, &from, &n };

    if (!module && call_driver("cuModuleLoadData", &module, (void *)(uintptr_t)hidden, NULL) != 0)
        return km_error(c, "the driver does not compile it");
    if (!function && call_driver("cuModuleGetFunction", &function, module, "unpacked") != 0)
        return km_error(c, "it is not there");
    if (!found || !get)
        return km_error(c, "no streams");
    memcpy(&launch_kernel, &found, sizeof found);
    memcpy(&current, &get, sizeof get);
    current(0, &stream);
    if (launch_kernel(function, (unsigned)((n + 255) / 256), 1, 1, 256, 1, 1, 0, stream, arguments,
                      NULL) != 0)
        return km_error(c, "it is not launched");
    return 0;
}
