#include "bench/overwrite.h"

#include <string.h>

#include "bench/arguments.h"
#include "bench/inputs.h"
#include "bench/schema.h"
#include "bench/verify.h"
#include "core/limits.h"

#include <kernmill/op.h>

/* ---- what a suite says ---- */

/* One call under inspection. */
struct check {
    km_fields f;
    const km_suite_op *op;
    km_suite_call *call;
    km_err *err;
};

static int fail_no_input(struct check *c, const km_toml *at, const char *name)
{
    const char *names[KM_EXPR_NAMES_MAX + 1];
    size_t n = 0;

    km_fields_fail(&c->f, at, c->err, "'%s' overwrites '%s': there is no such input", c->call->name,
                   name);
    for (; n < c->op->input_count && n < KM_EXPR_NAMES_MAX; n++)
        names[n] = c->op->inputs[n].name;
    names[n] = NULL;
    return km_fields_hint_names(names, c->err);
}

/* The places of a list's names among the inputs, each once. */
static int find_inputs(struct check *c, const char *key, const km_list *names, size_t **out)
{
    *out = km_arena_array(c->f.arena, names->count + 1, sizeof **out);
    if (!*out)
        return km_fail_nomem(c->err);
    for (size_t i = 0; i < names->count; i++) {
        const km_suite_input *in = km_suite_find_input(c->op, names->items[i]);
        if (!in)
            return fail_no_input(c, names->places[i], names->items[i]);
        (*out)[i] = (size_t)(in - c->op->inputs);
        for (size_t j = 0; j < i; j++)
            if ((*out)[j] == (*out)[i])
                return km_fields_fail(&c->f, names->places[i], c->err, "'%s' names '%s' twice", key,
                                      in->name);
    }
    return 0;
}

static bool names_input(const km_list *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0)
            return true;
    return false;
}

/* Whether an argument is that input, or a list that holds it. */
static bool passes(const km_toml *at, const char *name)
{
    if (at->kind == KM_TOML_STRING)
        return strcmp(at->string.data, name) == 0;
    for (size_t i = 0; at->kind == KM_TOML_ARRAY && i < at->array.count; i++)
        if (passes(at->array.items[i], name))
            return true;
    return false;
}

static int check_input(struct check *c, size_t i)
{
    const km_list *names = &c->call->overwrites;
    const km_suite_input *in = &c->op->inputs[c->call->overwritten[i]];
    const struct km_signature *s = c->call->signature;
    const km_toml_array *arguments = &c->call->arguments->array;
    bool given = false, written = !s;

    for (size_t k = 0; k < arguments->count; k++) {
        bool here = passes(arguments->items[k], in->name);
        given |= here;
        written |= here && s && s->parameters[k].written;
    }
    if (!given)
        return km_fields_fail(&c->f, names->places[i], c->err,
                              "'%s' overwrites '%s', which is none of its arguments", c->call->name,
                              in->name);
    if (!written)
        return km_fields_fail(&c->f, names->places[i], c->err,
                              "'%s' overwrites '%s', and its schema does not say so: expected "
                              "\"Tensor(a!)\"",
                              c->call->name, in->name);
    if (in->strides.count)
        return km_fields_fail(&c->f, names->places[i], c->err,
                              "'%s' overwrites '%s', which has strides: only a contiguous input "
                              "can be overwritten",
                              c->call->name, in->name);
    return 0;
}

/* What a schema writes to is named. */
static int check_schema(struct check *c)
{
    const struct km_signature *s = c->call->signature;

    for (int k = 0; s && k < s->parameter_count; k++)
        for (size_t i = 0; s->parameters[k].written && i < c->op->input_count; i++) {
            const km_toml *at = c->call->arguments->array.items[k];
            const char *name = c->op->inputs[i].name;
            if (passes(at, name) && !names_input(&c->call->overwrites, name))
                return km_fields_fail(&c->f, at, c->err,
                                      "'%s', argument '%s': the schema writes to it, and "
                                      "'overwrites' does not name '%s'",
                                      c->call->name, s->parameters[k].name, name);
        }
    return 0;
}

static int check_results(struct check *c, const km_toml *table)
{
    km_suite_call *call = c->call;
    int returned = call->signature ? call->signature->result_count : 0;

    if (call->results.given && !call->overwrites.given)
        return km_fields_fail(&c->f, km_toml_get(table, "results"), c->err,
                              "'results' says which inputs of 'overwrites' are results, and there "
                              "is no 'overwrites'");
    for (size_t i = 0; i < call->results.count; i++)
        if (!names_input(&call->overwrites, call->results.items[i]))
            return km_fields_fail(&c->f, call->results.places[i], c->err,
                                  "'%s' is no result of '%s': 'overwrites' does not name it",
                                  call->results.items[i], call->name);
    if (!call->results.given)
        call->results = call->overwrites;
    if ((size_t)returned + call->results.count > KM_RETURNS_MAX)
        return km_fields_fail(&c->f, km_toml_get(table, "overwrites"), c->err,
                              "'%s' has more than %d results", call->name, KM_RETURNS_MAX);
    return 0;
}

