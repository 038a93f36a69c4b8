/* An operator library that uses the whole of kernmill/op.h, rightly and wrongly. test_sdk.py calls
 * it through torch, drive.c through a mock of torch that counts what lives. Where the answer is no
 * tensor it is text, as uint8. */
#include <stdio.h>

#include <kernmill/op.h>

/* ---- answers as text ---- */

struct text {
    char bytes[4096];
    size_t size;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(t->bytes + t->size, sizeof t->bytes - t->size, format, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof t->bytes - t->size)
        t->size += (size_t)n;
}

static int answer(km_call *c, const km_tensor *like, const struct text *t)
{
    int64_t size = (int64_t)t->size;
    km_tensor *out = km_empty(c, 1, &size, KM_UINT8, like);

    if (!out)
        return KM_FAILED;
    memcpy(out->data, t->bytes, t->size);
    return km_return(c, 0, out);
}

static void say_numbers(struct text *t, const int64_t *numbers, int64_t count)
{
    say(t, "(");
    for (int64_t i = 0; i < count; i++)
        say(t, "%s%lld", i ? "," : "", (long long)numbers[i]);
    say(t, ")");
}

/* float32(2,3)/(3,1): sizes and strides */
static void say_tensor(struct text *t, const km_tensor *x)
{
    say(t, "%s", x ? km_dtype_name(x->dtype) : "-");
    if (!x)
        return;
    say_numbers(t, x->sizes, x->ndim);
    say(t, "/");
    say_numbers(t, x->strides, x->ndim);
}

/* ---- arguments of every type ---- */

#define TYPES                                                                                      \
    "Tensor x, Tensor? maybe_x, Tensor[] xs, Tensor[]? maybe_xs, int n, int? maybe_n, int[] ns, "  \
    "int[]? maybe_ns, float f, float? maybe_f, float[] fs, bool b, bool? maybe_b, bool[] bs, "     \
    "str s, str? maybe_s, ScalarType d, ScalarType? maybe_d, Device v, Device? maybe_v, "          \
    "SymInt y, SymInt[]? maybe_ys, *, float[]? maybe_fs"
#define WHICH 23 /* the position behind them */

/* One letter an argument; a capital is a list. */
static const char kinds[] = "ttTTnnNNffFbbBssddvvnNF";

static void say_list(km_call *c, int i, struct text *t)
{
    size_t count = 0;

    if (kinds[i] == 'T') {
        const km_tensor *x = km_arg_tensors(c, i, &count);
        for (size_t k = 0; k < count; k++)
            say_tensor(t, &x[k]);
    } else if (kinds[i] == 'F') {
        const double *f = km_arg_floats(c, i, &count);
        for (size_t k = 0; k < count; k++)
            say(t, "%s%g", k ? "," : "", f[k]);
    } else {
        const int64_t *n = kinds[i] == 'B' ? km_arg_bools(c, i, &count) : km_arg_ints(c, i, &count);
        say_numbers(t, n, (int64_t)count);
    }
    say(t, "x%zu", count);
}

static void say_device(km_call *c, int i, struct text *t)
{
    static const char *const names[] = { "other", "cpu", "cuda" };
    int32_t index;
    km_device_type type = km_arg_device(c, i, &index);

    say(t, "%s:%d", names[type], index);
}

static void say_argument(km_call *c, int i, struct text *t)
{
    say(t, "%s%s", i ? " " : "", km_arg_given(c, i) ? "" : "None:");
    if (kinds[i] == 't')
        say_tensor(t, km_arg_optional(c, i));
    else if (kinds[i] == 'n')
        say(t, "%lld", (long long)km_arg_int(c, i));
    else if (kinds[i] == 'f')
        say(t, "%.17g", km_arg_float(c, i));
    else if (kinds[i] == 'b')
        say(t, "%s", km_arg_bool(c, i) ? "yes" : "no");
    else if (kinds[i] == 's')
        say(t, "'%s'", km_arg_text(c, i));
    else if (kinds[i] == 'd')
        say(t, "%s", km_dtype_name(km_arg_dtype(c, i)));
    else if (kinds[i] == 'v')
        say_device(c, i, t);
    else
        say_list(c, i, t);
}

static int types(km_call *c)
{
    struct text t = { .size = 0 };

    for (int i = 0; i < WHICH; i++)
        say_argument(c, i, &t);
    return answer(c, km_arg_tensor(c, 0), &t);
}
KM_KERNEL(types)

