#include "bench/trace_problem.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/inputs.h"
#include "bench/sets.h"
#include "bench/trace_values.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"

#include <kernmill/op.h>

/* ---- meaning ---- */

static json_t *axes_meaning(const km_trace_problem *p)
{
    json_t *axes = json_object();

    for (size_t i = 0; i < p->axis_count; i++) {
        const km_trace_axis *a = &p->axes[i];
        json_t *axis = json_pack("{s:s}", "type",
                                 a->expression ? "expr"
                                 : a->constant ? "const"
                                               : "var");
        if (a->expression)
            json_object_set_new(axis, "expression", json_string(a->expression));
        else if (a->constant)
            json_object_set_new(axis, "value", json_integer((json_int_t)a->value));
        json_object_set_new(axes, a->name, axis);
    }
    return axes;
}

static json_t *tensors_meaning(const km_trace_tensor *tensors, size_t count)
{
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, json_pack("[s,{s:s,s:O?}]", tensors[i].name, "dtype",
                                             tensors[i].dtype_name, "shape", tensors[i].shape));
    return out;
}

static int hash_meaning(km_trace_problem *p, km_err *err)
{
    json_t *meaning = json_pack("{s:o,s:o,s:o,s:s}", "axes", axes_meaning(p), "inputs",
                                tensors_meaning(p->inputs, p->input_count), "outputs",
                                tensors_meaning(p->outputs, p->output_count), "reference",
                                p->reference);
    char *text = meaning ? json_dumps(meaning, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    km_sha256 hash;
    int rc = text ? km_hash_bytes(text, strlen(text), &hash, err) : km_fail_nomem(err);

    if (rc == 0)
        km_hash_hex(&hash, p->sha256);
    free(text);
    json_decref(meaning);
    return rc;
}

/* ---- reading ---- */

static void refuse(km_trace_problem *p, const char *why)
{
    if (!p->unsupported)
        p->unsupported = why;
}

/* What expressions can name. */
static bool is_name(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    while (isalnum((unsigned char)*text) || *text == '_')
        text++;
    return !*text;
}

static int read_axis(km_arena *a, km_trace_problem *p, const char *name, const json_t *axis,
                     km_trace_axis *out, km_err *err)
{
    const char *type = NULL;
    int64_t value = 0;

    if (km_json_text(axis, "type", &type, p->file, err) < 0)
        return err->code;
    *out = (km_trace_axis){ .name = name };
    if (strcmp(type, "const") == 0) {
        if (km_json_int(axis, "value", &value, p->file, err) < 0)
            return err->code;
        out->constant = true;
        out->value = (double)value;
    } else if (strcmp(type, "expr") == 0) {
        if (km_json_text(axis, "expression", &out->expression, p->file, err) < 0)
            return err->code;
    } else if (strcmp(type, "var") != 0) {
        refuse(p, km_arena_printf(a, "its axis '%s' is of the type '%s'", name, type));
    }
    if (!is_name(name))
        refuse(p, km_arena_printf(a, "its axis '%s' has no name that expressions can use", name));
    if (value < 0)
        refuse(p, km_arena_printf(a, "its axis '%s' is negative", name));
    return 0;
}

/* Variable ones first: the first axis is the one that bench tries in another size. */
static int read_axes(km_arena *a, km_trace_problem *p, const json_t *axes, km_err *err)
{
    const char *name;
    json_t *axis;

    p->axes = km_arena_array(a, json_object_size(axes) + 1, sizeof *p->axes);
    if (!p->axes)
        return km_fail_nomem(err);
    for (int later = 0; later < 2; later++)
        json_object_foreach((json_t *)(uintptr_t)axes, name, axis)
        {
            bool variable = strcmp(km_json_text_of(axis, "type"), "var") == 0;
            if (variable == later)
                continue;
            if (read_axis(a, p, name, axis, &p->axes[p->axis_count], err) < 0)
                return err->code;
            p->axis_count++;
        }
    if (p->axis_count >= KM_EXPR_NAMES_MAX)
        refuse(p, km_arena_printf(a, "it has %zu axes", p->axis_count));
    return 0;
}

const km_trace_axis *km_trace_find_axis(const km_trace_problem *p, const char *name)
{
    for (size_t i = 0; i < p->axis_count; i++)
        if (strcmp(p->axes[i].name, name) == 0)
            return &p->axes[i];
    return NULL;
}

static void check_shape(km_arena *a, km_trace_problem *p, const km_trace_tensor *t)
{
    const json_t *item;
    size_t i;

    json_array_foreach(t->shape, i, item)
    {
        const char *name = json_string_value(item);
        if (!name || !*name || (name[strspn(name, "0123456789")] && !km_trace_find_axis(p, name)))
            refuse(p, km_arena_printf(a, "'%s' has a size that is no axis: '%s'", t->name,
                                      name ? name : "(no text)"));
    }
    if (json_array_size(t->shape) > KM_DIMENSIONS_MAX)
        refuse(p,
               km_arena_printf(a, "'%s' has %zu dimensions", t->name, json_array_size(t->shape)));
}

static int read_tensor(km_arena *a, km_trace_problem *p, const char *name, const json_t *spec,
                       bool output, km_trace_tensor *out, km_err *err)
{
    const json_t *shape = json_object_get(spec, "shape");

    *out = (km_trace_tensor){ .name = name, .shape = json_is_null(shape) ? NULL : shape };
    if (km_json_text(spec, "dtype", &out->dtype_name, p->file, err) < 0)
        return err->code;
    if (!shape || (out->shape && !json_is_array(shape)))
        return km_fail(err, KM_EFORMAT, "%s: '%s' has no shape: expected a list of axes, or null",
                       p->file, name);
    out->dtype = km_dtype_named(out->dtype_name);
    if (!out->dtype)
        refuse(p, km_arena_printf(a, "'%s' is of the dtype %s, which suites do not have", name,
                                  out->dtype_name));
    if (json_is_true(json_object_get(spec, "optional")))
        refuse(p, km_arena_printf(a, "'%s' is optional", name));
    if (output && !out->shape)
        refuse(p, km_arena_printf(a, "its result '%s' is a number of Python's", name));
    check_shape(a, p, out);
    return 0;
}

static int read_tensors(km_arena *a, km_trace_problem *p, const json_t *specs, bool output,
                        km_trace_tensor **out, size_t *count, km_err *err)
{
    const char *name;
    json_t *spec;

    *out = km_arena_array(a, json_object_size(specs) + 1, sizeof **out);
    if (!*out)
        return km_fail_nomem(err);
    json_object_foreach((json_t *)(uintptr_t)specs, name, spec)
    {
        if (read_tensor(a, p, name, spec, output, &(*out)[*count], err) < 0)
            return err->code;
        ++*count;
    }
    return 0;
}

/* What depends on no workload. */
static void check(km_arena *a, km_trace_problem *p)
{
    size_t tensors = 0;

    for (size_t i = 0; i < p->input_count; i++)
        tensors += p->inputs[i].shape != NULL;
    if (!p->axis_count)
        refuse(p, "it has no axes");
    if (!tensors || tensors > KM_GPU_INPUTS_MAX)
        refuse(p, km_arena_printf(a, "it has %zu tensors as inputs; 1 to %d can be drawn", tensors,
                                  KM_GPU_INPUTS_MAX));
    if (!p->output_count || p->output_count > KM_RETURNS_MAX)
        refuse(p, km_arena_printf(a, "it has %zu results; 1 to %d can be compared", p->output_count,
                                  KM_RETURNS_MAX));
    if (p->input_count > KM_ARGS_MAX)
        refuse(p, km_arena_printf(a, "it has %zu inputs", p->input_count));
    if (p->op_type && strcmp(p->op_type, "sampling") == 0)
        refuse(p, "its results are drawn at random (op_type 'sampling'), to be compared as "
                  "distributions");
    if (strchr(p->name, '/') || km_path_check_relative(p->name, NULL) < 0)
        refuse(p, "its name is none that a file can have");
}

int km_trace_problem_parse(km_arena *a, const char *file, km_trace_format format, json_t *document,
                           km_trace_problem *out, km_err *err)
{
    json_t *axes, *inputs, *outputs;

    *out = (km_trace_problem){
        .file = file, .format = format, .document = document, .workloads = json_array()
    };
    if (!out->workloads)
        return km_fail_nomem(err);
    out->name = out->reference = "";
    if (km_json_text(document, "name", &out->name, file, err) < 0 ||
        km_json_text(document, "reference", &out->reference, file, err) < 0 ||
        km_json_text_optional(document, "op_type", &out->op_type, file, err) < 0 ||
        km_json_object(document, "axes", &axes, file, err) < 0 ||
        km_json_object(document, "inputs", &inputs, file, err) < 0 ||
        km_json_object(document, "outputs", &outputs, file, err) < 0 ||
        read_axes(a, out, axes, err) < 0 ||
        read_tensors(a, out, inputs, false, &out->inputs, &out->input_count, err) < 0 ||
        read_tensors(a, out, outputs, true, &out->outputs, &out->output_count, err) < 0)
        return err->code;
    out->constrained = json_array_size(json_object_get(document, "constraints")) > 0;
    check(a, out);
    return hash_meaning(out, err);
}

/* ---- workloads ---- */

int km_trace_axis_value(const km_trace_problem *p, const km_trace_axis *axis,
                        const json_t *workload, double *out, km_err *err)
{
    const json_t *sizes = json_object_get(workload, "axes");
    km_variable variables[KM_EXPR_NAMES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < p->axis_count && axis->expression; i++) {
        const km_trace_axis *other = &p->axes[i];
        if (!other->expression &&
            km_trace_axis_value(p, other, workload, &variables[n].value, err) < 0)
            return KM_EFORMAT;
        variables[n].name = other->name;
        n += !other->expression;
    }
    if (axis->expression) {
        if (km_expr_value(axis->expression, variables, n, out, err) < 0)
            return KM_EFORMAT;
    } else if (axis->constant) {
        *out = axis->value;
    } else if (!json_is_integer(json_object_get(sizes, axis->name))) {
        return km_fail(err, KM_EFORMAT, "it has no size for the axis '%s'", axis->name);
    } else {
        *out = (double)json_integer_value(json_object_get(sizes, axis->name));
    }
    if (*out != floor(*out) || *out < 0 || *out > 0x1p48)
        return km_fail(err, KM_EFORMAT, "the axis '%s' is %g, no size", axis->name, *out);
    return 0;
}

static const json_t *input_of(const json_t *workload, const char *input)
{
    return json_object_get(json_object_get(workload, "inputs"), input);
}

const json_t *km_trace_scalar(const json_t *workload, const char *input)
{
    const json_t *spec = input_of(workload, input), *value = json_object_get(spec, "value");

    return strcmp(km_json_text_of(spec, "type"), "scalar") == 0 &&
                   (json_is_number(value) || json_is_boolean(value))
               ? value
               : NULL;
}

/* A tensor is drawn, a number is given. */
static const char *input_problem(km_arena *a, const km_trace_problem *p, const km_trace_tensor *t,
                                 const json_t *workload)
{
    const json_t *spec = input_of(workload, t->name);
    const char *type = spec ? km_json_text_of(spec, "type") : "random";

    if (!t->shape)
        return km_trace_scalar(workload, t->name)
                   ? NULL
                   : km_arena_printf(a, "its number '%s' has no value", t->name);
    if (strcmp(type, "random") == 0)
        return km_trace_values_problem(p, t)
                   ? km_arena_printf(a, "'%s' %s", t->name, km_trace_values_problem(p, t))
                   : NULL;
    if (strcmp(type, "safetensors") == 0)
        return km_arena_printf(a, "the values of '%s' stand in a file (safetensors)", t->name);
    if (strcmp(type, "custom") == 0)
        return km_arena_printf(a, "the values of '%s' come from a function (custom)", t->name);
    return km_arena_printf(a, "'%s' is of the kind '%s'", t->name, type);
}

const char *km_trace_workload_problem(km_arena *a, const km_trace_problem *p,
                                      const json_t *workload)
{
    km_err err = KM_ERR_INIT;
    double size;

    for (size_t i = 0; i < p->input_count; i++) {
        const char *why = input_problem(a, p, &p->inputs[i], workload);
        if (why)
            return why;
    }
    for (size_t i = 0; i < p->axis_count; i++)
        if (km_trace_axis_value(p, &p->axes[i], workload, &size, &err) < 0)
            return km_arena_strdup(a, err.message);
    return NULL;
}
