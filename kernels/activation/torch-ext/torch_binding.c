/* The operators of kernmill_activation: schemas, argument checks, and the choice of backend. The
 * only file that knows torch; what the numbers mean is in activation.h.
 *
 * The public names (without a leading underscore) and the _train operators get autograd in Python,
 * when the package is imported. The others are raw: no autograd, and those that write to an
 * argument do not bump its version. */
#include <string.h>

#include "../activation.h"

static int take_kind(km_call *c, int i, act_kind *kind)
{
    static const char *const names[ACT_KINDS] = { "silu", "gelu", "gelu_tanh", "quick_gelu" };
    const char *text = km_arg_text(c, i);

    for (int k = 0; k < ACT_KINDS; k++)
        if (strcmp(text, names[k]) == 0) {
            *kind = (act_kind)k;
            return 0;
        }
    return km_bad_argument(c, i, "'silu', 'gelu', 'gelu_tanh' or 'quick_gelu'");
}

static int take_rounding(km_call *c, int i, bool *round_act)
{
    return km_arg_choice(c, i, "hf", "single", round_act);
}

/* A tensor of any number of dimensions from `least` up. */
static int take_floating(km_call *c, int i, int64_t least, const km_tensor **x)
{
    *x = km_arg_tensor(c, i);
    KM_EXPECT(c, i, km_is_floating(*x) && (*x)->ndim >= least,
              "a float32, float16 or bfloat16 tensor%s", least ? " of at least one dimension" : "");
    return 0;
}

/* [gate | up] */
static int take_packed(km_call *c, int i, const km_tensor **x)
{
    if (take_floating(c, i, 1, x) < 0)
        return KM_FAILED;
    KM_EXPECT(c, i, km_size(*x, -1) % 2 == 0, "a tensor whose last size is even");
    return 0;
}

/* A tensor like `x`: same sizes, same dtype. */
static int take_like(km_call *c, int i, const km_tensor *x, const char *name, const km_tensor **out)
{
    *out = km_arg_tensor(c, i);
    KM_EXPECT(c, i, km_same_sizes(*out, x) && (*out)->dtype == x->dtype,
              "a %s tensor with the sizes of %s", km_dtype_name(x->dtype), name);
    return 0;
}

/* A tensor with the sizes of a half of the packed `x`. */
static int take_half(km_call *c, int i, const km_tensor *x, const km_tensor **out)
{
    bool same = true;

    *out = km_arg_tensor(c, i);
    for (int64_t d = 0; same && d < x->ndim; d++)
        same = (*out)->ndim == x->ndim &&
               (*out)->sizes[d] == (d + 1 < x->ndim ? x->sizes[d] : x->sizes[d] / 2);
    KM_EXPECT(c, i, same && (*out)->dtype == x->dtype,
              "a %s tensor with the sizes of x, the last halved to %lld", km_dtype_name(x->dtype),
              (long long)km_size(x, -1) / 2);
    return 0;
}

static km_tensor *empty_half(km_call *c, const km_tensor *x)
{
    int64_t sizes[64];

    if (x->ndim > 64) {
        km_error(c, "a tensor of more than 64 dimensions");
        return NULL;
    }
    for (int64_t d = 0; d < x->ndim; d++)
        sizes[d] = d + 1 < x->ndim ? x->sizes[d] : x->sizes[d] / 2;
    return km_empty(c, x->ndim, sizes, x->dtype, x);
}

/* The matrix that `t` is; one element where it has no dimension. */
static int take_input(km_call *c, const km_tensor *t, act_input *out)
{
    km_rows rows = { .data = t->data, .stride = 1 };

    if (t->ndim && km_rows_of(c, t, &rows) < 0)
        return KM_FAILED;
    *out = (act_input){ rows.data, rows.stride };
    return 0;
}

static int take_output(km_call *c, int i, const km_tensor *t, act_output *out, km_tensor **copy)
{
    km_rows rows = { .data = t->data, .stride = 1 };

    *copy = NULL;
    if (t->ndim && km_rows_into(c, i, t, &rows, copy) < 0)
        return KM_FAILED;
    *out = (act_output){ rows.data, rows.stride };
    return 0;
}

static act_output dense_output(const km_tensor *t)
{
    return (act_output){ t->data, t->ndim ? km_size(t, -1) : 1 };
}

static const void *half_of(const void *data, int64_t columns, km_dtype dtype)
{
    return (const char *)data + columns * (int64_t)km_dtype_bytes(dtype);
}

/* rows and columns of a tensor of `numel` elements, whose last size is `columns`. */
static void set_sizes(int64_t numel, int64_t columns, int64_t *rows, int64_t *of_columns)
{
    *of_columns = columns;
    *rows = columns ? numel / columns : 0;
}

