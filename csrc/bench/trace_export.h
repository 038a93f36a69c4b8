/* bench/trace_export.h: a cell of an imported operator as lines of FlashInfer Trace or of
 * SOL-ExecBench, one for each call but the definition's own function.
 *
 *     { "definition", "workload": as it was imported, "solution": the call's name,
 *       "evaluation": { "status", "environment": { "hardware", "libs" }, "timestamp", "log",
 *         "correctness": { "max_relative_error", "max_absolute_error", "extra": { "kernmill" } },
 *         "performance": { "latency_ms", "reference_latency_ms", "speedup_factor" } } }
 *
 * Times are medians of the coldest column that both calls have: cold, else stream, else latency on
 * a GPU; call on a CPU. PASSED: our rule and theirs hold (bench/trace_check.h). What the format has
 * no place for stands in correctness.extra.kernmill: both verdicts, intervals, clocks, seed,
 * hashes; of a status that has no correctness, the reason is the log. A cheat is REWARD_HACK of
 * SOL-ExecBench, RUNTIME_ERROR of FlashInfer Trace, which has no word for it. */
#ifndef KERNMILL_BENCH_TRACE_EXPORT_H
#define KERNMILL_BENCH_TRACE_EXPORT_H

#include <jansson.h>

/* The lines, as an array that is the caller's; NULL: out of memory. `cell` is of bench/report.h and
 * has a "trace"; `environment` of record/environment.h, with "packages" and "libraries"; `peer` is
 * the call whose time is the reference's, NULL: the definition's function. */
json_t *km_trace_lines(const json_t *cell, const json_t *environment, const char *peer);

#endif
