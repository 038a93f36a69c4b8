#include "bench/trace_suite.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/schema.h"
#include "bench/trace_values.h"
#include "formats/toml_write.h"

#include <kernmill/op.h>

/* ---- sizes ---- */

static void add_number(km_str *s, const json_t *value)
{
    if (json_is_boolean(value))
        km_str_add(s, json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        km_str_printf(s, "%lld", (long long)json_integer_value(value));
    else
        km_toml_add_real(s, json_real_value(value));
}

/* A number of the workloads', or NULL. */
static const json_t *number_named(const km_trace_operator *o, const char *name)
{
    for (size_t i = 0; i < o->problem->input_count; i++)
        if (!o->problem->inputs[i].shape && strcmp(o->problem->inputs[i].name, name) == 0)
            return km_trace_scalar(json_array_get(o->workloads, 0), name);
    return NULL;
}

/* A name as the suite's expressions have it: what is computed, and numbers, stand in its place. */
static void add_name(km_str *s, const km_trace_operator *o, const char *name)
{
    const km_trace_axis *axis = km_trace_find_axis(o->problem, name);
    const json_t *number = number_named(o, name);

    if (axis && axis->expression) {
        km_str_printf(s, "(%s)", axis->expression);
    } else if (number) {
        km_str_add(s, "(");
        add_number(s, number);
        km_str_add(s, ")");
    } else {
        km_str_add(s, name);
    }
}

static void add_expression(km_str *s, const km_trace_operator *o, const char *text)
{
    char name[256];

    while (*text) {
        size_t n = 0;
        while (isalnum((unsigned char)text[n]) || text[n] == '_')
            n++;
        if (n && n < sizeof name && !isdigit((unsigned char)*text)) {
            memcpy(name, text, n);
            name[n] = '\0';
            add_name(s, o, name);
            text += n;
        } else {
            km_str_add_bytes(s, text, n ? n : 1);
            text += n ? n : 1;
        }
    }
}

static void add_shape(km_str *s, const km_trace_operator *o, const km_trace_tensor *t)
{
    km_str text = KM_STR_INIT;
    const json_t *item;
    size_t i;

    km_str_add(s, "[");
    json_array_foreach(t->shape, i, item)
    {
        km_str_clear(&text);
        add_expression(&text, o, json_string_value(item));
        km_str_add(s, i ? ", " : "");
        km_toml_add_text(s, text.data);
    }
    km_str_add(s, "]");
    km_str_release(&text);
}

/* The size of each tensor, read or written once. */
static void add_bytes(km_str *s, const km_trace_operator *o, const km_trace_tensor *tensors,
                      size_t count)
{
    const json_t *item;
    size_t k;

    for (size_t i = 0; i < count; i++) {
        if (!tensors[i].shape)
            continue;
        km_str_printf(s, "%s%zu", s->length ? " + " : "",
                      km_dtype_bytes((km_dtype)tensors[i].dtype));
        json_array_foreach(tensors[i].shape, k, item)
        {
            km_str_add(s, " * ");
            add_expression(s, o, json_string_value(item));
        }
    }
}

/* ---- parts of an operator ---- */

static void add_axes(km_str *s, const km_trace_operator *o)
{
    const char *between = "";

    km_str_add(s, "axes = { ");
    for (size_t i = 0; i < o->problem->axis_count; i++) {
        if (o->problem->axes[i].expression)
            continue;
        km_str_printf(s, "%s%s = []", between, o->problem->axes[i].name);
        between = ", ";
    }
    km_str_add(s, " }\nshapes = [\n");
}

static void add_sizes(km_str *s, const km_trace_operator *o)
{
    const json_t *workload;
    size_t w;

    json_array_foreach(o->workloads, w, workload)
    {
        const char *between = "    { ";
        for (size_t i = 0; i < o->problem->axis_count; i++) {
            const km_trace_axis *axis = &o->problem->axes[i];
            double size = 0;
            if (axis->expression)
                continue;
            km_trace_axis_value(o->problem, axis, workload, &size, NULL);
            km_str_printf(s, "%s%s = %.0f", between, axis->name, size);
            between = ", ";
        }
        km_str_add(s, " },\n");
    }
    km_str_add(s, "]\n");
}

/* The dtype of a cell, by which its record is known. */
static int dtype_of(const km_trace_problem *p)
{
    for (size_t i = 0; i < p->output_count; i++)
        if (km_dtype_epsilon(p->outputs[i].dtype) > 0)
            return p->outputs[i].dtype;
    return p->outputs[0].dtype;
}

static void add_tolerance(km_str *s, const km_trace_problem *p)
{
    bool wide = false;

    for (size_t i = 0; i < p->output_count; i++)
        wide |= p->outputs[i].dtype == KM_FLOAT32 || p->outputs[i].dtype == KM_FLOAT64;
    if (wide)
        km_str_add(s, "# the reference computes in float32 where it says so: no better oracle of "
                      "results as wide\ntolerance = 64.0\n");
    else
        km_str_add(s, "tolerance = 2.0\n");
}

static void add_inputs(km_str *s, const km_trace_operator *o)
{
    const km_trace_problem *p = o->problem;

    km_str_printf(s, "\n[op.");
    km_toml_add_key(s, o->name);
    km_str_add(s, ".inputs]\n");
    for (size_t i = 0; i < p->input_count; i++) {
        const km_trace_tensor *t = &p->inputs[i];
        if (!t->shape)
            continue;
        km_toml_add_key(s, t->name);
        km_str_add(s, " = { shape = ");
        add_shape(s, o, t);
        if (t->dtype != dtype_of(p))
            km_str_printf(s, ", dtype = \"%s\"", t->dtype_name);
        km_trace_values_text(s, p, t);
        km_str_add(s, " }\n");
    }
}

/* As one line of JSON; a delete character, which suites do not take in a text, as its escape. */
static void add_workload(km_str *s, const json_t *workload)
{
    char *text = json_dumps(workload, JSON_COMPACT);
    km_str line = KM_STR_INIT;

    for (const char *c = text ? text : "{}"; *c; c++)
        if (*c == 0x7f)
            km_str_add(&line, "\\u007f");
        else
            km_str_add_char(&line, *c);
    km_str_add(s, "    ");
    km_toml_add_text(s, line.data);
    km_str_add(s, ",\n");
    km_str_release(&line);
    free(text);
}

static void add_trace(km_str *s, const km_trace_operator *o)
{
    const km_trace_problem *p = o->problem;
    const json_t *workload;
    size_t i;

    km_str_add(s, "\n[op.");
    km_toml_add_key(s, o->name);
    km_str_printf(s, ".trace]\nformat = \"%s\"\ndefinition = ", km_trace_formats[p->format]);
    km_toml_add_text(s, p->name);
    km_str_printf(s, "\nsha256 = \"%s\"\noutputs = [", p->sha256);
    for (i = 0; i < p->output_count; i++)
        km_str_printf(s, "%s\"%s\"", i ? ", " : "", p->outputs[i].dtype_name);
    km_str_add(s, "]\nfixed = [");
    for (size_t n = i = 0; i < p->axis_count; i++)
        if (!p->axes[i].expression && (p->axes[i].constant || p->constrained))
            km_str_printf(s, "%s\"%s\"", n++ ? ", " : "", p->axes[i].name);
    km_str_add(s, "]\n");
    if (p->format == KM_TRACE_FLASHINFER && p->op_type && strcmp(p->op_type, "moe") == 0)
        km_str_add(s, "matched = 0.95 # as FlashInfer-Bench has it for op_type 'moe'\n");
    km_str_add(s, "workloads = [\n");
    json_array_foreach(o->workloads, i, workload) add_workload(s, workload);
    km_str_add(s, "]\n");
}

/* ---- calls ---- */

/* With the numbers of the workloads in the place of their names, where a schema wants numbers; of a
 * call of Python's (parameter NULL) everywhere. */
static void add_argument(km_str *s, const km_trace_operator *o, const km_toml *at,
                         const km_parameter *parameter)
{
    bool text = at->kind == KM_TOML_STRING && strcmp(at->string.data, "none") != 0;
    km_str expression = KM_STR_INIT;

    if (at->kind == KM_TOML_ARRAY) {
        km_str_add(s, "[");
        for (size_t i = 0; i < at->array.count; i++) {
            km_str_add(s, i ? ", " : "");
            add_argument(s, o, at->array.items[i], parameter);
        }
        km_str_add(s, "]");
    } else if (text && number_named(o, at->string.data) &&
               (!parameter || parameter->type != KM_TYPE_TEXT)) {
        add_number(s, number_named(o, at->string.data));
    } else if (text &&
               (!parameter || parameter->type == KM_TYPE_INT || parameter->type == KM_TYPE_FLOAT)) {
        add_expression(&expression, o, at->string.data);
        km_toml_add_text(s, expression.data);
    } else {
        km_toml_add_value(s, at);
    }
    km_str_release(&expression);
}

static void add_call_head(km_str *s, const km_trace_operator *o, const char *call)
{
    km_str_add(s, "\n[op.");
    km_toml_add_key(s, o->name);
    km_str_add(s, ".calls.");
    km_toml_add_key(s, call);
    km_str_add(s, "]\n");
}

static void add_names(km_str *s, const char *key, const km_list *names)
{
    if (!names->given)
        return;
    km_str_printf(s, "%s = [", key);
    for (size_t i = 0; i < names->count; i++) {
        km_str_add(s, i ? ", " : "");
        km_toml_add_text(s, names->items[i]);
    }
    km_str_add(s, "]\n");
}

static void add_call(km_str *s, const km_trace_operator *o, const km_suite_call *call)
{
    const char *const keys[] = { "library", "schema", "python" };
    const char *const values[] = { call->library, call->schema, call->python };

    add_call_head(s, o, call->name);
    for (int i = 0; i < 3; i++) {
        if (!values[i])
            continue;
        km_str_printf(s, "%s = ", keys[i]);
        km_toml_add_text(s, values[i]);
        km_str_add(s, "\n");
    }
    km_str_add(s, "arguments = [");
    for (size_t i = 0; i < call->arguments->array.count; i++) {
        km_str_add(s, i ? ", " : "");
        add_argument(s, o, call->arguments->array.items[i],
                     call->signature ? &call->signature->parameters[i] : NULL);
    }
    km_str_add(s, "]\n");
    add_names(s, "overwrites", &call->overwrites);
    add_names(s, "results", &call->results);
}

static void add_reference(km_str *s, const km_trace_operator *o)
{
    const km_trace_problem *p = o->problem;
    km_str path = KM_STR_INIT;

    km_str_printf(&path, "references/%s.py:run", p->name);
    add_call_head(s, o, "reference");
    km_str_add(s, "python = ");
    km_toml_add_text(s, path.data);
    km_str_add(s, "\narguments = [");
    for (size_t i = 0; i < p->input_count; i++) {
        km_str_add(s, i ? ", " : "");
        if (p->inputs[i].shape)
            km_toml_add_text(s, p->inputs[i].name);
        else
            add_number(s, number_named(o, p->inputs[i].name));
    }
    km_str_add(s, "]\n");
    km_str_release(&path);
}

void km_trace_operator_text(km_str *s, const km_trace_operator *o)
{
    const km_trace_problem *p = o->problem;
    km_str bytes = KM_STR_INIT;

    km_str_add(s, "\n[op.");
    km_toml_add_key(s, o->name);
    km_str_add(s, "]\n");
    add_axes(s, o);
    add_sizes(s, o);
    add_bytes(&bytes, o, p->inputs, p->input_count);
    add_bytes(&bytes, o, p->outputs, p->output_count);
    km_str_printf(s, "dtypes = [\"%s\"]\nbytes = ", km_dtype_name((km_dtype)dtype_of(p)));
    km_toml_add_text(s, bytes.data);
    km_str_add(s, "\nreference = \"reference\"\n");
    add_tolerance(s, p);
    add_inputs(s, o);
    add_trace(s, o);
    add_reference(s, o);
    for (size_t i = 0; i < o->call_count; i++)
        add_call(s, o, &o->calls[i]);
    km_str_release(&bytes);
}

void km_trace_binding_text(km_str *s, const km_trace_problem *p)
{
    km_str_printf(s, "[bind.%s]\nname = ", p->sha256);
    km_toml_add_text(s, p->name);
    km_str_printf(s,
                  "\n[bind.%s.calls.NAME]\nlibrary = \"PACKAGE\"\nschema = \"...\"\narguments = [",
                  p->sha256);
    for (size_t i = 0; i < p->input_count; i++) {
        km_str_add(s, i ? ", " : "");
        km_toml_add_text(s, p->inputs[i].name);
    }
    km_str_add(s, "]\n");
}
