#include "bench/suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/models.h"
#include "bench/schema.h"
#include "bench/trace.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"

#include <kernmill/tensor.h>

/* Moves the call of that name to position `to`; false when there is none from there on. */
static bool bring(km_suite_op *op, const char *name, size_t to)
{
    for (size_t i = to; i < op->call_count; i++) {
        km_suite_call call = op->calls[i];
        if (strcmp(call.name, name) != 0)
            continue;
        op->calls[i] = op->calls[to];
        op->calls[to] = call;
        return true;
    }
    return false;
}

static int fail_no_call(const km_suite_op *op, const char *name, km_err *err)
{
    const char *names[KM_CALLS_MAX + 1] = { NULL };

    for (size_t i = 0; i < op->call_count; i++)
        names[i] = op->calls[i].name;
    km_fail(err, KM_EUSAGE, "'%s' has no call '%s'", op->name, name);
    km_fields_hint_names(names, err);
    return KM_EUSAGE;
}

int km_suite_narrow(km_suite *s, const char *incumbent, const char *candidate, km_err *err)
{
    for (size_t i = 0; i < s->op_count; i++) {
        km_suite_op *op = &s->ops[i];
        if (!bring(op, incumbent, 0) || !bring(op, candidate, 1))
            return fail_no_call(op, strcmp(op->calls[0].name, incumbent) ? incumbent : candidate,
                                err);
        op->call_count = bring(op, op->reference, 2) ? 3 : 2;
    }
    return 0;
}

size_t km_suite_reference_index(const km_suite_op *op)
{
    size_t i = 0;

    while (strcmp(op->calls[i].name, op->reference) != 0)
        i++;
    return i;
}

const km_suite_call *km_suite_reference(const km_suite_op *op)
{
    return &op->calls[km_suite_reference_index(op)];
}

bool km_suite_has_python(const km_suite *s)
{
    for (size_t i = 0; i < s->op_count; i++)
        for (size_t j = 0; j < s->ops[i].call_count; j++)
            if (s->ops[i].calls[j].python)
                return true;
    return false;
}

size_t km_suite_cells(const km_suite_op *op)
{
    return op->shape_count * op->dtype_count;
}

km_cell km_suite_cell(const km_suite_op *op, size_t i)
{
    return (km_cell){ op, op->shapes + i % op->shape_count * op->axis_count,
                      op->dtypes[i / op->shape_count] };
}

size_t km_cell_variables(const km_cell *cell, km_variable *out)
{
    size_t n = cell->op->axis_count;

    for (size_t i = 0; i < n; i++)
        out[i] = (km_variable){ cell->op->axes[i], cell->shape[i] };
    out[n] = (km_variable){ "size", (double)km_dtype_bytes((km_dtype)cell->dtype) };
    return n + 1;
}

const char *km_cell_text(km_arena *a, const km_cell *cell)
{
    km_str text = KM_STR_INIT;
    const char *copy;

    for (size_t i = 0; i < cell->op->axis_count; i++)
        km_str_printf(&text, "%s=%.0f ", cell->op->axes[i], cell->shape[i]);
    km_str_add(&text, km_dtype_name((km_dtype)cell->dtype));
    copy = km_arena_strdup(a, text.data);
    km_str_release(&text);
    return copy;
}

/* ---- inputs ---- */

struct input_keys {
    km_suite_input *input;
    const char *dtype, *values;
    const km_toml *low, *high;
};

static int take_dtype(const km_fields *f, const km_toml *at, const char *name, int *out,
                      km_err *err)
{
    *out = km_dtype_named(name);
    if (*out != KM_DTYPE_UNKNOWN)
        return 0;
    km_fields_fail(f, at, err, "there is no dtype '%s'", name);
    return km_hint(err, "known: float64, float32, float16, bfloat16, int64, int32, int16, int8, "
                        "uint8, bool");
}