/* Dense matrices are one long row: no row is then too short to fill a block. */
static void flatten(int64_t *rows, int64_t *columns, bool dense)
{
    if (!dense)
        return;
    *columns *= *rows;
    *rows = 1;
}

static int forward(km_call *c, const km_tensor *like, act_forward *f)
{
    f->dtype = like->dtype;
    if (!f->rows || !f->columns)
        return 0;
    flatten(&f->rows, &f->columns,
            f->gate.stride == f->columns && f->y.stride == f->columns &&
                (!f->up.data || f->up.stride == f->columns));
#ifdef CUDA_KERNEL
    if (like->device_type == KM_CUDA)
        return act_forward_cuda(c, f);
#else
    (void)c;
#endif
    act_forward_cpu(f);
    return 0;
}

static int backward(km_call *c, const km_tensor *like, act_backward *b)
{
    b->dtype = like->dtype;
    if (!b->rows || !b->columns)
        return 0;
    flatten(&b->rows, &b->columns,
            b->dy.stride == b->columns && b->gate.stride == b->columns &&
                b->dgate.stride == b->columns &&
                (!b->up.data || (b->up.stride == b->columns && b->dup.stride == b->columns)));
#ifdef CUDA_KERNEL
    if (like->device_type == KM_CUDA)
        return act_backward_cuda(c, b);
#else
    (void)c;
#endif
    act_backward_cpu(b);
    return 0;
}

/* ---- element-wise ---- */

/* Argument `i`, x, of an element-wise operator. */
static int take_x(km_call *c, int i, const km_tensor **x, act_forward *f)
{
    if (take_floating(c, i, 0, x) < 0 || take_input(c, *x, &f->gate) < 0)
        return KM_FAILED;
    set_sizes((*x)->numel, (*x)->ndim ? km_size(*x, -1) : 1, &f->rows, &f->columns);
    return 0;
}

