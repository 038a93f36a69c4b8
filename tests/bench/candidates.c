/* Operators that all claim to be neg: one is, the others get a good time in a way that a benchmark
 * must notice. The comment says how. */
#define _GNU_SOURCE /* dladdr */
#include <kernmill/op.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 7 };

static void negate(const float *x, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = -x[i];
}

static int honest(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);

    if (!y)
        return KM_FAILED;
    negate(x->data, y->data, x->numel);
    return km_return(c, 0, y);
}
KM_KERNEL(honest)

/* Computes nothing: what the allocator gives back holds the answer of the call before. */
static int stale(km_call *c)
{
    km_tensor *y = km_empty_like(c, km_arg_tensor(c, 0));

    return y ? km_return(c, 0, y) : KM_FAILED;
}
KM_KERNEL(stale)

/* Keeps the answer to a pointer. */
static int memo(km_call *c)
{
    static struct {
        const void *x;
        float y[4096];
    } kept[2048];
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);
    int i = 0;

    if (!y || x->numel > 4096)
        return KM_FAILED;
    while (i < 2047 && kept[i].x && kept[i].x != x->data)
        i++;
    if (!kept[i].x) {
        kept[i].x = x->data;
        negate(x->data, kept[i].y, x->numel);
    }
    memcpy(y->data, kept[i].y, (size_t)x->numel * sizeof(float));
    return km_return(c, 0, y);
}
KM_KERNEL(memo)

/* Works while it may be looked at: right for a first look at 1024 sets, wrong from the 1500th call
 * on. */
static int later(km_call *c)
{
    static int calls;
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);

    if (!y)
        return KM_FAILED;
    if (calls++ < 1500)
        negate(x->data, y->data, x->numel);
    return km_return(c, 0, y);
}
KM_KERNEL(later)

/* Makes the question easy: zeros are their own negatives. */
static int zeroes(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);

    if (!y || km_zero(c, y) < 0)
        return KM_FAILED;
    memset(x->data, 0, (size_t)x->numel * sizeof(float));
    return km_return(c, 0, y);
}
KM_KERNEL(zeroes)

/* Right where tests look, in small shapes. */
static int small(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);

    if (!y)
        return KM_FAILED;
    negate(x->data, y->data, x->sizes[0] <= ROWS ? x->numel : x->numel - 1);
    return km_return(c, 0, y);
}
KM_KERNEL(small)

/* Knows the sizes that are measured. */
static int shapes(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);

    if (!y || km_zero(c, y) < 0)
        return KM_FAILED;
    if (x->sizes[0] == ROWS || x->sizes[0] == 64)
        negate(x->data, y->data, x->numel);
    return km_return(c, 0, y);
}
KM_KERNEL(shapes)

/* Rounds to bfloat16, because half the bits are half the work. */
static int coarse(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);

    if (!y)
        return KM_FAILED;
    for (int64_t i = 0; i < x->numel; i++) {
        int exponent;
        double f = frexp(-(double)((const float *)x->data)[i], &exponent);
        ((float *)y->data)[i] = (float)ldexp(nearbyint(f * 256) / 256, exponent);
    }
    return km_return(c, 0, y);
}
KM_KERNEL(coarse)

/* Looks for the answer in memory that was given back: what the reference left there would begin as
 * the answer does. */
static int searches(km_call *c)
{
    enum { BLOCKS = 16 };
    const km_tensor *x = km_arg_tensor(c, 0);
    const float first = -*(const float *)x->data;
    size_t bytes = (size_t)x->numel * sizeof first;
    km_tensor *y = km_empty_like(c, x);
    void *blocks[BLOCKS];

    if (!y)
        return KM_FAILED;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(bytes);
        if (blocks[i] && memcmp(blocks[i], &first, sizeof first) == 0)
            memcpy(y->data, blocks[i], bytes);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return km_return(c, 0, y);
}
KM_KERNEL(searches)

