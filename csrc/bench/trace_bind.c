#include "bench/trace_bind.h"

#include <string.h>

#include "bench/schema.h"
#include "core/limits.h"
#include "core/str.h"

#include <kernmill/op.h>

/* ---- the file ---- */

struct entry_keys {
    const char *name;
};

static int check_entry(const km_fields *document, const km_toml_entry *e, km_err *err)
{
    static const km_field rows[] = {
        { "name", KM_FIELD_TEXT, offsetof(struct entry_keys, name), false },
        { "calls", KM_FIELD_TABLE, 0, true },
        KM_FIELD_END,
    };
    struct entry_keys keys;
    km_fields f = { document->arena, document->path,
                    km_arena_printf(document->arena, "[bind.%.12s...]", e->key) };

    if (strlen(e->key) != KM_SHA256_HEX_BYTES - 1 || e->key[strspn(e->key, "0123456789abcdef")])
        return km_fields_fail(document, e->value, err,
                              "'%s' is no sha256: expected 64 digits, lower-case", e->key);
    if (km_fields_want(&f, e->key, e->value, KM_TOML_TABLE, err) < 0)
        return KM_EFORMAT;
    return km_fields_read(&f, e->value, rows, &keys, err);
}

int km_bindings_read(km_bindings *b, const char *path, km_err *err)
{
    static const km_field rows[] = { { "bind", KM_FIELD_TABLE, 0, true }, KM_FIELD_END };
    struct entry_keys none;
    km_toml *document = NULL;
    km_fields f = { &b->file.arena, path, "" };
    int rc;

    *b = (km_bindings){ 0 };
    if (!path)
        return 0;
    b->file.path = km_arena_strdup(&b->file.arena, path);
    rc = b->file.path ? km_toml_read(&b->file.arena, path, &document, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_fields_read(&f, document, rows, &none, err);
    b->entries = rc == 0 ? km_toml_get(document, "bind") : NULL;
    for (size_t i = 0; rc == 0 && i < b->entries->table.count; i++)
        rc = check_entry(&f, &b->entries->table.entries[i], err);
    if (rc < 0)
        km_bindings_release(b);
    return rc;
}

void km_bindings_release(km_bindings *b)
{
    km_arena_release(&b->file.arena);
    *b = (km_bindings){ 0 };
}

/* ---- a definition's calls ---- */

/* The definition as an operator with one shape, in which its numbers are axes, too: so that the
 * suite's own check finds what an argument names. */
static int describe(km_arena *a, const km_trace_problem *p, const json_t *workload, km_suite_op *op,
                    km_err *err)
{
    size_t n = p->axis_count + p->input_count;

    op->name = p->name;
    op->axes = km_arena_array(a, n + 1, sizeof *op->axes);
    op->shapes = km_arena_array(a, n + 1, sizeof *op->shapes);
    op->dtypes = km_arena_array(a, 1, sizeof *op->dtypes);
    op->inputs = km_arena_array(a, p->input_count + 1, sizeof *op->inputs);
    if (!op->axes || !op->shapes || !op->dtypes || !op->inputs)
        return km_fail_nomem(err);
    op->dtypes[0] = p->outputs[0].dtype;
    op->dtype_count = op->shape_count = 1;
    for (size_t i = 0; i < p->axis_count; i++, op->axis_count++) {
        op->axes[op->axis_count] = p->axes[i].name;
        km_trace_axis_value(p, &p->axes[i], workload, &op->shapes[op->axis_count], NULL);
    }
    for (size_t i = 0; i < p->input_count; i++) {
        const char *name = p->inputs[i].name;
        if (p->inputs[i].shape) {
            op->inputs[op->input_count++].name = name;
        } else if (op->axis_count < KM_EXPR_NAMES_MAX - 1) {
            op->axes[op->axis_count] = name;
            op->shapes[op->axis_count++] = json_number_value(km_trace_scalar(workload, name));
        }
    }
    return 0;
}

/* Python takes what it is given, and a name that is none would be None. */
static int check_python(const km_fields *f, const km_suite_op *op, const km_suite_call *call,
                        km_err *err)
{
    km_variable variables[KM_EXPR_NAMES_MAX];
    km_cell cell = km_suite_cell(op, 0);
    size_t n = km_cell_variables(&cell, variables);
    const km_toml *python = call->arguments;
    double value;

    if (strstr(call->python, ".py:"))
        return km_fields_fail(f, python, err,
                              "'%s' is in a file: a binding's function stands in a module",
                              call->name);
    for (size_t i = 0; i < call->arguments->array.count; i++) {
        const km_toml *at = call->arguments->array.items[i];
        if (at->kind == KM_TOML_STRING && strcmp(at->string.data, "none") != 0 &&
            !km_suite_find_input(op, at->string.data) &&
            km_expr_value(at->string.data, variables, n, &value, NULL) < 0)
            return km_fields_fail(f, at, err, "'%s': there is no input '%s'", call->name,
                                  at->string.data);
    }
    return 0;
}

/* By its schema; what it returns of its arguments is not counted beside them. */
static size_t result_count(const km_suite_call *call)
{
    size_t n = call->results.count;

    for (int i = 0; i < call->signature->result_count; i++)
        n += !(call->signature->aliased >> i & 1 && call->overwrites.count);
    return n;
}

static int take_calls(km_bindings *b, const km_trace_problem *p, const km_suite_op *op,
                      const km_toml *calls, km_suite_call *out, km_err *err)
{
    km_fields f = { &b->file.arena, b->file.path, "" };

    for (size_t i = 0; i < calls->table.count; i++) {
        const km_toml_entry *e = &calls->table.entries[i];
        if (strcmp(e->key, "reference") == 0)
            return km_fields_fail(&f, e->value, err,
                                  "'reference' is the name of the definition's own function");
        if (km_suite_read_call(&b->file, e, &out[i], err) < 0 ||
            (out[i].python && check_python(&f, op, &out[i], err) < 0) ||
            km_schema_check_call(&b->file, op, &out[i], e->value, err) < 0)
            return KM_EFORMAT;
        if (!out[i].python && result_count(&out[i]) != p->output_count)
            return km_fields_fail(&f, km_toml_get(e->value, "schema"), err,
                                  "'%s' returns %zu results, '%s' %zu", e->key,
                                  result_count(&out[i]), p->name, p->output_count);
    }
    return 0;
}

int km_bindings_find(km_bindings *b, const km_trace_problem *p, const json_t *workload,
                     km_suite_call **out, size_t *count, km_err *err)
{
    const km_toml *calls = km_toml_get(km_toml_get(b->entries, p->sha256), "calls");
    km_suite_op op = { 0 };

    *count = 0;
    if (!calls)
        return 0;
    if (calls->table.count >= KM_CALLS_MAX) {
        km_fields f = { &b->file.arena, b->file.path, "" };
        return km_fields_fail(&f, calls, err, "%zu calls; %d can be compared with a reference",
                              calls->table.count, KM_CALLS_MAX - 1);
    }
    *out = km_arena_array(&b->file.arena, calls->table.count + 1, sizeof **out);
    if (!*out)
        return km_fail_nomem(err);
    if (describe(&b->file.arena, p, workload, &op, err) < 0 ||
        take_calls(b, p, &op, calls, *out, err) < 0)
        return err->code;
    *count = calls->table.count;
    return 0;
}