static int take_values(const km_fields *f, const km_toml *table, const char *values,
                       km_suite_input *in, km_err *err)
{
    static const char *const kinds[] = { "normal", "uniform", "integers", NULL };
    int i = 0;

    while (values && kinds[i] && strcmp(kinds[i], values) != 0)
        i++;
    if (!kinds[i]) {
        km_fields_fail(f, km_toml_get(table, "values"), err, "there are no values '%s'", values);
        return km_fields_hint_names(kinds, err);
    }
    in->values = (km_values_kind)i;
    in->high = 1;
    if (km_fields_number(f, "low", km_toml_get(table, "low"), &in->low, err) < 0 ||
        km_fields_number(f, "high", km_toml_get(table, "high"), &in->high, err) < 0)
        return KM_EFORMAT;
    if (in->low > in->high)
        return km_fields_fail(f, km_toml_get(table, "low"), err, "'low' is above 'high'");
    if (in->values == KM_VALUES_INTEGERS && ceil(in->low) > floor(in->high))
        return km_fields_fail(f, table, err, "there is no integer from %g to %g", in->low,
                              in->high);
    return 0;
}

static int read_input(km_suite *s, const km_toml_entry *e, km_suite_input *in, km_err *err)
{
    static const km_field rows[] = {
        { "shape", KM_FIELD_LIST, offsetof(km_suite_input, shape), true },
        { "strides", KM_FIELD_LIST, offsetof(km_suite_input, strides), false },
        { "dtype", KM_FIELD_ANY, 0, false },
        { "values", KM_FIELD_ANY, 0, false },
        { "low", KM_FIELD_ANY, 0, false },
        { "high", KM_FIELD_ANY, 0, false },
        KM_FIELD_END,
    };
    static const km_field words[] = {
        { "dtype", KM_FIELD_TEXT, offsetof(struct input_keys, dtype), false },
        { "values", KM_FIELD_TEXT, offsetof(struct input_keys, values), false },
        { "shape", KM_FIELD_ANY, 0, false },
        { "strides", KM_FIELD_ANY, 0, false },
        { "low", KM_FIELD_ANY, 0, false },
        { "high", KM_FIELD_ANY, 0, false },
        KM_FIELD_END,
    };
    struct input_keys keys = { 0 };
    km_fields f = { &s->arena, s->path, km_arena_printf(&s->arena, "the input '%s'", e->key) };

    in->name = e->key;
    if (km_fields_want(&f, e->key, e->value, KM_TOML_TABLE, err) < 0 ||
        km_fields_read(&f, e->value, rows, in, err) < 0 ||
        km_fields_read(&f, e->value, words, &keys, err) < 0)
        return KM_EFORMAT;
    if (in->strides.count && in->strides.count != in->shape.count)
        return km_fields_fail(&f, km_toml_get(e->value, "strides"), err,
                              "'%s' has %zu dimensions and %zu strides", e->key, in->shape.count,
                              in->strides.count);
    in->has_dtype = keys.dtype != NULL;
    if (keys.dtype &&
        take_dtype(&f, km_toml_get(e->value, "dtype"), keys.dtype, &in->dtype, err) < 0)
        return KM_EFORMAT;
    return take_values(&f, e->value, keys.values, in, err);
}

static int read_inputs(km_suite *s, km_suite_op *op, const km_toml *table, km_err *err)
{
    size_t n = table->table.count;

    op->inputs = km_arena_array(&s->arena, n + 1, sizeof *op->inputs);
    if (!op->inputs)
        return km_fail_nomem(err);
    for (; op->input_count < n; op->input_count++)
        if (read_input(s, &table->table.entries[op->input_count], &op->inputs[op->input_count],
                       err) < 0)
            return KM_EFORMAT;
    return 0;
}

/* ---- calls ---- */

/* A file counts from the suite's folder. */
static int resolve_python(km_suite *s, const km_fields *f, const km_toml_entry *e,
                          km_suite_call *call, km_err *err)
{
    const char *colon = strrchr(call->python, ':'), *folder = km_path_dir(&s->arena, s->path);

    if (!colon || colon == call->python || !colon[1])
        return km_fields_fail(f, km_toml_get(e->value, "python"), err,
                              "'python' names no function: expected \"file.py:function\"");
    if (!strstr(call->python, ".py:") || *call->python == '/')
        return 0;
    call->python = km_path_join(&s->arena, folder ? folder : ".", call->python);
    return call->python ? 0 : km_fail_nomem(err);
}

