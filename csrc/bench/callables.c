#include "bench/callables.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/schema.h"
#include "core/limits.h"

#define WHY_BYTES 512

static json_t *tensor_json(const km_torch *t, km_torch_tensor tensor)
{
    km_torch_tensor own = NULL;

    if (t->aoti_torch_new_tensor_handle(tensor, &own) != 0)
        return NULL;
    return json_pack("[I]", (json_int_t)(uintptr_t)own);
}

static json_t *number_json(double value)
{
    return value == floor(value) && fabs(value) < 0x1p53 ? json_integer((json_int_t)value)
                                                         : json_real(value);
}

/* One argument; a text is an input's name, "none", or an expression. */
static json_t *argument_json(const km_torch *t, const km_cell *cell, const km_toml *at,
                             const km_torch_tensor *inputs)
{
    km_variable variables[KM_EXPR_NAMES_MAX];
    const km_suite_input *input;
    double value;

    switch (at->kind) {
    case KM_TOML_INT:
        return json_integer(at->integer);
    case KM_TOML_FLOAT:
        return json_real(at->real);
    case KM_TOML_BOOL:
        return json_boolean(at->boolean);
    case KM_TOML_STRING:
        input = km_suite_find_input(cell->op, at->string.data);
        if (input)
            return tensor_json(t, inputs[input - cell->op->inputs]);
        if (strcmp(at->string.data, "none") != 0 &&
            km_expr_value(at->string.data, variables, km_cell_variables(cell, variables), &value,
                          NULL) == 0)
            return number_json(value);
        return json_null();
    default:
        return NULL;
    }
}

int km_callable_prepare(const km_torch *t, const km_cell *cell, const km_suite_call *call,
                        const km_torch_tensor *inputs, bool widened, int *out, km_err *err)
{
    json_t *arguments = json_array();
    char why[WHY_BYTES] = "", *text;

    if (!t->callables)
        return km_fail(err, KM_EBUG, "'%s' is a call for Python", call->name);
    for (size_t i = 0; i < call->arguments->array.count; i++)
        json_array_append_new(arguments,
                              argument_json(t, cell, call->arguments->array.items[i], inputs));
    text = json_dumps(arguments, JSON_COMPACT);
    json_decref(arguments);
    if (!text)
        return km_fail_nomem(err);
    *out = t->callables->prepare(call->python, text, widened, why, sizeof why);
    free(text);
    return *out >= 0 ? 0 : km_fail(err, *out == -1 ? KM_ENOENT : KM_ECHILD, "%s", why);
}

int km_callable_call(const km_torch *t, int prepared, km_torch_tensor *results, km_err *err)
{
    char why[WHY_BYTES] = "";

    if (t->callables->call(prepared, results, why, sizeof why) < 0)
        return km_fail(err, KM_ECHILD, "%s", why);
    return 0;
}
