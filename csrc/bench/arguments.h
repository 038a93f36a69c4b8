/* bench/arguments.h: a suite's call in one cell, ready to be made again and again: its arguments
 * computed, its tensors at hand. */
#ifndef KERNMILL_BENCH_ARGUMENTS_H
#define KERNMILL_BENCH_ARGUMENTS_H

#include "bench/suite.h"
#include "bench/torch_host.h"

typedef struct {
    const km_suite_call *call;
    const char *operator_name, *overload; /* "ns::op"; "" or "out" */
    struct km_argument *arguments;        /* one a parameter; in the arena */
    int callable;                         /* of a call of Python's: its number */
} km_prepared;

/* Computes the arguments for `cell`; `inputs` are the tensors of op->inputs, in that order, which
 * the call borrows. With `widened`, dtypes among the arguments become float64, too, and so do the
 * results of a call of Python's, whatever it computes in. Errors: KM_ENOMEM, KM_ELIMIT; of a call
 * of Python's those of km_callable_prepare. */
int km_prepare(km_arena *a, const km_torch *t, const km_cell *cell, const km_suite_call *call,
               const km_torch_tensor *inputs, bool widened, km_prepared *out, km_err *err);

/* Makes the call. `results` has room for KM_RETURNS_MAX handles of what it returns, which are the
 * caller's. Errors: KM_ECHILD with torch's text. */
int km_prepared_call(const km_prepared *p, const km_torch *t, km_torch_tensor *results,
                     km_err *err);

/* Lets go of what a call of Python's holds: its arguments, which keep the inputs' memory. One that
 * could not be made ready, or is zero, holds nothing. */
void km_prepared_release(const km_prepared *p, const km_torch *t);

/* Prepares it, makes it once, and gives back what was prepared: for a call that is not timed. One
 * that overwrites inputs writes to `inputs`, and all its results are there (bench/overwrite.h).
 * Errors: those of the two. */
int km_call_once(km_arena *a, const km_torch *t, const km_cell *cell, const km_suite_call *call,
                 const km_torch_tensor *inputs, bool widened, km_torch_tensor *results,
                 km_err *err);

/* Gives back the results that are there (of KM_RETURNS_MAX) and makes them NULL. */
void km_results_delete(const km_torch *t, km_torch_tensor *results);

/* How many results there are: those before the first NULL. */
int km_results_count(const km_torch_tensor *results);

#endif
