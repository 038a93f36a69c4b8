#include "bench/trace_export.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "formats/json.h"
#include "record/record.h"

/* What a line is made from. */
struct source {
    const json_t *cell, *environment, *call, *reference;
    const char *reference_name;
    bool sol;
};

static bool is(const json_t *o, const char *key, const char *text)
{
    return strcmp(km_json_text_of(o, key), text) == 0;
}

/* ---- status ---- */

static const char *status_of(const struct source *s)
{
    const json_t *theirs = json_object_get(json_object_get(s->call, "rules"), "trace");

    if (is(theirs, "state", "untried") && json_is_string(json_object_get(theirs, "why")))
        return s->sol ? "INVALID_REFERENCE" : "RUNTIME_ERROR";
    if (is(s->call, "state", "missing"))
        return "COMPILE_ERROR";
    if (is(s->call, "state", "cheats") || is(s->call, "state", "changed its inputs"))
        return s->sol ? "REWARD_HACK" : "RUNTIME_ERROR";
    if (is(s->call, "state", "failed"))
        return "RUNTIME_ERROR";
    if (is(s->call, "state", "right"))
        return "PASSED";
    if (is(theirs, "state", "shape"))
        return "INCORRECT_SHAPE";
    if (is(theirs, "state", "dtype"))
        return "INCORRECT_DTYPE";
    return is(theirs, "state", "failed") ? "RUNTIME_ERROR" : "INCORRECT_NUMERICAL";
}

static json_t *log_of(const struct source *s, const char *status)
{
    const json_t *theirs = json_object_get(json_object_get(s->call, "rules"), "trace");

    if (strcmp(status, "PASSED") == 0)
        return json_string("");
    if (is(s->call, "state", "right"))
        return json_sprintf("kernmill: the reference was not tried: %s",
                            km_json_text_of(theirs, "why"));
    return json_sprintf("kernmill: %s: %s", km_json_text_of(s->call, "state"),
                        km_json_text_of(s->call, "why"));
}

/* ---- times ---- */

static double median_of(const json_t *call, const char *column)
{
    return km_json_number_of(json_object_get(json_object_get(call, "columns"), column),
                             "median_us");
}