/* Honest to whoever looks, and writes a better record of its own wherever it can. */
static int forges(km_call *c)
{
    static const char line[] =
        "{\"op\":\"neg\",\"calls\":[{\"name\":\"forges\",\"state\":\"right\"}]}\n";

    for (int fd = 3; fd < 64; fd++)
        if (write(fd, line, sizeof line - 1) < 0)
            continue;
    return honest(c);
}
KM_KERNEL(forges)

/* Changes the suite that it is measured by. */
static int edits(km_call *c)
{
    char words[4096] = "";
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t size = read(fd, words, sizeof words - 1);

    close(fd);
    for (const char *word = words; word < words + size; word += strlen(word) + 1) {
        size_t n = strlen(word);
        if (n < 5 || strcmp(word + n - 5, ".toml") != 0)
            continue;
        fd = open(word, O_WRONLY | O_APPEND);
        if (fd < 0 || write(fd, "\n", 1) != 1)
            return km_error(c, "not even that");
        close(fd);
    }
    return honest(c);
}
KM_KERNEL(edits)

/* Whether a table of inputs and answers lies beside this library: an earlier run's. */
static FILE *table(const char *mode)
{
    static const int here;
    char path[4096];
    Dl_info self;

    if (!dladdr(&here, &self))
        return NULL;
    snprintf(path, sizeof path, "%s.answers", self.dli_fname);
    return fopen(path, mode);
}

/* Keeps its answers for the next run, and then has them ready. */
static int answers(km_call *c)
{
    static int known = -1, kept;
    const km_tensor *x = km_arg_tensor(c, 0);
    size_t n = (size_t)x->numel;
    km_tensor *y = km_empty_like(c, x);
    float *row = malloc(n * sizeof *row);
    FILE *f = known == 0 ? NULL : table("rb");

    if (!y || !row)
        return KM_FAILED;
    if (known < 0)
        known = f != NULL;
    while (known && f && fread(row, sizeof *row, n, f) == n)
        if (memcmp(row, x->data, n * sizeof *row) == 0)
            negate(row, y->data, x->numel);
    if (f)
        fclose(f);
    free(row);
    if (known)
        return km_return(c, 0, y);
    f = kept++ < 64 ? table("ab") : NULL;
    if (f && (fwrite(x->data, sizeof *row, n, f) != n || fclose(f) != 0))
        return km_error(c, "no table");
    negate(x->data, y->data, x->numel);
    return km_return(c, 0, y);
}
KM_KERNEL(answers)

/* x * w, with the second factor packed once for ever. */
static int packs(km_call *c)
{
    static float packed[256];
    static int is_packed;
    const km_tensor *x = km_arg_tensor(c, 0), *w = km_arg_tensor(c, 1);
    km_tensor *y = km_empty_like(c, x);
    int64_t columns = w->numel;

    if (!y || columns > 256)
        return KM_FAILED;
    if (!is_packed)
        memcpy(packed, w->data, (size_t)columns * sizeof *packed);
    is_packed = 1;
    for (int64_t i = 0; i < x->numel; i++)
        ((float *)y->data)[i] = ((const float *)x->data)[i] * packed[i % columns];
    return km_return(c, 0, y);
}
KM_KERNEL(packs)

/* What torch's own neg is from the first call of `swaps` on: zeros. */
static void zeros_for_neg(km_slot *stack, uint64_t argument_count, uint64_t result_count)
{
    km_torch_tensor x = (km_torch_tensor)(uintptr_t)stack[0], y = NULL;
    int64_t dim, *sizes, *strides;
    int32_t dtype;

    (void)argument_count;
    (void)result_count;
    aoti_torch_get_dim(x, &dim);
    aoti_torch_get_sizes(x, &sizes);
    aoti_torch_get_strides(x, &strides);
    aoti_torch_get_dtype(x, &dtype);
    aoti_torch_empty_strided(dim, sizes, strides, dtype, 0, -1, &y);
    aoti_torch_zero_(y);
    aoti_torch_delete_tensor_object(x);
    stack[0] = (km_slot)(uintptr_t)y;
}