int km_overwrites_check(km_suite *s, const km_suite_op *op, km_suite_call *call,
                        const km_toml *table, km_err *err)
{
    struct check c = { { &s->arena, s->path, "" }, op, call, err };

    if (call->overwrites.given && !call->overwrites.count)
        return km_fields_fail(&c.f, km_toml_get(table, "overwrites"), err,
                              "'overwrites' names no input");
    if (find_inputs(&c, "overwrites", &call->overwrites, &call->overwritten) < 0 ||
        check_results(&c, table) < 0 ||
        find_inputs(&c, "results", &call->results, &call->resulting) < 0)
        return err->code;
    for (size_t i = 0; i < call->overwrites.count; i++)
        if (check_input(&c, i) < 0)
            return KM_EFORMAT;
    return check_schema(&c);
}

/* ---- what a call is given, and what comes of it ---- */

size_t km_overwritten_count(const km_suite_op *op, const km_suite_call *call)
{
    return call ? call->overwrites.count : op->input_count;
}

size_t km_overwritten(const km_suite_call *call, size_t i)
{
    return call ? call->overwritten[i] : i;
}

bool km_overwrites_any(const km_suite_op *op)
{
    for (size_t i = 0; i < op->call_count; i++)
        if (op->calls[i].overwrites.count)
            return true;
    return false;
}

const km_torch_tensor *km_overwrites_given(km_arena *a, const km_suite_op *op,
                                           const km_suite_call *call, const km_torch_tensor *shared,
                                           const km_torch_tensor *copies, size_t count)
{
    size_t n = op->input_count, each = call->overwrites.count;
    km_torch_tensor *out;

    if (!each)
        return shared;
    out = km_arena_array(a, count * n + 1, sizeof *out);
    if (!out)
        return NULL;
    memcpy(out, shared, count * n * sizeof *out);
    for (size_t k = 0; k < count * each; k++)
        out[k / each * n + call->overwritten[k % each]] = copies[k];
    return out;
}

static bool is_overwritten(const km_torch *t, const km_suite_call *call, km_torch_tensor result,
                           const km_torch_tensor *given)
{
    const km_torch_tensor alone[] = { result, NULL };

    for (size_t i = 0; i < call->overwrites.count; i++)
        if (km_shares_memory(t, alone, &given[call->overwritten[i]], 1))
            return true;
    return false;
}

void km_overwrites_results(const km_torch *t, const km_suite_call *call,
                           const km_torch_tensor *returned, const km_torch_tensor *given,
                           km_torch_tensor *out)
{
    int n = 0;

    memset(out, 0, KM_RETURNS_MAX * sizeof *out);
    for (int i = 0; i < KM_RETURNS_MAX && returned[i]; i++)
        if (!is_overwritten(t, call, returned[i], given))
            out[n++] = returned[i];
    for (size_t i = 0; i < call->results.count && n < KM_RETURNS_MAX; i++)
        out[n++] = given[call->resulting[i]];
}

/* ---- one call ---- */

int km_overwrites_copy(km_arena *a, const km_torch *t, const km_cell *cell,
                       const km_suite_call *call, const km_torch_tensor *inputs,
                       const km_torch_tensor **out, km_err *err)
{
    size_t each = call->overwrites.count, made = 0;
    km_torch_tensor *copies = km_arena_array(a, each + 1, sizeof *copies);
    int rc = copies ? 0 : km_fail_nomem(err);

    for (size_t i = 0; i < each && rc == 0; i++) {
        size_t input = call->overwritten[i];
        rc = km_input_make(t, cell, input, false, &copies[i], err);
        made += rc == 0;
        if (rc == 0)
            rc = km_input_copy(t, inputs[input], copies[i], err);
    }
    if (rc == 0 && each && t->gpu)
        rc = km_gpu_wait(t->gpu, err);
    *out = rc == 0 ? km_overwrites_given(a, cell->op, call, inputs, copies, 1) : NULL;
    if (*out)
        return 0;
    while (made-- > 0)
        t->aoti_torch_delete_tensor_object(copies[made]);
    return rc < 0 ? rc : km_fail_nomem(err);
}

void km_overwrites_release(const km_torch *t, const km_suite_call *call,
                           const km_torch_tensor *given)
{
    for (size_t i = 0; i < call->overwrites.count; i++)
        t->aoti_torch_delete_tensor_object(given[call->overwritten[i]]);
}

int km_overwrites_call(km_arena *a, const km_torch *t, const km_cell *cell,
                       const km_suite_call *call, const km_torch_tensor *inputs, bool widened,
                       km_torch_tensor *results, km_err *err)
{
    const km_torch_tensor *given;
    int rc = km_overwrites_copy(a, t, cell, call, inputs, &given, err);

    if (rc < 0)
        return rc;
    rc = km_call_once(a, t, cell, call, given, widened, results, err);
    km_overwrites_release(t, call, given);
    return rc;
}
