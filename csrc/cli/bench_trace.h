/* cli/bench_trace.h: kernmill bench --import and --export: problem sets of others in, record lines
 * for them out. */
#ifndef KERNMILL_CLI_BENCH_TRACE_H
#define KERNMILL_CLI_BENCH_TRACE_H

#include <jansson.h>
#include <stdbool.h>

#include "bench/suite.h"
#include "bench/trace_import.h"

/* Imports, and prints what was bound, what was not, and what was left out and why. Returns an exit
 * code (1: nothing could be imported), or a negative code. */
int km_bench_import(const km_trace_import_options *o, bool json, km_err *err);

/* Reads `text`, "trace" or "trace:CALL"; *peer becomes the call, or NULL. Errors: KM_EUSAGE for
 * another format, without an `output`, or when an operator was not imported or lacks the call. */
int km_bench_export_check(const km_suite *s, const char *text, const char *output,
                          const char **peer, km_err *err);

/* Adds a cell's lines to a file. */
int km_bench_export(const json_t *cell, const json_t *environment, const char *peer,
                    const char *path, km_err *err);

#endif
