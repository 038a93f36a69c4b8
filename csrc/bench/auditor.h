/* bench/auditor.h: the process that holds the reference (bench/audit.h says why).
 *
 * It is started when the first cell has been measured, so that it takes nothing from what is
 * measured, and loads torch and the libraries of references alone. A question and its answer are
 * lines of JSON:
 *
 *   { "cell": N, "seed": "hex", "calls": { name: [{ "dtype", "offset", "bytes" }] } }
 *   { "calls": { name: { "error_ulp": E, "why": text or null } } }, or { "error", "message", "hint"
 * }
 *
 * N counts the cells that the session's filter takes. */
#ifndef KERNMILL_BENCH_AUDITOR_H
#define KERNMILL_BENCH_AUDITOR_H

#include "bench/callables.h"
#include "bench/session.h"

/* Whether the reference of any operator is a call of Python's. */
bool km_auditor_wants_python(const km_suite *s);

/* Answers questions until the other end is closed; `results` is the shared memory's file.
 * `callables` may be NULL. */
void km_auditor_run(const km_session *s, int fd, const struct km_callables *callables);

/* What the parent does with an answer: calls of `cell`, a line of the record, that were taken for
 * right and are not become wrong. False when a right call is not in the answer; `why` names it. */
bool km_auditor_apply(json_t *cell, const json_t *answer, char *why, size_t room);

#endif
