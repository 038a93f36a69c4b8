/* bench/host.h: the measuring process: opens torch and the libraries, measures the cells of a
 * session, and writes a line of JSON for each.
 *
 * It is a fork of the program, with no Python in it, or, where a suite has calls that only Python
 * can make, a Python process that loads libkernmill_bench.so and calls km_bench_serve. */
#ifndef KERNMILL_BENCH_HOST_H
#define KERNMILL_BENCH_HOST_H

#include <jansson.h>

#include "bench/callables.h"
#include "bench/session.h"

/* Opens torch, with the GPU where the session wants it (*gpu, which must outlive *t), and loads
 * `libraries`, which ends with NULL. Errors: those of km_gpu_open, km_torch_open, km_torch_load. */
int km_host_open(const km_session *s, const char *const *libraries,
                 const struct km_callables *callables, km_torch *t, km_gpu *gpu, km_err *err);

/* Measures; lines go to `fd`: { "starts": cell }, { "audits": "" } when its results are to be
 * audited, the cell's document, or { "error": ... }, which is the last. An auditor's session
 * answers questions instead. `callables` may be NULL. */
void km_host_run(const km_session *s, int fd, const struct km_callables *callables);

/* Whether it measures on a GPU; never asked before a fork, which the driver does not survive. */
bool km_host_wants_gpu(const km_session *s);

/* A session as a text, and back: `suite` is read from the file that the text names. The result is
 * the caller's (free), NULL when memory ends. */
char *km_session_text(const km_session *s);

/* Exported by libkernmill_bench.so: runs the session that `request` (km_session_text) describes.
 * Returns 0, or a negative number when the request is not understood. */
__attribute__((visibility("default"))) int km_bench_serve(const char *request, int fd,
                                                          const struct km_callables *callables);

#endif