int km_suite_read_call(km_suite *s, const km_toml_entry *e, km_suite_call *call, km_err *err)
{
    static const km_field rows[] = {
        { "library", KM_FIELD_TEXT, offsetof(km_suite_call, library), false },
        { "schema", KM_FIELD_TEXT, offsetof(km_suite_call, schema), false },
        { "python", KM_FIELD_TEXT, offsetof(km_suite_call, python), false },
        { "arguments", KM_FIELD_ARRAY, 0, true },
        { "overwrites", KM_FIELD_LIST, offsetof(km_suite_call, overwrites), false },
        { "results", KM_FIELD_LIST, offsetof(km_suite_call, results), false },
        KM_FIELD_END,
    };
    km_fields f = { &s->arena, s->path, km_arena_printf(&s->arena, "the call '%s'", e->key) };

    call->name = e->key;
    if (km_fields_want(&f, e->key, e->value, KM_TOML_TABLE, err) < 0 ||
        km_fields_read(&f, e->value, rows, call, err) < 0)
        return KM_EFORMAT;
    call->arguments = km_toml_get(e->value, "arguments");
    if (call->library && strchr(call->library, '/') && *call->library != '/')
        call->library = km_path_join(&s->arena, km_path_dir(&s->arena, s->path), call->library);
    if (!call->schema == !call->python || (call->python && call->library))
        return km_fields_fail(&f, e->value, err,
                              "'%s' wants a schema (with a library, or torch's own), or python",
                              e->key);
    return call->python ? resolve_python(s, &f, e, call, err) : 0;
}

static int read_calls(km_suite *s, km_suite_op *op, const km_toml *table, km_err *err)
{
    km_fields f = { &s->arena, s->path, "" };
    size_t n = table->table.count;

    if (!n || n > KM_CALLS_MAX)
        return km_fields_fail(&f, table, err, "'%s' has %zu calls; 1 to %d can be compared",
                              op->name, n, KM_CALLS_MAX);
    op->calls = km_arena_array(&s->arena, n, sizeof *op->calls);
    if (!op->calls)
        return km_fail_nomem(err);
    for (; op->call_count < n; op->call_count++)
        if (km_suite_read_call(s, &table->table.entries[op->call_count], &op->calls[op->call_count],
                               err) < 0)
            return KM_EFORMAT;
    return 0;
}

/* ---- shapes ---- */

/* A whole number that a size can be. */
static int take_size(const km_fields *f, const km_toml *value, double *out, km_err *err)
{
    if (km_fields_want(f, "a size", value, KM_TOML_INT, err) < 0)
        return KM_EFORMAT;
    if (value->integer < 0 || value->integer > 1LL << 48)
        return km_fields_fail(f, value, err, "%lld is no size of an axis",
                              (long long)value->integer);
    *out = (double)value->integer;
    return 0;
}

/* Adds every combination of the axes' sizes. */
static int add_product(const km_fields *f, km_suite_op *op, const km_toml *axes, km_err *err)
{
    size_t total = 1;

    for (size_t i = 0; i < op->axis_count; i++)
        total *= axes->table.entries[i].value->array.count;
    for (size_t n = 0; n < total; n++) {
        double *shape = op->shapes + op->shape_count++ * op->axis_count;
        size_t rest = n;
        for (size_t i = op->axis_count; i-- > 0;) { /* the last axis varies fastest */
            const km_toml_array *sizes = &axes->table.entries[i].value->array;
            if (take_size(f, sizes->items[rest % sizes->count], &shape[i], err) < 0)
                return KM_EFORMAT;
            rest /= sizes->count;
        }
    }
    return 0;
}

