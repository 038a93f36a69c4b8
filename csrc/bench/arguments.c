#include "bench/arguments.h"

#include <string.h>

#include "bench/callables.h"
#include "bench/overwrite.h"
#include "bench/schema.h"
#include "bench/watch.h"
#include "core/limits.h"

#include <kernmill/op.h>

/* One argument, or one item of a list: what its slot is made of. */
struct item {
    km_torch_tensor tensor; /* borrowed; a call consumes a handle of its own */
    const char *text;
    km_slot raw;
};

struct km_argument {
    const km_parameter *parameter;
    bool given;
    struct item *items; /* one, or those of the list */
    size_t count;
};

static int number(const km_cell *cell, const km_toml *at, double *out, km_err *err)
{
    km_variable variables[KM_EXPR_NAMES_MAX];

    if (at->kind == KM_TOML_INT)
        *out = (double)at->integer;
    else if (at->kind == KM_TOML_FLOAT)
        *out = at->real;
    else
        return km_expr_value(at->string.data, variables, km_cell_variables(cell, variables), out,
                             err);
    return 0;
}

static int prepare_item(const km_torch *t, const km_cell *cell, const km_toml *at, km_type type,
                        const km_torch_tensor *inputs, bool widened, struct item *out, km_err *err)
{
    double value = 0;
    int dtype;

    switch (type) {
    case KM_TYPE_TENSOR:
        out->tensor = inputs[km_suite_find_input(cell->op, at->string.data) - cell->op->inputs];
        return 0;
    case KM_TYPE_TEXT:
        out->text = at->string.data;
        return 0;
    case KM_TYPE_BOOL:
        out->raw = at->boolean;
        return 0;
    case KM_TYPE_DTYPE:
        dtype = widened ? KM_FLOAT64 : km_dtype_named(at->string.data);
        out->raw = (km_slot)km_torch_dtype_code(t, dtype);
        return 0;
    case KM_TYPE_INT:
        if (number(cell, at, &value, err) < 0)
            return KM_EFORMAT;
        out->raw = (km_slot)(int64_t)value;
        return 0;
    case KM_TYPE_FLOAT:
        if (number(cell, at, &value, err) < 0)
            return KM_EFORMAT;
        memcpy(&out->raw, &value, sizeof value);
        return 0;
    case KM_TYPE_DEVICE:
        break;
    }
    return km_fail(err, KM_EBUG, "an argument has no type");
}

static bool is_none(const km_toml *at, const km_parameter *p)
{
    return p->optional && at->kind == KM_TOML_STRING && strcmp(at->string.data, "none") == 0;
}

int km_prepare(km_arena *a, const km_torch *t, const km_cell *cell, const km_suite_call *call,
               const km_torch_tensor *inputs, bool widened, km_prepared *out, km_err *err)
{
    const struct km_signature *s = call->signature;
    const char *overload;

    *out = (km_prepared){ .call = call };
    if (call->python)
        return km_callable_prepare(t, cell, call, inputs, widened, &out->callable, err);
    overload = call->schema + strcspn(call->schema, "(.");
    overload += *overload == '.';
    *out = (km_prepared){
        .call = call,
        .operator_name = km_arena_strndup(a, call->schema, strcspn(call->schema, "(.")),
        .overload = km_arena_strndup(a, overload, strcspn(overload, "(")),
        .arguments = km_arena_array(a, (size_t)s->parameter_count + 1, sizeof *out->arguments),
    };
    if (!out->operator_name || !out->overload || !out->arguments)
        return km_fail_nomem(err);
    for (int i = 0; i < s->parameter_count; i++) {
        const km_toml *at = call->arguments->array.items[i];
        struct km_argument *g = &out->arguments[i];
        g->parameter = &s->parameters[i];
        g->given = !is_none(at, g->parameter);
        g->count = g->parameter->list && g->given ? at->array.count : 1;
        g->items = km_arena_array(a, g->count + 1, sizeof *g->items);
        if (!g->items)
            return km_fail_nomem(err);
        for (size_t j = 0; g->given && j < g->count; j++)
            if (prepare_item(t, cell, g->parameter->list ? at->array.items[j] : at,
                             g->parameter->type, inputs, widened, &g->items[j], err) < 0)
                return KM_EFORMAT;
    }
    return 0;
}