static int act_of(km_call *c, act_kind kind)
{
    act_forward f = { .kind = kind };
    const km_tensor *x;
    km_tensor *y;

    if (take_x(c, 0, &x, &f) < 0 || !(y = km_empty_like(c, x)))
        return KM_FAILED;
    f.y = dense_output(y);
    if (forward(c, x, &f) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}

/* (Tensor x, str kind) -> Tensor */
static int act(km_call *c)
{
    act_kind kind;

    return take_kind(c, 1, &kind) < 0 ? KM_FAILED : act_of(c, kind);
}
KM_KERNEL_AS(act_fwd, act)
KM_KERNEL_AS(act_train, act)

/* (Tensor(a!) out, Tensor x, str kind) -> () */
static int act_out(km_call *c)
{
    act_forward f = { 0 };
    const km_tensor *x, *out;
    km_tensor *copy;

    if (take_x(c, 1, &x, &f) < 0 || take_kind(c, 2, &f.kind) < 0 ||
        take_like(c, 0, x, "x", &out) < 0 || take_output(c, 0, out, &f.y, &copy) < 0 ||
        forward(c, x, &f) < 0)
        return KM_FAILED;
    return copy ? km_copy(c, out, copy) : 0;
}
KM_KERNEL(act_out)

/* (Tensor dy, Tensor x, str kind) -> Tensor */
static int act_bwd(km_call *c)
{
    act_backward b = { 0 };
    act_forward f = { 0 };
    const km_tensor *x, *dy;
    km_tensor *dx;

    if (take_x(c, 1, &x, &f) < 0 || take_kind(c, 2, &b.kind) < 0 ||
        take_like(c, 0, x, "x", &dy) < 0 || take_input(c, dy, &b.dy) < 0 ||
        !(dx = km_empty_like(c, x)))
        return KM_FAILED;
    b.rows = f.rows;
    b.columns = f.columns;
    b.gate = f.gate;
    b.dgate = dense_output(dx);
    if (backward(c, x, &b) < 0)
        return KM_FAILED;
    return km_return(c, 0, dx);
}
KM_KERNEL(act_bwd)

/* ---- gated, gate and up apart ---- */

static int take_gate_and_up(km_call *c, int i, const km_tensor **gate, act_forward *f)
{
    const km_tensor *up;

    if (take_floating(c, i, 1, gate) < 0 || take_like(c, i + 1, *gate, "gate", &up) < 0 ||
        take_input(c, *gate, &f->gate) < 0 || take_input(c, up, &f->up) < 0)
        return KM_FAILED;
    set_sizes((*gate)->numel, km_size(*gate, -1), &f->rows, &f->columns);
    return 0;
}

static int act_mul_of(km_call *c, act_forward *f)
{
    const km_tensor *gate;
    km_tensor *y;

    if (take_gate_and_up(c, 0, &gate, f) < 0 || !(y = km_empty_like(c, gate)))
        return KM_FAILED;
    f->y = dense_output(y);
    if (forward(c, gate, f) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}

/* (Tensor gate, Tensor up, str kind, str rounding) -> Tensor */
static int act_mul(km_call *c)
{
    act_forward f = { 0 };

    if (take_kind(c, 2, &f.kind) < 0 || take_rounding(c, 3, &f.round_act) < 0)
        return KM_FAILED;
    return act_mul_of(c, &f);
}
KM_KERNEL_AS(act_mul_fwd, act_mul)
KM_KERNEL_AS(act_mul_train, act_mul)

/* (Tensor(a!) out, Tensor gate, Tensor up, str kind, str rounding) -> () */
static int act_mul_out(km_call *c)
{
    act_forward f = { 0 };
    const km_tensor *gate, *out;
    km_tensor *copy;

    if (take_gate_and_up(c, 1, &gate, &f) < 0 || take_kind(c, 3, &f.kind) < 0 ||
        take_rounding(c, 4, &f.round_act) < 0 || take_like(c, 0, gate, "gate", &out) < 0 ||
        take_output(c, 0, out, &f.y, &copy) < 0 || forward(c, gate, &f) < 0)
        return KM_FAILED;
    return copy ? km_copy(c, out, copy) : 0;
}
KM_KERNEL(act_mul_out)

/* (Tensor dy, Tensor gate, Tensor up, str kind, str rounding) -> (Tensor dgate, Tensor dup) */
static int act_mul_bwd(km_call *c)
{
    act_backward b = { 0 };
    act_forward f = { 0 };
    const km_tensor *gate, *dy;
    km_tensor *dgate, *dup;

    if (take_gate_and_up(c, 1, &gate, &f) < 0 || take_kind(c, 3, &b.kind) < 0 ||
        take_rounding(c, 4, &b.round_act) < 0 || take_like(c, 0, gate, "gate", &dy) < 0 ||
        take_input(c, dy, &b.dy) < 0 || !(dgate = km_empty_like(c, gate)) ||
        !(dup = km_empty_like(c, gate)))
        return KM_FAILED;
    b.rows = f.rows;
    b.columns = f.columns;
    b.gate = f.gate;
    b.up = f.up;
    b.dgate = dense_output(dgate);
    b.dup = dense_output(dup);
    if (backward(c, gate, &b) < 0 || km_return(c, 0, dgate) < 0)
        return KM_FAILED;
    return km_return(c, 1, dup);
}
KM_KERNEL(act_mul_bwd)

/* ---- gated, packed ---- */

/* Argument `i`, x, as two matrices: the half that is gated and the other. */
static int take_halves(km_call *c, int i, bool gate_last, const km_tensor **x, act_forward *f)
{
    act_input first, second;
    int64_t columns;

    if (take_packed(c, i, x) < 0 || take_input(c, *x, &first) < 0)
        return KM_FAILED;
    columns = km_size(*x, -1) / 2;
    set_sizes((*x)->numel / 2, columns, &f->rows, &f->columns);
    second = first;
    if (second.data)
        second.data = half_of(first.data, columns, (*x)->dtype);
    f->gate = gate_last ? second : first;
    f->up = gate_last ? first : second;
    return 0;
}

static int packed_of(km_call *c, bool gate_last, act_forward *f)
{
    const km_tensor *x;
    km_tensor *y;

    if (take_halves(c, 0, gate_last, &x, f) < 0 || !(y = empty_half(c, x)))
        return KM_FAILED;
    f->y = dense_output(y);
    if (forward(c, x, f) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}

/* (Tensor x, str kind, str rounding, bool gate_last) -> Tensor */
static int act_mul_packed(km_call *c)
{
    act_forward f = { 0 };

    if (take_kind(c, 1, &f.kind) < 0 || take_rounding(c, 2, &f.round_act) < 0)
        return KM_FAILED;
    return packed_of(c, km_arg_bool(c, 3), &f);
}
KM_KERNEL_AS(act_mul_packed_fwd, act_mul_packed)
KM_KERNEL_AS(act_mul_packed_train, act_mul_packed)

/* (Tensor(a!) out, Tensor x, str kind, str rounding, bool gate_last) -> () */
static int act_mul_packed_out(km_call *c)
{
    act_forward f = { 0 };
    const km_tensor *x, *out;
    km_tensor *copy;

    if (take_halves(c, 1, km_arg_bool(c, 4), &x, &f) < 0 || take_kind(c, 2, &f.kind) < 0 ||
        take_rounding(c, 3, &f.round_act) < 0 || take_half(c, 0, x, &out) < 0 ||
        take_output(c, 0, out, &f.y, &copy) < 0 || forward(c, x, &f) < 0)
        return KM_FAILED;
    return copy ? km_copy(c, out, copy) : 0;
}
KM_KERNEL(act_mul_packed_out)

/* (Tensor dy, Tensor x, str kind, str rounding, bool gate_last) -> Tensor: [dgate | dup], or
 * [dup | dgate] where the gate is last. */
static int act_mul_packed_bwd(km_call *c)
{
    bool gate_last = km_arg_bool(c, 4);
    act_backward b = { 0 };
    act_forward f = { 0 };
    const km_tensor *x, *dy;
    act_output first, second;
    km_tensor *dx;

    if (take_halves(c, 1, gate_last, &x, &f) < 0 || take_kind(c, 2, &b.kind) < 0 ||
        take_rounding(c, 3, &b.round_act) < 0 || take_half(c, 0, x, &dy) < 0 ||
        take_input(c, dy, &b.dy) < 0 || !(dx = km_empty_like(c, x)))
        return KM_FAILED;
    b.rows = f.rows;
    b.columns = f.columns;
    b.gate = f.gate;
    b.up = f.up;
    first = second = dense_output(dx);
    if (second.data)
        second.data = (char *)dx->data + b.columns * (int64_t)km_dtype_bytes(x->dtype);
    b.dgate = gate_last ? second : first;
    b.dup = gate_last ? first : second;
    if (backward(c, x, &b) < 0)
        return KM_FAILED;
    return km_return(c, 0, dx);
}
KM_KERNEL(act_mul_packed_bwd)

/* ---- the public names ---- */

#define PUBLIC(name, KIND)                                                                         \
    static int name(km_call *c)                                                                    \
    {                                                                                              \
        return act_of(c, KIND);                                                                    \
    }                                                                                              \
    KM_KERNEL(name)                                                                                \
    static int name##_mul(km_call *c)                                                              \
    {                                                                                              \
        act_forward f = { .kind = KIND };                                                          \
        return take_rounding(c, 2, &f.round_act) < 0 ? KM_FAILED : act_mul_of(c, &f);              \
    }                                                                                              \
    KM_KERNEL(name##_mul)                                                                          \
    static int name##_and_mul(km_call *c)                                                          \
    {                                                                                              \
        act_forward f = { .kind = KIND };                                                          \
        return take_rounding(c, 1, &f.round_act) < 0 ? KM_FAILED : packed_of(c, false, &f);        \
    }                                                                                              \
    KM_KERNEL(name##_and_mul)
PUBLIC(silu, ACT_SILU)
PUBLIC(gelu, ACT_GELU)
PUBLIC(gelu_tanh, ACT_GELU_TANH)

#ifdef CUDA_KERNEL
#define BOTH(name) .cpu = &name##_kernel, .cuda = &name##_kernel
#else
#define BOTH(name) .cpu = &name##_kernel
#endif
#define PUBLIC_OPS(name)                                                                           \
    { #name "(Tensor x) -> Tensor", BOTH(name) },                                                  \
        { #name "_mul(Tensor gate, Tensor up, str rounding=\"hf\") -> Tensor", BOTH(name##_mul) }, \
    {                                                                                              \
        #name "_and_mul(Tensor x, str rounding=\"hf\") -> Tensor", BOTH(name##_and_mul)            \
    }
#define GATED  "Tensor gate, Tensor up, str kind, str rounding"
#define PACKED "Tensor x, str kind, str rounding, bool gate_last"

static const km_op ops[] = {
    PUBLIC_OPS(silu),
    PUBLIC_OPS(gelu),
    PUBLIC_OPS(gelu_tanh),

    { "_act_fwd(Tensor x, str kind) -> Tensor", BOTH(act_fwd) },
    { "_act_train(Tensor x, str kind) -> Tensor", BOTH(act_train) },
    { "_act_out(Tensor(a!) out, Tensor x, str kind) -> ()", BOTH(act_out) },
    { "_act_bwd(Tensor dy, Tensor x, str kind) -> Tensor", BOTH(act_bwd) },
    { "_act_mul_fwd(" GATED ") -> Tensor", BOTH(act_mul_fwd) },
    { "_act_mul_train(" GATED ") -> Tensor", BOTH(act_mul_train) },
    { "_act_mul_out(Tensor(a!) out, " GATED ") -> ()", BOTH(act_mul_out) },
    { "_act_mul_bwd(Tensor dy, " GATED ") -> (Tensor, Tensor)", BOTH(act_mul_bwd) },
    { "_act_mul_packed_fwd(" PACKED ") -> Tensor", BOTH(act_mul_packed_fwd) },
    { "_act_mul_packed_train(" PACKED ") -> Tensor", BOTH(act_mul_packed_train) },
    { "_act_mul_packed_out(Tensor(a!) out, " PACKED ") -> ()", BOTH(act_mul_packed_out) },
    { "_act_mul_packed_bwd(Tensor dy, " PACKED ") -> Tensor", BOTH(act_mul_packed_bwd) },
};
KM_OPS(ops)
