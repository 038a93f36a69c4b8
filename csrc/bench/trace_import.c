#include "bench/trace_import.h"

#include <stdlib.h>
#include <string.h>

#include "bench/trace_suite.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/toml_write.h"

#define MADE_BY "# Made by `kernmill bench --import`; the sha256 of what follows: "

/* An import under way. */
struct import {
    const km_trace_import_options *o;
    km_arena a;
    km_trace_problems set;
    km_bindings bindings;
    km_str body; /* of the suite, without its first line */
    json_t *definitions, *left_out;
    size_t operators, cells;
};

/* A text of the set's, safe for a terminal. */
static const char *clean(struct import *m, const char *text)
{
    char *copy = text ? km_arena_strdup(&m->a, text) : NULL;

    if (copy)
        km_text_clean(copy);
    return copy;
}

static int leave_out(struct import *m, const char *definition, const char *workload,
                     const char *why, km_err *err)
{
    json_t *row = json_pack("{s:s?,s:s?,s:s?}", "definition", clean(m, definition), "workload",
                            clean(m, workload), "why", clean(m, why));

    return json_array_append_new(m->left_out, row) == 0 ? 0 : km_fail_nomem(err);
}

/* ---- operators ---- */

/* The numbers of a workload, as a text to compare. */
static char *numbers_of(const km_trace_problem *p, const json_t *workload)
{
    json_t *numbers = json_array();
    char *text;

    for (size_t i = 0; i < p->input_count; i++)
        if (!p->inputs[i].shape)
            json_array_append(numbers,
                              (json_t *)(uintptr_t)km_trace_scalar(workload, p->inputs[i].name));
    text = json_dumps(numbers, JSON_COMPACT);
    json_decref(numbers);
    return text;
}

