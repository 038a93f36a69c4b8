#include "bench/schema.h"

#include <string.h>

#include "bench/overwrite.h"
#include "core/limits.h"
#include "core/str.h"

#include <kernmill/op.h>

const km_suite_input *km_suite_find_input(const km_suite_op *op, const char *name)
{
    for (size_t i = 0; i < op->input_count; i++)
        if (strcmp(op->inputs[i].name, name) == 0)
            return &op->inputs[i];
    return NULL;
}

/* One call under inspection. */
struct check {
    km_fields f;
    const km_suite_op *op;
    const km_suite_call *call;
    km_err *err;
};

static const char *type_text(const km_parameter *p)
{
    static const char *const names[] = { "",
                                         "the name of an input",
                                         "an integer",
                                         "a number",
                                         "true or false",
                                         "a text",
                                         "a dtype",
                                         "a device" };

    return names[p->type];
}

static int wrong(struct check *c, const km_toml *at, const km_parameter *p)
{
    return km_fields_fail(&c->f, at, c->err, "'%s', argument '%s': expected %s%s, not %s %s",
                          c->call->name, p->name, p->list ? "an array, each item " : "",
                          type_text(p), km_toml_kind_name(at->kind),
                          at->kind == KM_TOML_STRING ? at->string.data : "");
}

static int check_tensor(struct check *c, const km_toml *at, const km_parameter *p)
{
    const char *names[KM_EXPR_NAMES_MAX + 1];
    size_t n = 0;

    if (at->kind != KM_TOML_STRING)
        return wrong(c, at, p);
    if (km_suite_find_input(c->op, at->string.data))
        return 0;
    km_fields_fail(&c->f, at, c->err, "'%s', argument '%s': there is no input '%s'", c->call->name,
                   p->name, at->string.data);
    for (; n < c->op->input_count && n < KM_EXPR_NAMES_MAX; n++)
        names[n] = c->op->inputs[n].name;
    names[n] = NULL;
    return km_fields_hint_names(names, c->err);
}

/* An expression has a value in every cell. */
static int check_expression(const km_fields *f, const km_suite_op *op, const km_toml *at,
                            const char *text, km_err *err)
{
    km_variable variables[KM_EXPR_NAMES_MAX];
    km_err why = KM_ERR_INIT;

    for (size_t i = 0; i < km_suite_cells(op); i++) {
        km_cell cell = km_suite_cell(op, i);
        size_t n = km_cell_variables(&cell, variables);
        double value;
        if (km_expr_value(text, variables, n, &value, &why) == 0)
            continue;
        km_fields_fail(f, at, err, "%s (in the cell %s)", why.message,
                       km_cell_text(f->arena, &cell));
        return *why.hint ? km_hint(err, "%s", why.hint) : KM_EFORMAT;
    }
    return 0;
}

/* One argument, or one item of a list. */
static int check_item(struct check *c, const km_toml *at, const km_parameter *p)
{
    switch (p->type) {
    case KM_TYPE_TENSOR:
        return check_tensor(c, at, p);
    case KM_TYPE_INT:
    case KM_TYPE_FLOAT:
        if (at->kind == KM_TOML_STRING)
            return check_expression(&c->f, c->op, at, at->string.data, c->err);
        if (at->kind == KM_TOML_INT || (p->type == KM_TYPE_FLOAT && at->kind == KM_TOML_FLOAT))
            return 0;
        return wrong(c, at, p);
    case KM_TYPE_BOOL:
        return at->kind == KM_TOML_BOOL ? 0 : wrong(c, at, p);
    case KM_TYPE_TEXT:
        return at->kind == KM_TOML_STRING ? 0 : wrong(c, at, p);
    case KM_TYPE_DTYPE:
        if (at->kind == KM_TOML_STRING && km_dtype_named(at->string.data))
            return 0;
        return wrong(c, at, p);
    case KM_TYPE_DEVICE:
        break;
    }
    return km_fields_fail(&c->f, at, c->err,
                          "'%s', argument '%s': devices are not passed in suites", c->call->name,
                          p->name);
}