/* Complains about argument `which`. */
static int expect(km_call *c)
{
    int which = (int)km_arg_int(c, WHICH);

    KM_EXPECT(c, which, which < 0, "something %s", "else");
    return types(c);
}
KM_KERNEL(expect)

#define DEFAULTS                                                                                   \
    "Tensor x, int n=-3, float eps=1e-6, bool b=True, str s=\"a,b)(\", int[] ns=[1, 2], "          \
    "float[] fs=[], Tensor? w=None, int[2] pair=7, *, str mode='\"', ScalarType? d=None, "         \
    "ScalarType e=float32, Device v=\"cpu\", str quoted=\"\\\", int z=\\\"\""

static int defaults(km_call *c)
{
    struct text t = { .size = 0 };
    size_t ns, fs, pair;
    const int64_t *n = km_arg_ints(c, 5, &ns), *two = km_arg_ints(c, 8, &pair);

    km_arg_floats(c, 6, &fs);
    say(&t, "%lld %g %d <%s> ", (long long)km_arg_int(c, 1), km_arg_float(c, 2), km_arg_bool(c, 3),
        km_arg_text(c, 4));
    say_numbers(&t, n, (int64_t)ns);
    say(&t, " %zu %d ", fs, km_arg_given(c, 7));
    say_numbers(&t, two, (int64_t)pair);
    say(&t, " <%s> %d %s ", km_arg_text(c, 9), km_arg_given(c, 10),
        km_dtype_name(km_arg_dtype(c, 11)));
    say_device(c, 12, &t);
    say(&t, " <%s>", km_arg_text(c, 13));
    return answer(c, km_arg_tensor(c, 0), &t);
}
KM_KERNEL(defaults)

/* How many items each list has. */
static int count(km_call *c)
{
    struct text t = { .size = 0 };
    size_t tensors, ints, floats;

    km_arg_tensors(c, 1, &tensors);
    km_arg_ints(c, 2, &ints);
    km_arg_floats(c, 3, &floats);
    say(&t, "%zu %zu %zu", tensors, ints, floats);
    return answer(c, km_arg_tensor(c, 0), &t);
}
KM_KERNEL(count)

/* ---- reading tensors ---- */

static int describe(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    struct text t = { .size = 0 };

    say_tensor(&t, x);
    say(&t, " %lld %s:%d %s", (long long)x->numel, x->device_type == KM_CPU ? "cpu" : "other",
        x->device_index, x->writable ? "writable" : "read-only");
    return answer(c, x, &t);
}
KM_KERNEL(describe)
KM_KERNEL_AS(describe_written, describe)

/* "3 rows of 4, 8 apart, in place" */
static int rows(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    struct text t = { .size = 0 };
    km_rows r;

    if (km_rows_of(c, x, &r) < 0)
        return KM_FAILED;
    say(&t, "%lld rows of %lld, %lld apart, %s", (long long)r.rows, (long long)r.columns,
        (long long)r.stride, r.data == x->data ? "in place" : "copied");
    return answer(c, x, &t);
}
KM_KERNEL(rows)

struct sums {
    km_rows x;
    float *y;
};

static void sum_rows(int64_t begin, int64_t end, void *context)
{
    const struct sums *s = context;

    for (int64_t r = begin; r < end; r++) {
        const float *x = (const float *)s->x.data + r * s->x.stride;
        s->y[r] = 0;
        for (int64_t i = 0; i < s->x.columns; i++)
            s->y[r] += x[i];
    }
}

static int row_sums(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    struct sums s;
    km_tensor *y;

    KM_EXPECT(c, 0, x->dtype == KM_FLOAT32 && x->ndim >= 1, "a float32 tensor with a dimension");
    y = km_empty(c, x->ndim - 1, x->sizes, KM_FLOAT32, x);
    if (!y || km_rows_of(c, x, &s.x) < 0)
        return KM_FAILED;
    s.y = y->data;
    km_parallel_for(s.x.rows, 1, sum_rows, &s);
    return km_return(c, 0, y);
}
KM_KERNEL(row_sums)

/* ---- new tensors and several results ---- */