static int add_listed(const km_fields *f, km_suite_op *op, const km_toml *list, km_err *err)
{
    for (size_t n = 0; list && n < list->array.count; n++) {
        const km_toml *item = list->array.items[n];
        double *shape = op->shapes + op->shape_count++ * op->axis_count;
        if (km_fields_want(f, "an item of shapes", item, KM_TOML_TABLE, err) < 0)
            return KM_EFORMAT;
        for (size_t i = 0; i < op->axis_count; i++) {
            const km_toml *size = km_toml_get(item, op->axes[i]);
            if (!size)
                return km_fields_fail(f, item, err, "the shape has no '%s'", op->axes[i]);
            if (take_size(f, size, &shape[i], err) < 0)
                return KM_EFORMAT;
        }
        if (item->table.count != op->axis_count)
            return km_fields_fail(f, item, err, "the shape has %zu sizes, '%s' %zu axes",
                                  item->table.count, op->name, op->axis_count);
    }
    return 0;
}

static int check_distinct(const km_fields *f, const km_toml_entry *axis, km_err *err)
{
    const km_toml_array *sizes = &axis->value->array;

    for (size_t i = 0; i < sizes->count; i++)
        for (size_t j = 0; j < i; j++)
            if (sizes->items[i]->kind == KM_TOML_INT && sizes->items[j]->kind == KM_TOML_INT &&
                sizes->items[i]->integer == sizes->items[j]->integer)
                return km_fields_fail(f, sizes->items[i], err,
                                      "the axis '%s' has the size %lld twice", axis->key,
                                      (long long)sizes->items[i]->integer);
    return 0;
}

/* The axes, and all shapes: products, listed ones, and those of models. */
static int read_shapes(km_suite *s, km_suite_op *op, km_err *err)
{
    km_fields f = { &s->arena, s->path, "" };
    const km_toml *axes = km_toml_get(op->place, "axes"), *list = km_toml_get(op->place, "shapes");
    const km_toml *models = km_toml_get(op->place, "models");
    size_t total = 1, of_models = 0;

    op->axis_count = axes->table.count;
    op->axes = km_arena_array(&s->arena, op->axis_count + 1, sizeof *op->axes);
    if (!op->axes)
        return km_fail_nomem(err);
    for (size_t i = 0; i < op->axis_count; i++) {
        const km_toml_entry *e = &axes->table.entries[i];
        if (km_fields_want(&f, e->key, e->value, KM_TOML_ARRAY, err) < 0)
            return KM_EFORMAT;
        if (e->value->array.count && total > KM_CELLS_MAX / e->value->array.count)
            return km_fields_fail(&f, axes, err, "'%s' has more than %d shapes", op->name,
                                  KM_CELLS_MAX);
        total *= e->value->array.count;
        op->axes[i] = e->key;
        if (check_distinct(&f, e, err) < 0)
            return KM_EFORMAT;
    }
    if (models && km_models_count(&f, op, models, &of_models, err) < 0)
        return KM_EFORMAT;
    total += (list ? list->array.count : 0) + of_models;
    if (!op->axis_count || op->axis_count >= KM_EXPR_NAMES_MAX || !total || total > KM_CELLS_MAX)
        return km_fields_fail(&f, axes, err, "'%s' has %zu axes and %zu shapes", op->name,
                              op->axis_count, total);
    op->shapes = km_arena_array(&s->arena, total * op->axis_count, sizeof *op->shapes);
    if (!op->shapes)
        return km_fail_nomem(err);
    if (add_product(&f, op, axes, err) < 0 || add_listed(&f, op, list, err) < 0)
        return KM_EFORMAT;
    return models ? km_models_add(&f, op, models, err) : 0;
}

/* ---- operators ---- */

static int read_dtypes(const km_fields *f, km_suite_op *op, const km_list *names, km_err *err)
{
    op->dtypes = km_arena_array(f->arena, names->count + 1, sizeof *op->dtypes);
    if (!op->dtypes)
        return km_fail_nomem(err);
    for (size_t i = 0; i < names->count; i++)
        if (take_dtype(f, names->places[i], names->items[i], &op->dtypes[op->dtype_count++], err) <
            0)
            return KM_EFORMAT;
    if (!op->dtype_count || km_suite_cells(op) > KM_CELLS_MAX)
        return km_fields_fail(f, op->place, err, "'%s' has %zu cells; 1 to %d can be measured",
                              op->name, km_suite_cells(op), KM_CELLS_MAX);
    return 0;
}

