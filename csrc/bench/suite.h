/* bench/suite.h: what is to be measured, as data: benchmarks/suite.toml of a kernel.
 *
 *     name = "rmsnorm"
 *     packages = ["torch", "liger-kernel"]    # distributions whose versions the record states
 *
 *     [op.rms_norm]
 *     axes = { rows = [1, 512, 32768], columns = [4096] }    # every combination
 *     shapes = [{ rows = 65536, columns = 1024 }]            # and these
 *     # and those of models (bench/models.h)
 *     models = { names = ["Qwen3-8B"], rows = [512], columns = ["hidden", "head_dim"] }
 *     dtypes = ["bfloat16", "float32"]                       # each shape in each
 *     # moved, by the axes and size, which is the dtype's
 *     bytes = "(2 * rows + 1) * columns * size"
 *     flops = "4 * rows * columns"
 *     reference = "torch"                       # one of the calls, repeated on float64 inputs
 *     tolerance = 2.0                                        # in units in the last place
 *
 *     [op.rms_norm.inputs]
 *     x = { shape = ["rows", "columns"] }
 *     weight = { shape = ["columns"], values = "uniform", low = 0.5, high = 1.5 }
 *     # rows of a wider tensor: strides = ["2 * columns", "1"]
 *
 *     [op.rms_norm.calls.kernmill]
 *     library = "kernmill_rmsnorm"                            # the package; without: torch's own
 *     schema = "kernmill_rmsnorm::rms_norm(Tensor x, Tensor? weight, float eps) -> Tensor"
 *     arguments = ["x", "weight", 1e-6]
 *
 *     [op.rms_norm.calls.liger]
 *     python = "../peers/liger.py:rms_norm"                   # or "module:function"
 *     arguments = ["x", "weight", 1e-6]
 *
 * A function of Python's takes tensors (the names of inputs), numbers (expressions, too), true,
 * false and None ("none"), and returns a tensor or a tuple of them; a path counts from the suite's
 * folder, and the function is called by its name with the cell's arguments in order. The reference
 * may be one, and may compute and return other types than float64: its results are widened.
 *
 * An operator that `bench --import` wrote has a table [op.NAME.trace] beside these: bench/trace.h.
 *
 *     overwrites = ["x"]      # it writes into its input x, which is its result: bench/overwrite.h
 *
 * A `library` with '/' counts from the suite's folder, too. A result must be contiguous, and of the
 * dtype that the reference returns for the same inputs.
 *
 * An argument of an operator is, by its type in the schema: the name of an input (Tensor), a number
 * or an expression of the axes (int, float, and in lists), true or false, a text, or "none" for an
 * optional one. Expressions: bench/expr.h. Inputs: `shape` and `strides` (expressions, in elements;
 * without strides contiguous), `dtype` (default: the
 * cell's), `values` normal (default: mean 0, deviation 1), uniform (from `low` to `high`, default 0
 * to 1) or integers (the same, both included). Everything lives in the suite's arena. */
#ifndef KERNMILL_BENCH_SUITE_H
#define KERNMILL_BENCH_SUITE_H

#include "bench/dtype.h"
#include "bench/expr.h"
#include "formats/fields.h"

typedef enum { KM_VALUES_NORMAL, KM_VALUES_UNIFORM, KM_VALUES_INTEGERS } km_values_kind;

typedef struct {
    const char *name;
    km_list shape, strides; /* strides: empty when contiguous */
    bool has_dtype;         /* else the cell's */
    int dtype;
    km_values_kind values;
    double low, high;
} km_suite_input;

typedef struct {
    const char *name;    /* "kernmill" */
    const char *library; /* a package, or a path with '/'; NULL: torch has it */
    const char *schema;
    const char *python; /* "file.py:function", absolute, or "module:function"; NULL: an operator */
    const km_toml *arguments;             /* an array; one item a parameter of the schema */
    const struct km_signature *signature; /* the schema, taken apart */
    km_list overwrites;                   /* inputs that it writes to (bench/overwrite.h) */
    km_list results;                      /* those of them that are results */
    size_t *overwritten, *resulting;      /* the same, by their places among the inputs */
} km_suite_call;

typedef struct {
    const char *name;
    const char **axes; /* names, in the order of the file */
    size_t axis_count;
    double *shapes; /* [shape_count][axis_count] */
    size_t shape_count;
    int *dtypes; /* km_dtype, as in bench/dtype.h */
    size_t dtype_count;
    const char *bytes, *flops; /* flops: NULL when not given */
    const char *reference;     /* the name of one of the calls */
    double tolerance;
    km_suite_input *inputs;
    size_t input_count;
    km_suite_call *calls;
    size_t call_count;
    const struct km_trace *trace; /* what it was imported from (bench/trace.h); NULL: nothing */
    const km_toml *place;
} km_suite_op;

typedef struct {
    km_arena arena;
    const char *path;
    const char *name;
    km_list packages;
    km_suite_op *ops;
    size_t op_count;
} km_suite;

/* One shape in one dtype. */
typedef struct {
    const km_suite_op *op;
    const double *shape; /* [op->axis_count] */
    int dtype;
} km_cell;

/* Errors: KM_ENOENT; KM_EFORMAT with file:line:column (an unknown key, a name that is no input, a
 * schema that kernmill/op.h does not read, an expression that has no value in some cell); KM_ELIMIT
 * beyond KM_CELLS_MAX cells. On error *s is released. */
int km_suite_read(km_suite *s, const char *path, km_err *err);

void km_suite_release(km_suite *s);

/* Reads one call, as a suite has it, at its place in the document of s->path; its arguments are
 * checked by bench/schema.h. Errors: KM_EFORMAT with the place. */
int km_suite_read_call(km_suite *s, const km_toml_entry *e, km_suite_call *call, km_err *err);

/* Leaves two calls in every operator, the incumbent first, and the reference. Errors: KM_EUSAGE
 * when an operator lacks one of them. */
int km_suite_narrow(km_suite *s, const char *incumbent, const char *candidate, km_err *err);

/* Whether any call is one of Python's. */
bool km_suite_has_python(const km_suite *s);

/* The call that the operator's `reference` names, and its place among the calls. */
const km_suite_call *km_suite_reference(const km_suite_op *op);
size_t km_suite_reference_index(const km_suite_op *op);

/* How many cells the operator has, and one of them: dtypes vary slowest. */
size_t km_suite_cells(const km_suite_op *op);
km_cell km_suite_cell(const km_suite_op *op, size_t i);

/* The axes of a cell and `size`, for km_expr_value; `out` has room for KM_EXPR_NAMES_MAX. Returns
 * how many. */
size_t km_cell_variables(const km_cell *cell, km_variable *out);

/* "rows=512 columns=4096 bfloat16", in the arena. */
const char *km_cell_text(km_arena *a, const km_cell *cell);

#endif