/* x as dense float32 data, for the operators below. */
static const float *take_floats(km_call *c, int i, const km_tensor **x)
{
    *x = km_arg_tensor(c, i);
    if ((*x)->dtype != KM_FLOAT32) {
        km_bad_argument(c, i, "float32");
        return NULL;
    }
    *x = km_contiguous(c, *x);
    return *x ? (*x)->data : NULL;
}

static int pair(km_call *c)
{
    const km_tensor *x;
    const float *from = take_floats(c, 0, &x);
    km_tensor *twice = x ? km_empty_like(c, x) : NULL, *negative = x ? km_empty_like(c, x) : NULL;

    if (!twice || !negative)
        return KM_FAILED;
    for (int64_t i = 0; i < x->numel; i++) {
        ((float *)twice->data)[i] = 2 * from[i];
        ((float *)negative->data)[i] = -from[i];
    }
    if (km_return(c, 1, negative) < 0) /* in any order */
        return KM_FAILED;
    return km_return(c, 0, twice);
}
KM_KERNEL(pair)

static int eight(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    for (int i = 0; i < km_result_count(c); i++) {
        int64_t size = i;
        if (km_return(c, i, km_empty(c, 1, &size, x->dtype, x)) < 0)
            return KM_FAILED;
    }
    return 0;
}
KM_KERNEL(eight)