static int check_argument(struct check *c, const km_toml *at, const km_parameter *p)
{
    if (p->optional && at->kind == KM_TOML_STRING && strcmp(at->string.data, "none") == 0)
        return 0;
    if (!p->list)
        return check_item(c, at, p);
    if (at->kind != KM_TOML_ARRAY)
        return wrong(c, at, p);
    for (size_t i = 0; i < at->array.count; i++)
        if (check_item(c, at->array.items[i], p) < 0)
            return KM_EFORMAT;
    return 0;
}

static int parse_schema(struct check *c, const km_toml *at, struct km_signature *signature)
{
    const char *name = strstr(c->call->schema, "::");
    struct km_schema_error e;

    if (!name || strcspn(c->call->schema, "(") < (size_t)(name - c->call->schema))
        return km_fields_fail(&c->f, at, c->err,
                              "'schema' names no operator: expected "
                              "\"namespace::name(...) -> ...\"");
    if (km_parse_schema(name + 2, signature, &e))
        return 0;
    return km_fields_fail(&c->f, at, c->err, "'schema', column %d: %s",
                          (int)(e.at - c->call->schema) + 1, e.why);
}

int km_schema_check_call(km_suite *s, const km_suite_op *op, km_suite_call *call,
                         const km_toml *table, km_err *err)
{
    struct km_signature *signature = km_arena_alloc(&s->arena, sizeof *signature);
    struct check c = { { &s->arena, s->path, "" }, op, call, err };

    if (call->python) /* which checks its own arguments */
        return km_overwrites_check(s, op, call, table, err);
    if (!signature)
        return km_fail_nomem(err);
    if (parse_schema(&c, km_toml_get(table, "schema"), signature) < 0)
        return KM_EFORMAT;
    if (call->arguments->array.count != (size_t)signature->parameter_count)
        return km_fields_fail(&c.f, call->arguments, err, "'%s' has %zu arguments, its schema %d",
                              call->name, call->arguments->array.count, signature->parameter_count);
    for (int i = 0; i < signature->parameter_count; i++)
        if (check_argument(&c, call->arguments->array.items[i], &signature->parameters[i]) < 0)
            return KM_EFORMAT;
    call->signature = signature;
    return km_overwrites_check(s, op, call, table, err);
}

static int check_reference(const km_fields *f, const km_suite_op *op, km_err *err)
{
    const char *names[KM_CALLS_MAX + 1];

    for (size_t i = 0; i < op->call_count; i++)
        if (strcmp(op->calls[i].name, op->reference) == 0)
            return 0;
        else
            names[i] = op->calls[i].name;
    names[op->call_count] = NULL;
    km_fields_fail(f, km_toml_get(op->place, "reference"), err, "there is no call '%s'",
                   op->reference);
    return km_fields_hint_names(names, err);
}

static int check_expressions(const km_fields *f, const km_suite_op *op, const km_list *list,
                             km_err *err)
{
    for (size_t i = 0; i < list->count; i++)
        if (check_expression(f, op, list->places[i], list->items[i], err) < 0)
            return KM_EFORMAT;
    return 0;
}

int km_schema_check_op(km_suite *s, km_suite_op *op, km_err *err)
{
    km_fields f = { &s->arena, s->path, "" };
    const km_toml *calls = km_toml_get(op->place, "calls");

    if (check_reference(&f, op, err) < 0 ||
        check_expression(&f, op, km_toml_get(op->place, "bytes"), op->bytes, err) < 0 ||
        (op->flops &&
         check_expression(&f, op, km_toml_get(op->place, "flops"), op->flops, err) < 0))
        return KM_EFORMAT;
    for (size_t i = 0; i < op->input_count; i++)
        if (check_expressions(&f, op, &op->inputs[i].shape, err) < 0 ||
            check_expressions(&f, op, &op->inputs[i].strides, err) < 0)
            return KM_EFORMAT;
    for (size_t i = 0; i < op->call_count; i++)
        if (km_schema_check_call(s, op, &op->calls[i], calls->table.entries[i].value, err) < 0)
            return KM_EFORMAT;
    return 0;
}
