#include "bench/trace.h"

#include <string.h>

#include "formats/json.h"

const char *const km_trace_formats[] = { "flashinfer", "sol", NULL };

km_trace_bounds km_trace_bounds_of(km_trace_format format)
{
    return (km_trace_bounds){ .atol = 1e-2,
                              .rtol = 1e-2,
                              .matched = format == KM_TRACE_SOL ? 0.99 : 1 };
}

static void update(double *out, const json_t *tolerance, const char *key)
{
    const json_t *value = json_object_get(tolerance, key);

    if (json_is_number(value))
        *out = json_number_value(value);
}

void km_trace_bounds_update(km_trace_bounds *b, const json_t *workload)
{
    const json_t *tolerance = json_object_get(workload, "tolerance");

    update(&b->atol, tolerance, "max_atol");
    update(&b->rtol, tolerance, "max_rtol");
    update(&b->matched, tolerance, "required_matched_ratio");
    update(&b->cap, tolerance, "max_error_cap");
    b->allow_negative_inf |= json_is_true(json_object_get(tolerance, "allow_negative_inf"));
}

static int read_format(const km_fields *f, const km_toml *table, const char *name, km_trace *t,
                       km_err *err)
{
    int i = 0;

    while (km_trace_formats[i] && strcmp(km_trace_formats[i], name) != 0)
        i++;
    if (!km_trace_formats[i]) {
        km_fields_fail(f, km_toml_get(table, "format"), err, "there is no format '%s'", name);
        return km_fields_hint_names(km_trace_formats, err);
    }
    t->format = (km_trace_format)i;
    return 0;
}

static int read_outputs(const km_fields *f, const km_list *names, km_trace *t, km_err *err)
{
    t->outputs = km_arena_array(f->arena, names->count + 1, sizeof *t->outputs);
    if (!t->outputs)
        return km_fail_nomem(err);
    for (; t->output_count < names->count; t->output_count++) {
        int dtype = km_dtype_named(names->items[t->output_count]);
        if (!dtype)
            return km_fields_fail(f, names->places[t->output_count], err, "there is no dtype '%s'",
                                  names->items[t->output_count]);
        t->outputs[t->output_count] = dtype;
    }
    return 0;
}

static int read_workloads(const km_fields *f, const km_suite_op *op, const km_toml *table,
                          const km_list *texts, km_trace *t, km_err *err)
{
    km_trace_bounds standard = km_trace_bounds_of(t->format);

    t->workloads = texts->items;
    t->bounds = km_arena_array(f->arena, texts->count + 1, sizeof *t->bounds);
    if (!t->bounds)
        return km_fail_nomem(err);
    if (km_fields_number(f, "atol", km_toml_get(table, "atol"), &standard.atol, err) < 0 ||
        km_fields_number(f, "rtol", km_toml_get(table, "rtol"), &standard.rtol, err) < 0 ||
        km_fields_number(f, "matched", km_toml_get(table, "matched"), &standard.matched, err) < 0)
        return KM_EFORMAT;
    if (texts->count != op->shape_count || op->dtype_count != 1)
        return km_fields_fail(f, km_toml_get(table, "workloads"), err,
                              "'%s' has %zu workloads, %zu shapes and %zu dtypes: expected a "
                              "workload a shape, and one dtype",
                              op->name, texts->count, op->shape_count, op->dtype_count);
    for (size_t i = 0; i < texts->count; i++) {
        json_t *workload = NULL;
        if (km_json_parse(texts->items[i], strlen(texts->items[i]), "", &workload, NULL) < 0)
            return km_fields_fail(f, texts->places[i], err, "the workload is no JSON");
        t->bounds[i] = standard;
        km_trace_bounds_update(&t->bounds[i], workload);
        json_decref(workload);
    }
    return 0;
}

int km_trace_read(km_suite *s, km_suite_op *op, const km_toml *table, km_err *err)
{
    static const km_field rows[] = {
        { "definition", KM_FIELD_TEXT, offsetof(km_trace, definition), true },
        { "sha256", KM_FIELD_TEXT, offsetof(km_trace, sha256), true },
        { "fixed", KM_FIELD_LIST, offsetof(km_trace, fixed), false },
        { "format", KM_FIELD_ANY, 0, true },
        { "outputs", KM_FIELD_ANY, 0, true },
        { "workloads", KM_FIELD_ANY, 0, true },
        { "atol", KM_FIELD_ANY, 0, false },
        { "rtol", KM_FIELD_ANY, 0, false },
        { "matched", KM_FIELD_ANY, 0, false },
        KM_FIELD_END,
    };
    km_fields f = { &s->arena, s->path, km_arena_printf(&s->arena, "[op.%s.trace]", op->name) };
    km_trace *t = km_arena_alloc(&s->arena, sizeof *t);
    const km_toml *format = km_toml_get(table, "format");
    km_list outputs = { 0 }, workloads = { 0 };

    if (!t)
        return km_fail_nomem(err);
    if (km_fields_read(&f, table, rows, t, err) < 0 ||
        km_fields_want(&f, "format", format, KM_TOML_STRING, err) < 0 ||
        km_fields_list(&f, "outputs", km_toml_get(table, "outputs"), &outputs, err) < 0 ||
        km_fields_list(&f, "workloads", km_toml_get(table, "workloads"), &workloads, err) < 0 ||
        read_format(&f, table, format->string.data, t, err) < 0 ||
        read_outputs(&f, &outputs, t, err) < 0 ||
        read_workloads(&f, op, table, &workloads, t, err) < 0)
        return err->code;
    op->trace = t;
    return 0;
}

size_t km_trace_shape(const km_cell *cell)
{
    return (size_t)(cell->shape - cell->op->shapes) / cell->op->axis_count;
}

static bool is_fixed(const km_trace *t, const char *axis)
{
    for (size_t i = 0; t && i < t->fixed.count; i++)
        if (strcmp(t->fixed.items[i], axis) == 0)
            return true;
    return false;
}

size_t km_trace_free_axis(const km_suite_op *op)
{
    size_t i = 0;

    while (i < op->axis_count && is_fixed(op->trace, op->axes[i]))
        i++;
    return i;
}

json_t *km_trace_json(const km_cell *cell)
{
    const km_trace *t = cell->op->trace;
    json_t *workload = json_loads(t->workloads[km_trace_shape(cell)], 0, NULL);

    return json_pack("{s:s,s:s,s:s,s:o}", "format", km_trace_formats[t->format], "definition",
                     t->definition, "sha256", t->sha256, "workload", workload);
}
