/* bench/trace.h: what an operator of a suite keeps of the definition that it was imported from
 * (bench/trace_import.h): where its record lines belong, and its makers' rule for right results.
 *
 *     [op.rmsnorm_h2880.trace]
 *     format = "flashinfer"              # or "sol": whose rule, and whose lines
 *     definition = "rmsnorm_h2880"
 *     sha256 = "..."                     # of the definition's meaning
 *     outputs = ["bfloat16"]             # dtypes of its results
 *     fixed = ["hidden_size"]            # axes whose sizes calls may be made for
 *     atol = 0.01
 *     rtol = 0.01
 *     matched = 1.0                      # the share of elements that must be in bounds
 *     workloads = ['{"uuid":"...","axes":{"batch_size":7}}']    # one a shape, as it came
 *
 * The three bounds have the format's own defaults; a workload's `tolerance` goes before them. */
#ifndef KERNMILL_BENCH_TRACE_H
#define KERNMILL_BENCH_TRACE_H

#include <jansson.h>

#include "bench/suite.h"

typedef enum { KM_TRACE_FLASHINFER, KM_TRACE_SOL } km_trace_format;

extern const char *const km_trace_formats[]; /* "flashinfer", "sol"; ends with NULL */

typedef struct {
    double atol, rtol;
    double matched;          /* the least share of elements in bounds */
    double cap;              /* no element may be further off; 0: none */
    bool allow_negative_inf; /* where both have it */
} km_trace_bounds;

typedef struct km_trace {
    km_trace_format format;
    const char *definition, *sha256;
    int *outputs; /* km_dtype of each result */
    size_t output_count;
    km_list fixed;
    const char **workloads;  /* [shape_count], each an object of JSON */
    km_trace_bounds *bounds; /* [shape_count] */
} km_trace;

/* Reads the table into op->trace; shapes are read before. Errors: KM_EFORMAT with the place. */
int km_trace_read(km_suite *s, km_suite_op *op, const km_toml *table, km_err *err);

/* The bounds of a format that states none, and what a workload's `tolerance` changes. */
km_trace_bounds km_trace_bounds_of(km_trace_format format);
void km_trace_bounds_update(km_trace_bounds *b, const json_t *workload);

/* Which of the operator's shapes the cell has: any number when the shape is none of them. */
size_t km_trace_shape(const km_cell *cell);

/* The first axis whose size may be another; axis_count when there is none. */
size_t km_trace_free_axis(const km_suite_op *op);

/* { "format", "definition", "sha256", "workload" } of a cell. New reference, NULL: no memory. */
json_t *km_trace_json(const km_cell *cell);

#endif
