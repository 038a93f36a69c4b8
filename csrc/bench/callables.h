/* bench/callables.h: calls that only Python can make, handed to the engine by the Python process
 * that it runs in (csrc/python/bench_host.py). Arguments travel as JSON once, when a call is made
 * ready; results as tensor handles. */
#ifndef KERNMILL_BENCH_CALLABLES_H
#define KERNMILL_BENCH_CALLABLES_H

#include "bench/suite.h"
#include "bench/torch_host.h"

struct km_callables {
    /* Makes `function` ("file.py:name" or "module:name") ready for one set of arguments: a JSON
     * list, in which [handle] is a tensor whose handle the callee owns. With `widened`, its results
     * are given as float64, contiguous. Returns a number from 0 on, -1 when it cannot be found, -2
     * when it fails; then `why` tells, in one line. */
    int (*prepare)(const char *function, const char *arguments, int widened, char *why,
                   size_t room);
    /* Calls it. `results` has room for KM_RETURNS_MAX handles, which are the caller's. Returns how
     * many there are, or a negative number. */
    int (*call)(int prepared, km_torch_tensor *results, char *why, size_t room);
    /* Lets go of the arguments; the number is not used again. */
    void (*release)(int prepared);
};

/* Makes a call of the suite ready. Errors: KM_ENOENT when the function is not there; KM_ECHILD when
 * it fails; KM_EBUG outside a Python process. */
int km_callable_prepare(const km_torch *t, const km_cell *cell, const km_suite_call *call,
                        const km_torch_tensor *inputs, bool widened, int *out, km_err *err);

/* Makes the call. Errors: KM_ECHILD with the exception's text. */
int km_callable_call(const km_torch *t, int prepared, km_torch_tensor *results, km_err *err);

#endif
