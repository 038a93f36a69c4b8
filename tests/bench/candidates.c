/* Operators that all claim to be neg: one is, the others get a good time in a way that a benchmark
 * must notice. The comment says how. */
#include <kernmill/op.h>

#include <math.h>

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
    { "raises(Tensor x) -> Tensor", .cpu = &raises_kernel },
    { "crashes(Tensor x) -> Tensor", .cpu = &crashes_kernel },
};
KM_OPS(ops)
