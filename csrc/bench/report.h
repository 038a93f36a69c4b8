/* bench/report.h: a cell's result as a record: one line of JSON, every sample in it. */
#ifndef KERNMILL_BENCH_REPORT_H
#define KERNMILL_BENCH_REPORT_H

#include <jansson.h>

#include "bench/cell.h"

/*     { "op": "rms_norm", "shape": { "rows": 512 }, "dtype": "bfloat16", "device": "cpu",
 *       "bytes": 8.4e6, "flops": 0, "sets": 64, "cache_bytes": 33554432, "rounds": 12,
 * "calls_a_sample": 64, "seed": "...", "threads": 2, "calls": [ { "name": "kernmill", "state":
 * "right", "why": null, "error_ulp": 0.5, "median_us": 181.2, "ratio": { "median": 1, "low": 1,
 * "high": 1 }, "verdict": "same", "samples_us": [ ... ] } ] }
 *
 * A cell that was imported has its "trace" (bench/trace.h), and each call its "rules"
 * (bench/trace_check.h). The first call has neither ratio nor verdict: the others are compared with
 * it. New reference, or NULL when out of memory. */
json_t *km_cell_json(const km_cell_result *r);

#endif