/* A copy in the schema's second argument's dtype, or in x's. */
static int copied(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y = km_empty(c, x->ndim, x->sizes, km_arg_dtype(c, 1), x);

    if (!y || km_copy(c, y, x) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}
KM_KERNEL(copied)

/* Zeros with the strides that are asked for. */
static int strided(km_call *c)
{
    size_t ndim, count;
    const int64_t *sizes = km_arg_ints(c, 1, &ndim), *strides = km_arg_ints(c, 2, &count);
    const km_tensor *x = km_arg_tensor(c, 0);
    km_tensor *y;

    KM_EXPECT(c, 2, count == ndim, "a stride for each size");
    y = km_empty_strided(c, (int64_t)ndim, sizes, strides, x->dtype, x);
    return y && km_zero(c, y) == 0 ? km_return(c, 0, y) : KM_FAILED;
}
KM_KERNEL(strided)

/* A copy whose dimensions lie in memory in the opposite order. */
static int turned(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    int64_t sizes[KM_DIMS_MAX] = { 0 }, dense[KM_DIMS_MAX], strides[KM_DIMS_MAX] = { 0 };
    km_tensor *y;

    KM_EXPECT(c, 0, x->ndim <= KM_DIMS_MAX, "at most %d dimensions", KM_DIMS_MAX);
    for (int64_t d = 0; d < x->ndim; d++)
        sizes[d] = x->sizes[x->ndim - 1 - d];
    if (km_dense_strides(c, x->ndim, sizes, dense) < 0)
        return KM_FAILED;
    for (int64_t d = 0; d < x->ndim; d++)
        strides[d] = dense[x->ndim - 1 - d];
    y = km_empty_strided(c, x->ndim, x->sizes, strides, x->dtype, x);
    return y && km_copy(c, y, x) == 0 ? km_return(c, 0, y) : KM_FAILED;
}
KM_KERNEL(turned)

static int zeros(km_call *c)
{
    km_tensor *y = km_empty_like(c, km_arg_tensor(c, 0));

    if (!y || km_zero(c, y) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}
KM_KERNEL(zeros)
KM_KERNEL_AS(zeros_overload, zeros)

static int dense(km_call *c)
{
    const km_tensor *x = km_contiguous(c, km_arg_tensor(c, 0));

    return x ? km_return(c, 0, x) : KM_FAILED;
}
KM_KERNEL(dense)

/* ---- arguments that are written, and returned ---- */

static int fill_tensor(km_call *c, int i, const km_tensor *out)
{
    float value = (float)km_arg_float(c, i + 1);

    KM_EXPECT(c, i, out->dtype == KM_FLOAT32 && km_contiguous(c, out) == out, "dense float32");
    for (int64_t k = 0; k < out->numel; k++)
        ((float *)out->data)[k] = value;
    return 0;
}

static int fill(km_call *c)
{
    return fill_tensor(c, 0, km_arg_tensor(c, 0));
}
KM_KERNEL(fill)

static int fill_each(km_call *c)
{
    size_t n;
    const km_tensor *outs = km_arg_tensors(c, 0, &n);

    for (size_t i = 0; i < n; i++)
        if (fill_tensor(c, 0, &outs[i]) < 0)
            return KM_FAILED;
    return 0;
}
KM_KERNEL(fill_each)

static int fill_maybe(km_call *c)
{
    const km_tensor *out = km_arg_optional(c, 1);

    return out ? fill_tensor(c, 1, out) : 0;
}
KM_KERNEL(fill_maybe)

static int clear(km_call *c)
{
    return km_zero(c, km_arg_tensor(c, 0));
}
KM_KERNEL(clear)

static int assign(km_call *c)
{
    return km_copy(c, km_arg_tensor(c, 0), km_arg_tensor(c, 1));
}
KM_KERNEL(assign)

/* Whether x and out are one memory, and what x holds once out was written. */
static int alias(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0), *out = km_arg_tensor(c, 1);
    struct text t = { .size = 0 };

    KM_EXPECT(c, 1, x->dtype == KM_FLOAT32 && out->dtype == KM_FLOAT32, "float32");
    *(float *)out->data = 42;
    say(&t, "%s %g", x->data == out->data ? "same" : "apart", *(const float *)x->data);
    return answer(c, x, &t);
}
KM_KERNEL(alias)

static int same(km_call *c)
{
    return km_return(c, 0, km_arg_tensor(c, 0));
}
KM_KERNEL(same)

static int last(km_call *c)
{
    size_t n;
    const km_tensor *xs = km_arg_tensors(c, 0, &n);

    return km_return(c, 0, &xs[n - 1]);
}
KM_KERNEL(last)

/* ---- kernels that do it wrong: misuse.c ---- */

int misuse(km_call *c);
KM_KERNEL(misuse)

static const km_op ops[] = {
    { "types(" TYPES ") -> Tensor", .cpu = &types_kernel },
    { "expect(" TYPES ", int which) -> Tensor", .cpu = &expect_kernel },
    { "defaults(" DEFAULTS ") -> Tensor", .cpu = &defaults_kernel },
    { "count(Tensor x, Tensor[] xs, int[] ns, float[] fs) -> Tensor", .cpu = &count_kernel },
    { "describe(Tensor x) -> Tensor", .cpu = &describe_kernel },
    { "describe_written(Tensor(a!) x) -> Tensor", .cpu = &describe_written_kernel },
    { "rows(Tensor x) -> Tensor", .cpu = &rows_kernel },
    { "row_sums(Tensor x) -> Tensor", .cpu = &row_sums_kernel },
    { "pair(Tensor x) -> (Tensor twice, Tensor negative)", .cpu = &pair_kernel },
    { "eight(Tensor x) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
      .cpu = &eight_kernel },
    { "copied(Tensor x, ScalarType d) -> Tensor", .cpu = &copied_kernel },
    { "strided(Tensor x, int[] sizes, int[] strides) -> Tensor", .cpu = &strided_kernel },
    { "turned(Tensor x) -> Tensor", .cpu = &turned_kernel },
    { "zeros(Tensor x) -> Tensor", .cpu = &zeros_kernel, .cuda = &zeros_kernel },
    { "zeros.overload(Tensor x, *, bool other) -> Tensor", .cpu = &zeros_overload_kernel },
    { "dense(Tensor(a) x) -> Tensor(a)", .cpu = &dense_kernel },
    { "fill(Tensor(a!) out, float value) -> ()", .cpu = &fill_kernel },
    { "fill_each(Tensor(a!)[] outs, float value) -> ()", .cpu = &fill_each_kernel },
    { "fill_maybe(Tensor x, Tensor(a!)? out, float value) -> ()", .cpu = &fill_maybe_kernel },
    { "clear(Tensor(a!) x) -> ()", .cpu = &clear_kernel },
    { "assign(Tensor(a!) to, Tensor source) -> ()", .cpu = &assign_kernel },
    { "alias(Tensor x, Tensor(a!) out) -> Tensor", .cpu = &alias_kernel },
    { "same(Tensor(a!) x) -> Tensor(a!)", .cpu = &same_kernel },
    { "last(Tensor(a)[] xs) -> Tensor(a)", .cpu = &last_kernel },
    { "misuse(Tensor x, Tensor? w, int[] ns, str how) -> (Tensor, Tensor)", .cpu = &misuse_kernel },
    { .schema = "undefined(Tensor x) -> Tensor" },
};
KM_OPS(ops)
