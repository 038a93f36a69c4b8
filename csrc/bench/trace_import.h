/* bench/trace_import.h: FlashInfer Trace sets and SOL-ExecBench problems as a suite.
 *
 * Writes a folder:
 *
 *     suite.toml                   an operator for each definition, a shape for each workload
 *     references/<definition>.py   the definition's own function, verbatim: the call "reference"
 *
 * The same set, names and bindings give the same bytes. An operator's calls are the reference and
 * what a file of bindings has for its meaning (bench/trace_bind.h). Workloads that differ in a
 * number of Python's (an epsilon that is an input) make operators NAME, NAME#2 and so on. */
#ifndef KERNMILL_BENCH_TRACE_IMPORT_H
#define KERNMILL_BENCH_TRACE_IMPORT_H

#include <jansson.h>

#include "core/err.h"

typedef struct {
    const char *source; /* a trace set, a problem, or a folder of problems */
    const char *bind;   /* a file of bindings; NULL: none */
    const char *folder; /* what is written */
} km_trace_import_options;

/* Imports what suites can have, and names the rest:
 *
 *     { "suite": "FOLDER/suite.toml", "operators": 2, "cells": 5,
 *       "definitions": [ { "name", "sha256", "operators": 1, "cells": 3, "calls": ["torch"],
 *                          "binding": null, or the lines that would bind it } ],
 *       "left_out": [ { "definition", "workload": uuid or null, "why" } ] }
 *
 * *out is the caller's. When no operator is left nothing is written. Errors: those of
 * km_trace_problems_read, km_bindings_read and km_bindings_find; KM_EUSAGE when the folder holds
 * anything that was not imported, or was edited since; KM_EIO. */
int km_trace_import(const km_trace_import_options *o, json_t **out, km_err *err);

#endif