/* A slot of its own for one item: the callee owns what it points to. */
static bool encode_item(const km_torch *t, km_type type, const struct item *item, km_slot *out)
{
    km_torch_tensor tensor;
    km_torch_string string;

    *out = item->raw;
    if (type == KM_TYPE_TENSOR) {
        if (t->aoti_torch_new_tensor_handle(item->tensor, &tensor) != 0)
            return false;
        *out = (km_slot)(uintptr_t)tensor;
    } else if (type == KM_TYPE_TEXT) {
        if (t->torch_new_string_handle(item->text, strlen(item->text), &string) != 0)
            return false;
        *out = (km_slot)(uintptr_t)string;
    }
    return true;
}

static bool encode(const km_torch *t, const struct km_argument *g, km_slot *out)
{
    km_torch_list list = NULL;
    km_slot slot = 0, *cell;

    *out = 0;
    if (!g->given)
        return true;
    if (!g->parameter->list && !encode_item(t, g->parameter->type, &g->items[0], &slot))
        return false;
    if (g->parameter->list) {
        if (t->torch_new_list_reserve_size(g->count, &list) != 0)
            return false;
        for (size_t i = 0; i < g->count; i++)
            if (!encode_item(t, g->parameter->type, &g->items[i], &slot) ||
                t->torch_list_push_back(list, slot) != 0)
                return false;
        slot = (km_slot)(uintptr_t)list;
    }
    if (g->parameter->optional) {
        cell = t->new_cell(sizeof *cell);
        *cell = slot;
        slot = (km_slot)(uintptr_t)cell;
    }
    *out = slot;
    return true;
}

int km_prepared_call(const km_prepared *p, const km_torch *t, km_torch_tensor *results, km_err *err)
{
    km_slot stack[KM_ARGS_MAX + KM_RETURNS_MAX];
    const struct km_signature *s = p->call->signature;

    km_watch_call(p->call->name);
    if (p->call->python)
        return km_callable_call(t, p->callable, results, err);
    for (int i = 0; i < s->parameter_count; i++)
        if (!encode(t, &p->arguments[i], &stack[i]))
            return km_fail(err, KM_ENOMEM, "%s: torch made no argument", p->operator_name);
    if (km_torch_call(t, p->operator_name, p->overload, stack, err) < 0)
        return KM_ECHILD;
    for (int i = 0; i < s->result_count; i++)
        results[i] = (km_torch_tensor)(uintptr_t)stack[i];
    return 0;
}

void km_prepared_release(const km_prepared *p, const km_torch *t)
{
    if (p->call && p->call->python && p->callable >= 0)
        t->callables->release(p->callable);
}

/* Handles of all results, of their own. */
static int take_results(const km_torch *t, const km_suite_call *call, km_torch_tensor *returned,
                        const km_torch_tensor *inputs, km_torch_tensor *results, km_err *err)
{
    km_torch_tensor all[KM_RETURNS_MAX];
    int rc = 0;

    km_overwrites_results(t, call, returned, inputs, all);
    if (!all[0])
        rc = km_fail(err, KM_ECHILD, "%s: it has no result", call->name);
    for (int i = 0; i < km_results_count(all) && rc == 0; i++)
        if (t->aoti_torch_new_tensor_handle(all[i], &results[i]) != 0)
            rc = km_fail(err, KM_ENOMEM, "%s: torch made no handle", call->name);
    km_results_delete(t, returned);
    return rc;
}

int km_call_once(km_arena *a, const km_torch *t, const km_cell *cell, const km_suite_call *call,
                 const km_torch_tensor *inputs, bool widened, km_torch_tensor *results, km_err *err)
{
    km_torch_tensor returned[KM_RETURNS_MAX] = { NULL };
    km_prepared prepared;
    int rc = km_prepare(a, t, cell, call, inputs, widened, &prepared, err);

    if (rc < 0)
        return rc;
    rc = km_prepared_call(&prepared, t, returned, err);
    km_prepared_release(&prepared, t);
    return rc == 0 ? take_results(t, call, returned, inputs, results, err) : rc;
}

void km_results_delete(const km_torch *t, km_torch_tensor *results)
{
    for (int i = 0; i < KM_RETURNS_MAX; i++)
        if (results[i]) {
            t->aoti_torch_delete_tensor_object(results[i]);
            results[i] = NULL;
        }
}

int km_results_count(const km_torch_tensor *results)
{
    int n = 0;

    while (n < KM_RETURNS_MAX && results[n])
        n++;
    return n;
}