struct op_keys {
    km_list dtypes;
    const char *bytes, *flops, *reference;
};

static int read_op(km_suite *s, const km_toml_entry *e, km_suite_op *op, km_err *err)
{
    static const km_field rows[] = {
        { "axes", KM_FIELD_TABLE, 0, true },
        { "shapes", KM_FIELD_ARRAY, 0, false },
        { "models", KM_FIELD_TABLE, 0, false },
        { "dtypes", KM_FIELD_LIST, offsetof(struct op_keys, dtypes), true },
        { "bytes", KM_FIELD_TEXT, offsetof(struct op_keys, bytes), true },
        { "flops", KM_FIELD_TEXT, offsetof(struct op_keys, flops), false },
        { "reference", KM_FIELD_TEXT, offsetof(struct op_keys, reference), true },
        { "tolerance", KM_FIELD_ANY, 0, false },
        { "inputs", KM_FIELD_TABLE, 0, true },
        { "calls", KM_FIELD_TABLE, 0, true },
        { "trace", KM_FIELD_TABLE, 0, false },
        KM_FIELD_END,
    };
    km_fields f = { &s->arena, s->path, km_arena_printf(&s->arena, "[op.%s]", e->key) };
    struct op_keys keys = { .bytes = NULL };
    const km_toml *trace = km_toml_get(e->value, "trace");

    op->name = e->key;
    op->place = e->value;
    op->tolerance = 2;
    if (km_fields_want(&f, e->key, e->value, KM_TOML_TABLE, err) < 0 ||
        km_fields_read(&f, e->value, rows, &keys, err) < 0 ||
        km_fields_number(&f, "tolerance", km_toml_get(e->value, "tolerance"), &op->tolerance, err) <
            0 ||
        read_shapes(s, op, err) < 0 || read_dtypes(&f, op, &keys.dtypes, err) < 0 ||
        read_inputs(s, op, km_toml_get(e->value, "inputs"), err) < 0 ||
        read_calls(s, op, km_toml_get(e->value, "calls"), err) < 0 ||
        (trace && km_trace_read(s, op, trace, err) < 0))
        return KM_EFORMAT;
    if (!(op->tolerance >= 0))
        return km_fields_fail(&f, km_toml_get(e->value, "tolerance"), err,
                              "a tolerance is 0 or more");
    op->bytes = keys.bytes;
    op->flops = keys.flops;
    op->reference = keys.reference;
    return km_schema_check_op(s, op, err);
}

static int read_document(km_suite *s, const km_toml *document, km_err *err)
{
    static const km_field rows[] = {
        { "name", KM_FIELD_TEXT, offsetof(km_suite, name), true },
        { "packages", KM_FIELD_LIST, offsetof(km_suite, packages), false },
        { "op", KM_FIELD_TABLE, 0, true },
        KM_FIELD_END,
    };
    km_fields f = { &s->arena, s->path, "" };
    const km_toml *ops;

    if (km_fields_read(&f, document, rows, s, err) < 0)
        return KM_EFORMAT;
    ops = km_toml_get(document, "op");
    s->ops = km_arena_array(&s->arena, ops->table.count + 1, sizeof *s->ops);
    if (!s->ops)
        return km_fail_nomem(err);
    for (; s->op_count < ops->table.count; s->op_count++)
        if (read_op(s, &ops->table.entries[s->op_count], &s->ops[s->op_count], err) < 0)
            return KM_EFORMAT;
    return 0;
}

int km_suite_read(km_suite *s, const char *path, km_err *err)
{
    km_err ours = KM_ERR_INIT;
    km_toml *document = NULL;
    int rc;

    *s = (km_suite){ 0 };
    s->path = km_arena_strdup(&s->arena, path);
    err = err ? err : &ours;
    rc = s->path ? km_toml_read(&s->arena, path, &document, err) : km_fail_nomem(err);
    if (rc == 0 && document && read_document(s, document, err) < 0)
        rc = err->code;
    if (rc < 0)
        km_suite_release(s);
    return rc;
}

void km_suite_release(km_suite *s)
{
    km_arena_release(&s->arena);
    *s = (km_suite){ 0 };
}