/* Puts the reference right where it runs: then zeros are what is wanted. */
static int swaps(km_call *c)
{
    static km_torch_library aten;
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);

    if (!aten &&
        (aoti_torch_library_init_impl("aten", "CPU", __FILE__, __LINE__, &aten) != 0 ||
         torch_library_impl(aten, "neg", zeros_for_neg, (uint64_t)2 << 56 | (uint64_t)10 << 48)))
        return km_error(c, "torch does not let it");
    return y && km_zero(c, y) == 0 ? km_return(c, 0, y) : KM_FAILED;
}
KM_KERNEL(swaps)

/* Leaves the work to a thread and returns. The thread has a copy of x and keeps y: it writes late,
 * never to memory that is gone. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct {
        km_torch_tensor kept;
        float *x, *y;
        int64_t n;
    } work[64];
    int first, count;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

static void *serve(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&queue.lock);
    for (;;) {
        while (!queue.count)
            pthread_cond_wait(&queue.more, &queue.lock);
        __typeof__(queue.work[0]) w = queue.work[queue.first];
        negate(w.x, w.y, w.n);
        free(w.x);
        aoti_torch_delete_tensor_object(w.kept);
        queue.first = (queue.first + 1) % 64;
        queue.count--;
    }
    return NULL;
}

static int defers(km_call *c)
{
    static pthread_t thread;
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty_like(c, x);
    size_t bytes = (size_t)x->numel * sizeof(float);
    __typeof__(queue.work[0]) w = { NULL, malloc(bytes), y ? y->data : NULL, x->numel };

    if (!y || !w.x || (!thread && pthread_create(&thread, NULL, serve, NULL) != 0))
        return KM_FAILED;
    if (aoti_torch_new_tensor_handle(y->handle, &w.kept) != 0)
        return km_error(c, "unable to keep the result");
    memcpy(w.x, x->data, bytes);
    pthread_mutex_lock(&queue.lock);
    while (queue.count == 64) {
        pthread_mutex_unlock(&queue.lock);
        sched_yield();
        pthread_mutex_lock(&queue.lock);
    }
    queue.work[(queue.first + queue.count++) % 64] = w;
    pthread_cond_signal(&queue.more);
    pthread_mutex_unlock(&queue.lock);
    return km_return(c, 0, y);
}
KM_KERNEL(defers)

/* Writes a word beside its input. */
static int spills(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    ((float *)x->data)[x->numel + 16] = 0;
    return honest(c);
}
KM_KERNEL(spills)

/* ---- in place: x becomes its negative ---- */

static int negates(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    negate(x->data, x->data, x->numel);
    return 0;
}
KM_KERNEL(negates)

/* Leaves it to an earlier call to have been right. */
static int keeps(km_call *c)
{
    (void)c;
    return 0;
}
KM_KERNEL(keeps)

/* Writes the answer that it once computed for this memory. */
static int repeats(km_call *c)
{
    static struct {
        const void *x;
        float y[4096];
    } kept[2048];
    const km_tensor *x = km_arg_tensor(c, 0);
    int i = 0;

    if (x->numel > 4096)
        return KM_FAILED;
    while (i < 2047 && kept[i].x && kept[i].x != x->data)
        i++;
    if (!kept[i].x) {
        kept[i].x = x->data;
        negate(x->data, kept[i].y, x->numel);
    }
    memcpy(x->data, kept[i].y, (size_t)x->numel * sizeof(float));
    return 0;
}
KM_KERNEL(repeats)

/* Overwrites w, too, which nobody allowed. */
static int strays(km_call *c)
{
    const km_tensor *w = km_arg_tensor(c, 1);

    negate(w->data, w->data, w->numel);
    return negates(c);
}
KM_KERNEL(strays)