/* The workloads that a suite can have, by their numbers: { numbers: [workloads] }. */
static int group(struct import *m, const km_trace_problem *p, json_t *groups, km_err *err)
{
    const json_t *workload;
    size_t i;
    int rc = 0;

    json_array_foreach(p->workloads, i, workload)
    {
        const char *why = km_trace_workload_problem(&m->a, p, workload);
        char *numbers = why ? NULL : numbers_of(p, workload);
        json_t *of = numbers ? json_object_get(groups, numbers) : NULL;
        if (numbers && !of) {
            of = json_array();
            json_object_set_new(groups, numbers, of);
        }
        free(numbers);
        if (of && json_array_size(of) == KM_CELLS_MAX)
            why = "its operator has as many workloads as a suite takes";
        if (why)
            rc = leave_out(m, p->name, json_string_value(json_object_get(workload, "uuid")), why,
                           err);
        else
            rc = json_array_append(of, (json_t *)(uintptr_t)workload) == 0 ? 0 : km_fail_nomem(err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add_operator(struct import *m, const km_trace_problem *p, json_t *workloads,
                        size_t number, json_t *calls, km_err *err)
{
    km_trace_operator o = { .problem = p, .workloads = workloads };
    km_suite_call *bound = NULL;

    o.name = number ? km_arena_printf(&m->a, "%s#%zu", p->name, number + 1) : p->name;
    if (!o.name)
        return km_fail_nomem(err);
    if (km_bindings_find(&m->bindings, p, json_array_get(workloads, 0), &bound, &o.call_count,
                         err) < 0)
        return err->code;
    o.calls = bound;
    for (size_t i = 0; i < o.call_count && !number; i++)
        json_array_append_new(calls, json_string(bound[i].name));
    km_trace_operator_text(&m->body, &o);
    m->operators++;
    m->cells += json_array_size(workloads);
    return 0;
}

static json_t *binding_lines(const km_trace_problem *p, bool bound)
{
    km_str text = KM_STR_INIT;
    json_t *lines;

    if (bound)
        return json_null();
    km_trace_binding_text(&text, p);
    lines = json_string(text.data);
    km_str_release(&text);
    return lines;
}

static int add_problem(struct import *m, const km_trace_problem *p, km_err *err)
{
    json_t *groups = json_object(), *calls = json_array(), *workloads;
    size_t number = 0, before = m->cells;
    const char *numbers;
    int rc = group(m, p, groups, err);

    json_object_foreach(groups, numbers, workloads)
    {
        if (rc == 0)
            rc = add_operator(m, p, workloads, number++, calls, err);
    }
    if (rc == 0 && !json_array_size(p->workloads))
        rc = leave_out(m, p->name, NULL, "it has no workloads", err);
    if (rc == 0 && number)
        json_array_append_new(m->definitions,
                              json_pack("{s:s,s:s,s:I,s:I,s:O,s:o}", "name", p->name, "sha256",
                                        p->sha256, "operators", (json_int_t)number, "cells",
                                        (json_int_t)(m->cells - before), "calls", calls, "binding",
                                        binding_lines(p, json_array_size(calls) > 0)));
    json_decref(groups);
    json_decref(calls);
    return rc;
}

static int add_all(struct import *m, km_err *err)
{
    const json_t *stray;
    size_t i;
    int rc = 0;

    for (i = 0; i < m->set.count && rc == 0; i++) {
        const km_trace_problem *p = &m->set.problems[i];
        rc = p->unsupported ? leave_out(m, p->name, NULL, p->unsupported, err)
                            : add_problem(m, p, err);
    }
    json_array_foreach(m->set.strays, i, stray)
    {
        if (rc == 0)
            rc = leave_out(m, json_string_value(json_object_get(stray, "definition")),
                           json_string_value(json_object_get(stray, "workload")),
                           "there is no definition of that name", err);
    }
    return rc;
}

static int start(struct import *m, km_err *err)
{
    char *real = NULL;

    if (km_path_real(&m->a, m->o->source, &real, err) < 0)
        return err->code;
    km_str_add(&m->body,
               "# Whoever changes it keeps it: only what nobody changed is overwritten.\n"
               "# [op.*.trace]: csrc/bench/trace.h. A norm's weights and bias that SOL-ExecBench\n"
               "# draws as ones and zeros are uniform here, so that a kernel that drops them is "
               "wrong.\n");
    km_str_add(&m->body, "name = ");
    km_toml_add_text(&m->body, km_path_base(real));
    km_str_add(&m->body, "\npackages = [\"torch\"]\n");
    return 0;
}

/* ---- files ---- */

/* Whether the suite that stands there is as an import left it. */
static bool is_ours(const char *text)
{
    const char *body = strchr(text, '\n');
    char hex[KM_SHA256_HEX_BYTES];
    km_sha256 hash;

    if (!km_starts_with(text, MADE_BY) || !body ||
        km_hash_bytes(body + 1, strlen(body + 1), &hash, NULL) < 0)
        return false;
    km_hash_hex(&hash, hex);
    return km_starts_with(text + strlen(MADE_BY), hex);
}

static int check_folder(struct import *m, const char *suite, km_err *err)
{
    km_names names;
    char *text;
    size_t size;

    if (!km_dir_exists(m->o->folder))
        return 0;
    if (km_dir_list(&m->a, m->o->folder, &names, err) < 0)
        return err->code;
    if (!names.count)
        return 0;
    if (km_file_exists(suite)) {
        if (km_file_read(&m->a, suite, KM_TEXT_BYTES_MAX, &text, &size, err) < 0)
            return err->code;
        if (is_ours(text))
            return 0;
        km_fail(err, KM_EUSAGE, "'%s' was not imported, or was edited since", suite);
    } else {
        km_fail(err, KM_EUSAGE, "the folder '%s' holds other files", m->o->folder);
    }
    return km_hint(err, "name another folder with --output, or remove it");
}

static int write_references(struct import *m, km_err *err)
{
    const char *folder = km_path_join(&m->a, m->o->folder, "references");
    const json_t *definition;
    size_t i;

    if (!folder)
        return km_fail_nomem(err);
    if (km_dir_make(folder, err) < 0)
        return err->code;
    json_array_foreach(m->definitions, i, definition)
    {
        const char *name = json_string_value(json_object_get(definition, "name"));
        const char *path = km_arena_printf(&m->a, "%s/%s.py", folder, name);
        size_t k = 0;
        while (strcmp(m->set.problems[k].name, name) != 0)
            k++;
        if (!path)
            return km_fail_nomem(err);
        if (km_file_update(path, m->set.problems[k].reference, strlen(m->set.problems[k].reference),
                           0644, err) < 0)
            return err->code;
    }
    return 0;
}

static int write_all(struct import *m, const char *suite, km_err *err)
{
    km_str text = KM_STR_INIT;
    char hex[KM_SHA256_HEX_BYTES];
    km_sha256 hash;
    int rc;

    if (km_str_check(&m->body, err) < 0 || check_folder(m, suite, err) < 0)
        return err->code;
    if (m->body.length > KM_TOML_BYTES_MAX - 256)
        return km_fail(err, KM_ELIMIT, "the suite would have %zu bytes; %u are read",
                       m->body.length, KM_TOML_BYTES_MAX);
    if (km_hash_bytes(m->body.data, m->body.length, &hash, err) < 0 || write_references(m, err) < 0)
        return err->code;
    km_hash_hex(&hash, hex);
    km_str_printf(&text, MADE_BY "%s\n%s", hex, m->body.data);
    rc = km_str_check(&text, err);
    if (rc == 0)
        rc = km_file_update(suite, text.data, text.length, 0644, err);
    km_str_release(&text);
    return rc;
}

static int import(struct import *m, json_t **out, km_err *err)
{
    const char *suite = km_path_join(&m->a, m->o->folder, "suite.toml");

    if (!suite || !m->definitions || !m->left_out)
        return km_fail_nomem(err);
    if (km_trace_problems_read(&m->set, m->o->source, err) < 0 ||
        km_bindings_read(&m->bindings, m->o->bind, err) < 0 || start(m, err) < 0 ||
        add_all(m, err) < 0 || (m->operators && write_all(m, suite, err) < 0))
        return err->code;
    *out = json_pack("{s:s,s:I,s:I,s:O,s:O}", "suite", suite, "operators", (json_int_t)m->operators,
                     "cells", (json_int_t)m->cells, "definitions", m->definitions, "left_out",
                     m->left_out);
    return *out ? 0 : km_fail_nomem(err);
}

int km_trace_import(const km_trace_import_options *o, json_t **out, km_err *err)
{
    struct import m = {
        .o = o, .body = KM_STR_INIT, .definitions = json_array(), .left_out = json_array()
    };
    km_err ours = KM_ERR_INIT;
    int rc;

    *out = NULL;
    rc = import(&m, out, err ? err : &ours);
    km_str_release(&m.body);
    km_bindings_release(&m.bindings);
    km_trace_problems_release(&m.set);
    json_decref(m.definitions);
    json_decref(m.left_out);
    km_arena_release(&m.a);
    return rc;
}
