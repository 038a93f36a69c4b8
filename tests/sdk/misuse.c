/* Kernels of everything.c that do it wrong, each in one way: a kernel's mistake is an error of the
 * call, never a leak or a crash. A file of its own, so that the library has two that include op.h.
 *
 *     misuse(Tensor x, Tensor? w, int[] ns, str how) -> (Tensor, Tensor)
 */
#include <kernmill/op.h>

int misuse(km_call *c);

/* Both results as they should be. */
static int both(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    if (km_return(c, 0, km_empty_like(c, x)) < 0)
        return KM_FAILED;
    return km_return(c, 1, km_empty_like(c, x));
}

static int result_index(km_call *c)
{
    return km_return(c, 2, km_empty_like(c, km_arg_tensor(c, 0)));
}

static int result_negative(km_call *c)
{
    return km_return(c, -1, km_empty_like(c, km_arg_tensor(c, 0)));
}

static int tensor_twice(km_call *c)
{
    const km_tensor *y = km_empty_like(c, km_arg_tensor(c, 0));

    km_return(c, 0, y);
    return km_return(c, 1, y);
}

static int result_twice(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    km_return(c, 0, km_empty_like(c, x));
    km_return(c, 0, km_empty_like(c, x));
    return km_return(c, 1, km_empty_like(c, x));
}

static int foreign(km_call *c)
{
    static const km_tensor other;

    return km_return(c, 0, &other);
}

static int argument(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    km_return(c, 0, km_empty_like(c, x));
    return km_return(c, 1, x);
}

static int null_result(km_call *c)
{
    return km_return(c, 0, NULL);
}

static int missing(km_call *c)
{
    return km_return(c, 0, km_empty_like(c, km_arg_tensor(c, 0)));
}

static int silent(km_call *c)
{
    both(c);
    return KM_FAILED;
}

static int success_after_error(km_call *c)
{
    km_error(c, "the first is kept");
    km_error(c, "the second is not");
    both(c);
    return 0;
}

static int long_error(km_call *c)
{
    return km_error(c, "%02000d", 7);
}

static int tensor_as_int(km_call *c)
{
    return km_arg_int(c, 0) == 0 ? both(c) : 0;
}

static int list_as_int(km_call *c)
{
    return km_arg_int(c, 2) == 0 ? both(c) : 0;
}

static int text_as_list(km_call *c)
{
    size_t n;

    return !km_arg_floats(c, 3, &n) && n == 0 ? both(c) : 0;
}

static int text_as_tensor(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 3);

    return x->ndim == 0 && x->numel == 0 ? both(c) : 0;
}

/* A copy of a tensor that is none. */
static int text_as_copy(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 3), *y = km_empty_like(c, km_arg_tensor(c, 0));

    return km_copy(c, y, x) < 0 && km_contiguous(c, x) == x ? both(c) : 0;
}

static int none_as_tensor(km_call *c)
{
    return km_arg_tensor(c, 1)->data == NULL ? both(c) : 0;
}

static int argument_index(km_call *c)
{
    return !km_arg_bool(c, 4) ? both(c) : 0;
}

static int argument_negative(km_call *c)
{
    return strcmp(km_arg_text(c, -1), "") == 0 ? both(c) : 0;
}

static int given_index(km_call *c)
{
    return !km_arg_given(c, 4) ? both(c) : 0;
}

static int checked_index(km_call *c)
{
    KM_EXPECT(c, 7, false, "nothing");
    return 0;
}

static int new_tensor(km_call *c, int64_t ndim, const int64_t *sizes, km_dtype dtype)
{
    return km_empty(c, ndim, sizes, dtype, km_arg_tensor(c, 0)) ? both(c) : KM_FAILED;
}

static int no_dtype(km_call *c)
{
    return new_tensor(c, 0, NULL, KM_DTYPE_UNKNOWN);
}

static int wild_dtype(km_call *c)
{
    return new_tensor(c, 0, NULL, KM_DTYPE_COUNT);
}

static int many_dimensions(km_call *c)
{
    static const int64_t sizes[33] = { 0 };

    return new_tensor(c, 33, sizes, KM_FLOAT32);
}

static int negative_dimensions(km_call *c)
{
    return new_tensor(c, -1, NULL, KM_FLOAT32);
}

static int negative_size(km_call *c)
{
    static const int64_t sizes[] = { 2, -3 };

    return new_tensor(c, 2, sizes, KM_FLOAT32);
}

/* Memory whose first element would lie before it. */
static int negative_stride(km_call *c)
{
    static const int64_t sizes[] = { 3, 10 }, strides[] = { -1, 1 };

    return km_empty_strided(c, 2, sizes, strides, KM_FLOAT32, km_arg_tensor(c, 0)) ? both(c)
                                                                                   : KM_FAILED;
}

static int huge(km_call *c)
{
    static const int64_t sizes[] = { 1LL << 22, 1LL << 42, 1LL << 22 };

    return new_tensor(c, 3, sizes, KM_FLOAT32);
}

static int many_tensors(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    for (int i = 0; i < 2 * KM_TENSORS_MAX; i++)
        if (!km_empty_like(c, x))
            return KM_FAILED;
    return both(c);
}

static int copy_to_input(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    return km_copy(c, x, x) < 0 ? KM_FAILED : both(c);
}

static int zero_input(km_call *c)
{
    return km_zero(c, km_arg_tensor(c, 0)) < 0 ? KM_FAILED : both(c);
}

static int copy_sizes(km_call *c)
{
    const int64_t size = 77;
    const km_tensor *x = km_arg_tensor(c, 0), *y = km_empty(c, 1, &size, KM_FLOAT32, x);

    return !y || km_copy(c, y, x) < 0 ? KM_FAILED : both(c);
}

static int rows_of_scalar(km_call *c)
{
    const km_tensor *y = km_empty(c, 0, NULL, KM_FLOAT32, km_arg_tensor(c, 0));
    km_rows r;

    return !y || km_rows_of(c, y, &r) < 0 ? KM_FAILED : both(c);
}

#define WAY(name) { #name, name }

static const struct {
    const char *name;
    int (*run)(km_call *c);
} ways[] = {
    WAY(both),
    WAY(result_index),
    WAY(result_negative),
    WAY(tensor_twice),
    WAY(result_twice),
    WAY(foreign),
    WAY(argument),
    WAY(null_result),
    WAY(missing),
    WAY(silent),
    WAY(success_after_error),
    WAY(long_error),
    WAY(tensor_as_int),
    WAY(list_as_int),
    WAY(text_as_list),
    WAY(text_as_tensor),
    WAY(text_as_copy),
    WAY(none_as_tensor),
    WAY(argument_index),
    WAY(argument_negative),
    WAY(given_index),
    WAY(checked_index),
    WAY(no_dtype),
    WAY(wild_dtype),
    WAY(many_dimensions),
    WAY(negative_dimensions),
    WAY(negative_size),
    WAY(negative_stride),
    WAY(huge),
    WAY(many_tensors),
    WAY(copy_to_input),
    WAY(zero_input),
    WAY(copy_sizes),
    WAY(rows_of_scalar),
};

int misuse(km_call *c)
{
    const char *how = km_arg_text(c, 3);

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(how, ways[i].name) == 0)
            return ways[i].run(c);
    return km_bad_argument(c, 3, "a way to do it wrong");
}