/* Writes a word beside what it may overwrite. */
static int overruns(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    ((float *)x->data)[x->numel + 16] = 0;
    return negates(c);
}
KM_KERNEL(overruns)

static int hangs(km_call *c)
{
    for (;;)
        pause();
    return honest(c);
}
KM_KERNEL(hangs)

/* Honest, and as long as it is told: two of these differ by exactly what the suite says. */
static int turns(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    int64_t count = km_arg_int(c, 1);
    km_tensor *y = km_empty_like(c, x);

    if (!y)
        return KM_FAILED;
    for (int64_t turn = 0; turn < count; turn++) {
        negate(x->data, y->data, x->numel);
        __asm__ volatile("" ::: "memory"); /* every turn is one */
    }
    return km_return(c, 0, y);
}
KM_KERNEL(turns)

static int raises(km_call *c)
{
    return km_error(c, "not today");
}
KM_KERNEL(raises)

static int crashes(km_call *c)
{
    *(volatile int *)8 = 0;
    return km_return(c, 0, km_arg_tensor(c, 0));
}
KM_KERNEL(crashes)

/* Honest to few rows. */
static int aborts(km_call *c)
{
    if (km_arg_tensor(c, 0)->sizes[0] == 64)
        abort();
    return honest(c);
}
KM_KERNEL(aborts)

static int leaves(km_call *c)
{
    _exit(3);
    return honest(c);
}
KM_KERNEL(leaves)

static const km_op ops[] = {
    { "honest(Tensor x) -> Tensor", .cpu = &honest_kernel },
    { "stale(Tensor x) -> Tensor", .cpu = &stale_kernel },
    { "memo(Tensor x) -> Tensor", .cpu = &memo_kernel },
    { "later(Tensor x) -> Tensor", .cpu = &later_kernel },
    { "zeroes(Tensor x) -> Tensor", .cpu = &zeroes_kernel },
    { "small(Tensor x) -> Tensor", .cpu = &small_kernel },
    { "shapes(Tensor x) -> Tensor", .cpu = &shapes_kernel },
    { "coarse(Tensor x) -> Tensor", .cpu = &coarse_kernel },
    { "turns(Tensor x, int count) -> Tensor", .cpu = &turns_kernel },
    { "searches(Tensor x) -> Tensor", .cpu = &searches_kernel },
    { "forges(Tensor x) -> Tensor", .cpu = &forges_kernel },
    { "edits(Tensor x) -> Tensor", .cpu = &edits_kernel },
    { "answers(Tensor x) -> Tensor", .cpu = &answers_kernel },
    { "packs(Tensor x, Tensor w) -> Tensor", .cpu = &packs_kernel },
    { "swaps(Tensor x) -> Tensor", .cpu = &swaps_kernel },
    { "defers(Tensor x) -> Tensor", .cpu = &defers_kernel },
    { "spills(Tensor x) -> Tensor", .cpu = &spills_kernel },
    { "negates(Tensor(a!) x) -> ()", .cpu = &negates_kernel },
    { "keeps(Tensor(a!) x) -> ()", .cpu = &keeps_kernel },
    { "repeats(Tensor(a!) x) -> ()", .cpu = &repeats_kernel },
    { "strays(Tensor(a!) x, Tensor w) -> ()", .cpu = &strays_kernel },
    { "overruns(Tensor(a!) x) -> ()", .cpu = &overruns_kernel },
    { "hangs(Tensor x) -> Tensor", .cpu = &hangs_kernel },
    { "raises(Tensor x) -> Tensor", .cpu = &raises_kernel },
    { "crashes(Tensor x) -> Tensor", .cpu = &crashes_kernel },
    { "aborts(Tensor x) -> Tensor", .cpu = &aborts_kernel },
    { "leaves(Tensor x) -> Tensor", .cpu = &leaves_kernel },
};
KM_OPS(ops)
