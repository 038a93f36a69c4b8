/* bench/overwrite.h: calls that write into their inputs.
 *
 *     [op.fused_add_rms_norm.calls.in_place]
 *     schema = "n::fused_add_rms_norm_(Tensor(a!) x, Tensor(b!) residual, Tensor weight) -> ()"
 *     arguments = ["x", "residual", "weight"]
 *     overwrites = ["x", "residual"]
 *
 * The inputs are all calls', and stay as they are: such a call is given copies of its own of those
 * that it overwrites, which are brought back to the inputs' values outside every time that is
 * taken.
 *
 * Its results are what it returns, and behind that the inputs that it overwrites, in the order in
 * which `overwrites` names them; where these are not all results, `results` names those that are.
 * What it returns in the memory of such an input is that input, and counts once. */
#ifndef KERNMILL_BENCH_OVERWRITE_H
#define KERNMILL_BENCH_OVERWRITE_H

#include "bench/suite.h"
#include "bench/torch_host.h"

/* Fills call->overwritten and call->resulting; the schema is read before, and `table` is the call's
 * place. Errors: KM_EFORMAT with the place. */
int km_overwrites_check(km_suite *s, const km_suite_op *op, km_suite_call *call,
                        const km_toml *table, km_err *err);

/* How many of an operator's inputs the call overwrites, and which is the i-th; with `call` NULL:
 * all of them. */
size_t km_overwritten_count(const km_suite_op *op, const km_suite_call *call);
size_t km_overwritten(const km_suite_call *call, size_t i);

/* Whether any of the operator's calls overwrites an input. */
bool km_overwrites_any(const km_suite_op *op);

/* What `count` calls are given, [count][op->input_count]: `shared`, which has the same layout, but
 * for what they overwrite, which is in `copies`, [count][overwritten]. It is `shared` itself for a
 * call that overwrites nothing, else in the arena; NULL when memory ends. */
const km_torch_tensor *km_overwrites_given(km_arena *a, const km_suite_op *op,
                                           const km_suite_call *call, const km_torch_tensor *shared,
                                           const km_torch_tensor *copies, size_t count);

/* All results of a call, borrowed: `returned` is what it gave back and `given` what it was given,
 * one tensor an input. `out` has room for KM_RETURNS_MAX; what is not there is NULL. */
void km_overwrites_results(const km_torch *t, const km_suite_call *call,
                           const km_torch_tensor *returned, const km_torch_tensor *given,
                           km_torch_tensor *out);

/* What one call that is not timed is given: `inputs`, but copies of what it overwrites. To be given
 * back. Errors: KM_ENOMEM, KM_EENV, KM_ECHILD; then nothing is left. */
int km_overwrites_copy(km_arena *a, const km_torch *t, const km_cell *cell,
                       const km_suite_call *call, const km_torch_tensor *inputs,
                       const km_torch_tensor **out, km_err *err);
void km_overwrites_release(const km_torch *t, const km_suite_call *call,
                           const km_torch_tensor *given);

/* km_call_once that leaves `inputs`, which are not widened, as they are. Errors: those of the two.
 */
int km_overwrites_call(km_arena *a, const km_torch *t, const km_cell *cell,
                       const km_suite_call *call, const km_torch_tensor *inputs, bool widened,
                       km_torch_tensor *results, km_err *err);

#endif