/* The first column that both have; that of the call alone where there is none. */
static const char *column_of(const struct source *s)
{
    static const char *const names[] = { "call", "cold", "stream", "latency" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (median_of(s->call, names[i]) > 0 && median_of(s->reference, names[i]) > 0)
            return names[i];
    return is(s->cell, "device", "cuda") ? "cold" : "call";
}

static json_t *performance_of(const struct source *s)
{
    double us = median_of(s->call, column_of(s)), reference = median_of(s->reference, column_of(s));

    return json_pack("{s:f,s:f,s:f}", "latency_ms", us / 1e3, "reference_latency_ms",
                     reference / 1e3, "speedup_factor", us > 0 ? reference / us : 0.0);
}

/* ---- correctness ---- */

static json_t *optional(const json_t *o, const char *key)
{
    json_t *value = json_object_get(o, key);

    return value ? json_incref(value) : json_null();
}

static json_t *clocks_of(const json_t *cell)
{
    const json_t *gpu = json_object_get(cell, "gpu");

    if (!gpu)
        return json_null();
    return json_pack("{s:o,s:o,s:o}", "least", optional(gpu, "least"), "most",
                     optional(gpu, "most"), "throttle_reasons", optional(gpu, "throttle_reasons"));
}

static json_t *extra_of(const struct source *s)
{
    const char *column = column_of(s);
    const json_t *samples = json_object_get(json_object_get(s->call, "columns"), column);
    const json_t *first = json_array_get(json_object_get(s->cell, "calls"), 0);

    return json_pack("{s:i,s:o,s:o,s:o,s:o,s:s,s:s,s:{s:s,s:o,s:o},s:o,s:o,s:o,s:o,s:o,s:o}",
                     "schema", 1, "sha256", optional(json_object_get(s->cell, "trace"), "sha256"),
                     "state", optional(s->call, "state"), "why", optional(s->call, "why"), "rules",
                     optional(s->call, "rules"), "column", column, "reference", s->reference_name,
                     "interval", "against", km_json_text_of(first, "name"), "ratio",
                     optional(samples, "ratio"), "verdict", optional(samples, "verdict"), "clocks",
                     clocks_of(s->cell), "rounds", optional(s->cell, "rounds"), "sets",
                     optional(s->cell, "sets"), "seed", optional(s->cell, "seed"), "libraries",
                     optional(s->environment, "libraries"), "commit",
                     optional(s->environment, "commit"));
}

/* The formats differ in how they say that a result was not finite. */
static json_t *error_of(const struct source *s, const json_t *theirs, const char *key)
{
    bool nan = json_is_true(json_object_get(theirs, "nan"));
    bool inf = json_is_true(json_object_get(theirs, "inf"));

    if (s->sol && (nan || inf))
        return json_real(0);
    if (inf || nan)
        return json_string(inf ? "Infinity" : "NaN");
    return optional(theirs, key);
}

static json_t *correctness_of(const struct source *s)
{
    const json_t *theirs = json_object_get(json_object_get(s->call, "rules"), "trace");
    bool nan = json_is_true(json_object_get(theirs, "nan"));
    json_t *out = json_pack("{s:o,s:o,s:{s:o}}", "max_relative_error",
                            error_of(s, theirs, "max_relative_error"), "max_absolute_error",
                            error_of(s, theirs, "max_absolute_error"), "extra", "kernmill",
                            extra_of(s));

    if (out && s->sol) {
        json_object_set_new(out, "has_nan", json_boolean(nan));
        json_object_set_new(out, "has_inf",
                            json_boolean(!nan && json_is_true(json_object_get(theirs, "inf"))));
    }
    return out;
}

/* ---- the line ---- */

static json_t *environment_of(const struct source *s)
{
    const json_t *gpu = json_object_get(s->cell, "gpu"), *version;
    json_t *libs = json_pack("{s:s,s:s}", "kernmill", km_json_text_of(s->environment, "kernmill"),
                             "torch", km_json_text_of(s->cell, "torch"));
    const char *name;

    json_object_foreach(json_object_get(s->environment, "packages"), name, version)
    {
        if (json_is_string(version))
            json_object_set(libs, name, (json_t *)(uintptr_t)version);
    }
    if (gpu)
        json_object_set_new(libs, "cuda_driver", optional(gpu, "driver_cuda"));
    return json_pack("{s:s,s:o}", "hardware",
                     gpu ? km_json_text_of(gpu, "name") : km_json_text_of(s->environment, "cpu"),
                     "libs", libs);
}

static json_t *line_of(const struct source *s)
{
    const json_t *trace = json_object_get(s->cell, "trace");
    const char *status = status_of(s);
    bool passed = strcmp(status, "PASSED") == 0;
    bool compared = passed || strcmp(status, "INCORRECT_NUMERICAL") == 0;

    return json_pack(
        "{s:O,s:O,s:s,s:{s:s,s:o,s:s,s:o,s:o,s:o}}", "definition",
        json_object_get(trace, "definition"), "workload", json_object_get(trace, "workload"),
        "solution", km_json_text_of(s->call, "name"), "evaluation", "status", status, "environment",
        environment_of(s), "timestamp", km_json_text_of(s->environment, "date"), "log",
        log_of(s, status), "correctness", compared ? correctness_of(s) : json_null(), "performance",
        passed ? performance_of(s) : json_null());
}

json_t *km_trace_lines(const json_t *cell, const json_t *environment, const char *peer)
{
    const char *own = km_json_text_of(cell, "reference");
    struct source s = { .cell = cell, .environment = environment };
    json_t *lines = json_array();
    size_t i;

    s.reference_name = peer ? peer : own;
    s.reference = km_record_call(cell, s.reference_name);
    s.sol = is(json_object_get(cell, "trace"), "format", "sol");
    json_array_foreach(json_object_get(cell, "calls"), i, s.call)
    {
        if (!is(s.call, "name", own) && json_array_append_new(lines, line_of(&s)) < 0) {
            json_decref(lines);
            return NULL;
        }
    }
    return lines;
}
