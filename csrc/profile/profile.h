/* profile/profile.h: where a script's time goes, and what kernels could win of it.
 *
 * The answer is a document:
 *
 *     { "schema": 1, "torch", "device": "cpu" or "cuda", "device_name", "threads",
 *       "times": "kernels" or "cpu", "marked", "wall_us", "total_us", "unattributed_us",
 *       "copy": { "gbps", "measured", "bytes" },
 *       "ops": [{ "name", "class", "calls", "time_us", "share" }, ...],
 *       "chains": [{ "module", "paths", "ops", "dtype", "sizes", "backward", "count", "time_us",
 *                    "share", "bytes", "bytes_by": "storages" or "largest tensors", "floor_us",
 *                    "win_us", "win_share", "pattern", "kernel", "function", "covers", "why" }],
 *       "chains_total": { "count", "time_us", "share", "floor_us", "win_us", "win_share" },
 *       "kernels": [{ "name", "family", "count", "time_us", "win_us", "win_share", "by_use_us",
 *                     "backward_us", "backward_win_us" }] }
 *
 * Shares are of total_us: all the operators' time and what could not be attributed. A row of
 * "chains" stands for `count` chains of the same operators, module class and first tensor, with
 * the times and bytes of all of them. `floor_us` is the time in which a copy moves as many bytes,
 * `win_us` what lies above it: the most that any kernel for the chains could win (a little more
 * where a cache holds the data, which a copy of memory does not show). Rows come by that. `covers`
 * says how many operators of the chain `kernel` replaces; "kernels" counts of a chain's win the
 * part that these have in its time. `by_use_us` is the time of those in modules of the kind that
 * the kernel's `family` is for in kernmill.transformers.use(model): norms, gated MLPs, attention.
 * `backward_us` is that of chains of the backward pass of modules whose chains of the forward pass
 * all fit: the kernel has a gradient. */
#ifndef KERNMILL_PROFILE_PROFILE_H
#define KERNMILL_PROFILE_PROFILE_H

#include <jansson.h>
#include <stdbool.h>

#include "core/err.h"

typedef struct {
    const char *python, *host; /* the interpreter, and profile_host.py */
    const char *const *words;  /* the script and its arguments, ends with NULL */
    bool quiet;                /* what the script prints is not shown */
} km_profile_run;

/* Runs the script; what it prints goes to stderr. *trace is a new reference.
 * Errors: KM_ENOENT without a script, KM_EENV without torch, KM_ECHILD when the script raises or
 * ends with another code than 0, KM_ELIMIT beyond KM_PROFILE_EVENTS_MAX. */
int km_profile_run_script(const km_profile_run *p, json_t **trace, km_err *err);

/* What a trace (profile/trace.h) means. `copy_gbps` replaces the measured rate unless 0.
 * *out is a new reference. Errors: those of km_profile_trace_read; KM_EFORMAT when no operator took
 * time.
 */
int km_profile_analyse(const json_t *trace, double copy_gbps, json_t **out, km_err *err);

#endif
