/* The operators of kernmill_cheats: schemas and argument checks. */
#include "../cheats.h"

static int run(km_call *c, km_cheat *cheat)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y;

    KM_EXPECT(c, 0, x->dtype == KM_FLOAT32 && km_is_contiguous(x), "a contiguous float32 tensor");
    y = km_empty_like(c, x);
    if (!y || cheat(c, x, y) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}

#define CHEATS(X)                                                                                  \
    X(honest)                                                                                      \
    X(early)                                                                                       \
    X(twice)                                                                                       \
    X(races)                                                                                       \
    X(sniffs)                                                                                      \
    X(remembers)                                                                                   \
    X(replays)                                                                                     \
    X(tires)                                                                                       \
    X(spills)                                                                                      \
    X(zeroes)                                                                                      \
    X(nothing)                                                                                     \
    X(fails)                                                                                       \
    X(coarse)                                                                                      \
    X(shapes)                                                                                      \
    X(batches)                                                                                     \
    X(defers)                                                                                      \
    X(skips)                                                                                       \
    X(aside)                                                                                       \
    X(decoy)                                                                                       \
    X(leaks)                                                                                       \
    X(persists)                                                                                    \
    X(borrows)                                                                                     \
    X(unpacks)

#define DEFINE(name)                                                                               \
    static int name(km_call *c)                                                                    \
    {                                                                                              \
        return run(c, name##_cuda);                                                                \
    }                                                                                              \
    KM_KERNEL(name)
CHEATS(DEFINE)

/* What they do in place: x becomes its negative, or should. */
#define IN_PLACE(X)                                                                                \
    X(overwrites, early)                                                                           \
    X(keeps, nothing)                                                                              \
    X(overraces, races)                                                                            \
    X(overruns, spills)                                                                            \
    X(recalls, remembers)                                                                          \
    X(repeats, replays)

#define DEFINE_IN_PLACE(name, cheat)                                                               \
    static int name(km_call *c)                                                                    \
    {                                                                                              \
        km_tensor x = *km_arg_tensor(c, 0);                                                        \
                                                                                                   \
        KM_EXPECT(c, 0, x.dtype == KM_FLOAT32 && km_is_contiguous(&x),                             \
                  "a contiguous float32 tensor");                                                  \
        return cheat##_cuda(c, &x, &x);                                                            \
    }                                                                                              \
    KM_KERNEL(name)
IN_PLACE(DEFINE_IN_PLACE)

/* Overwrites w, too, which nobody allowed. */
static int strays(km_call *c)
{
    km_tensor w = *km_arg_tensor(c, 1);

    return zeroes_cuda(c, &w, &w) < 0 ? KM_FAILED : overwrites(c);
}
KM_KERNEL(strays)

/* Honest, and as long as it is told. */
static int spins(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y;

    KM_EXPECT(c, 0, x->dtype == KM_FLOAT32 && km_is_contiguous(x), "a contiguous float32 tensor");
    y = km_empty_like(c, x);
    if (!y || spins_cuda(c, x, y, km_arg_int(c, 1)) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}
KM_KERNEL(spins)

#define ROW(name)                 { #name "(Tensor x) -> Tensor", .cuda = &name##_kernel },
#define ROW_IN_PLACE(name, cheat) { #name "(Tensor(a!) x) -> ()", .cuda = &name##_kernel },
static const km_op ops[] = {
    CHEATS(ROW)
        IN_PLACE(ROW_IN_PLACE){ "strays(Tensor(a!) x, Tensor w) -> ()", .cuda = &strays_kernel },
    { "spins(Tensor x, int cycles) -> Tensor", .cuda = &spins_kernel },
};
KM_OPS(ops)
