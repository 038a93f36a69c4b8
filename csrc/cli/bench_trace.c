#include "cli/bench_trace.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/trace_export.h"
#include "cli/command.h"
#include "core/file.h"
#include "core/str.h"
#include "formats/json.h"

/* ---- import ---- */

static void print_definition(const json_t *d)
{
    const json_t *calls = json_object_get(d, "calls"), *call;
    size_t i;

    printf("%s  %.0f workloads  ", km_json_text_of(d, "name"), km_json_number_of(d, "cells"));
    if (!json_array_size(calls))
        printf("not bound\n");
    json_array_foreach(calls, i, call)
        printf("%s%s", i ? ", " : "bound to ", json_string_value(call));
    if (json_array_size(calls))
        putchar('\n');
}

/* Those of one definition and reason in one line. */
static void print_left_out(const json_t *left_out)
{
    size_t count = json_array_size(left_out), n;

    if (count)
        printf("\nleft out:\n");
    for (size_t i = 0; i < count; i += n) {
        const json_t *first = json_array_get(left_out, i), *next;
        const char *workload = json_string_value(json_object_get(first, "workload"));
        for (n = 1; (next = json_array_get(left_out, i + n)); n++)
            if (!json_equal(json_object_get(first, "why"), json_object_get(next, "why")) ||
                !json_equal(json_object_get(first, "definition"),
                            json_object_get(next, "definition")))
                break;
        printf("  %s", km_json_text_of(first, "definition"));
        if (n > 1)
            printf(", %zu workloads", n);
        else if (workload)
            printf(", workload %s", workload);
        printf(": %s\n", km_json_text_of(first, "why"));
    }
}

static void print_bindings(const json_t *definitions)
{
    const json_t *d;
    bool first = true;
    size_t i;

    json_array_foreach(definitions, i, d)
    {
        const char *lines = json_string_value(json_object_get(d, "binding"));
        if (!lines)
            continue;
        printf("%s\n%s",
               first ? "\nto bind one, put a call that computes the same into a file for "
                       "--bind:\n"
                     : "",
               lines);
        first = false;
    }
}

static void print_report(const json_t *report)
{
    const json_t *definitions = json_object_get(report, "definitions"), *d;
    size_t i;

    json_array_foreach(definitions, i, d) print_definition(d);
    print_left_out(json_object_get(report, "left_out"));
    print_bindings(definitions);
    if (km_json_number_of(report, "operators") > 0)
        printf("\nwrote %s: %.0f operators, %.0f cells\n", km_json_text_of(report, "suite"),
               km_json_number_of(report, "operators"), km_json_number_of(report, "cells"));
    else
        printf("\nnothing to write\n");
}

int km_bench_import(const km_trace_import_options *o, bool json, km_err *err)
{
    json_t *report = NULL;
    bool any;
    int rc = km_trace_import(o, &report, err);

    if (rc < 0)
        return rc;
    any = km_json_number_of(report, "operators") > 0;
    if (json) {
        json_object_set_new(report, "schema", json_integer(KM_JSON_SCHEMA));
        rc = km_print_json(json_incref(report), err);
    } else {
        print_report(report);
    }
    json_decref(report);
    return rc < 0 || any ? rc : KM_EXIT_NO;
}

/* ---- export ---- */

static bool has_call(const km_suite_op *op, const char *name)
{
    for (size_t i = 0; i < op->call_count; i++)
        if (strcmp(op->calls[i].name, name) == 0)
            return true;
    return false;
}

int km_bench_export_check(const km_suite *s, const char *text, const char *output,
                          const char **peer, km_err *err)
{
    *peer = km_starts_with(text, "trace:") && text[6] ? text + 6 : NULL;
    if (!*peer && strcmp(text, "trace") != 0)
        return km_fail(err, KM_EUSAGE, "option '--export' wants trace or trace:CALL, not '%s'",
                       text);
    if (!output)
        return km_fail(err, KM_EUSAGE, "option '--export' wants --output FILE, to add lines to");
    for (size_t i = 0; i < s->op_count; i++) {
        if (!s->ops[i].trace) {
            km_fail(err, KM_EUSAGE, "'%s' has no definition whose traces there could be",
                    s->ops[i].name);
            return km_hint(err, "kernmill bench --import makes suites that have");
        }
        if (*peer && !has_call(&s->ops[i], *peer))
            return km_fail(err, KM_EUSAGE, "'%s' has no call '%s'", s->ops[i].name, *peer);
    }
    return 0;
}

int km_bench_export(const json_t *cell, const json_t *environment, const char *peer,
                    const char *path, km_err *err)
{
    json_t *lines = km_trace_lines(cell, environment, peer);
    const json_t *line;
    size_t i;
    int rc = lines ? 0 : km_fail_nomem(err);

    json_array_foreach(lines, i, line)
    {
        char *text = rc == 0 ? json_dumps(line, JSON_COMPACT) : NULL;
        if (rc == 0)
            rc = text ? km_file_append_line(path, text, err) : km_fail_nomem(err);
        free(text);
    }
    json_decref(lines);
    return rc;
}
