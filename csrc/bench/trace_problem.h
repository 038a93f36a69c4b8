/* bench/trace_problem.h: a definition with its workloads, as FlashInfer Trace sets and
 * SOL-ExecBench problems have them.
 *
 * A set is a folder with definitions/ (JSON) and workloads/ (JSON Lines, joined by the definition's
 * name); a SOL problem is a folder with definition.json and workload.jsonl; a folder of such
 * folders, however deep, is read, too.
 *
 * A definition's meaning is its axes (type, value, expression), its inputs and outputs in their
 * order (name, shape, dtype) and its reference. It is hashed as compact JSON with sorted keys,
 *
 *     {"axes":{"n":{"type":"var"}},"inputs":[["x",{"dtype":"float32","shape":["n"]}]],
 *      "outputs":[["y",{"dtype":"float32","shape":["n"]}]],"reference":"import torch\n..."}
 *
 * so that neither a name nor a description binds anything: two sets have an rmsnorm_h4096 with
 * another epsilon each. */
#ifndef KERNMILL_BENCH_TRACE_PROBLEM_H
#define KERNMILL_BENCH_TRACE_PROBLEM_H

#include <jansson.h>

#include "bench/trace.h"
#include "core/hash.h"

typedef struct {
    const char *name;
    const char *expression; /* NULL: a number */
    bool constant;
    double value; /* of a constant */
} km_trace_axis;

typedef struct {
    const char *name, *dtype_name;
    const json_t *shape; /* an array of names of axes, or of digits; NULL: a number of Python's */
    int dtype;
} km_trace_tensor;

typedef struct {
    const char *file; /* of the definition */
    km_trace_format format;
    json_t *document;  /* owned */
    json_t *workloads; /* owned: an array of objects */
    const char *name, *op_type, *reference;
    bool constrained; /* it states constraints between axes */
    char sha256[KM_SHA256_HEX_BYTES];
    km_trace_axis *axes; /* variable ones first */
    size_t axis_count;
    km_trace_tensor *inputs, *outputs;
    size_t input_count, output_count;
    const char *unsupported; /* why no suite can have it; NULL: one can */
} km_trace_problem;

typedef struct {
    km_arena arena;
    km_trace_problem *problems; /* by path */
    size_t count, room;
    json_t *strays; /* { "definition", "file" } of workloads whose definition is not there */
} km_trace_problems;

/* Reads all below `folder`. Errors: KM_ENOENT when it holds no definition; KM_EFORMAT with the
 * place of what is no definition or workload; those of km_json_read. On error too it wants a
 * release. */
int km_trace_problems_read(km_trace_problems *p, const char *folder, km_err *err);

void km_trace_problems_release(km_trace_problems *p);

/* Fills a problem from its document; `file` is for errors. Errors: KM_EFORMAT. */
int km_trace_problem_parse(km_arena *a, const char *file, km_trace_format format, json_t *document,
                           km_trace_problem *out, km_err *err);

/* Why a suite cannot have this workload, in the arena; NULL: it can. */
const char *km_trace_workload_problem(km_arena *a, const km_trace_problem *p,
                                      const json_t *workload);

/* The size of an axis in a workload (expressions computed). Errors: KM_EFORMAT. */
int km_trace_axis_value(const km_trace_problem *p, const km_trace_axis *axis,
                        const json_t *workload, double *out, km_err *err);

/* A workload's value of an input that is a number; NULL: it has none. Borrowed. */
const json_t *km_trace_scalar(const json_t *workload, const char *input);

const km_trace_axis *km_trace_find_axis(const km_trace_problem *p, const char *name);

#endif
