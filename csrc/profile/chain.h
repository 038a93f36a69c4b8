/* profile/chain.h: memory-bound operators that one kernel could do together.
 *
 * Two operators are of one chain when one reads what the other wrote and nothing stands between
 * them, on their thread, that computes or is not known; views do not count. An elementwise result
 * that is read only once, by an elementwise operator, also joins over what stands between: it could
 * as well be made there (the activation before a product with another projection). Where the
 * profiler did not say which memory is whose, all between two that compute is one chain.
 *
 * The bytes of a chain are the least that any kernel for it moves: what it reads from outside once,
 * and what others read of its results, written once. Of a backward pass, and where memory is not
 * known by name, the largest tensor read and the largest written must do, which is less. */
#ifndef KERNMILL_PROFILE_CHAIN_H
#define KERNMILL_PROFILE_CHAIN_H

#include "profile/ops.h"

typedef struct {
    const size_t *ops; /* in order */
    size_t count;
    size_t label; /* the one whose module names the chain: its first reduction, else its last */
    bool exact;   /* bytes: by storages, else by the largest tensors */
    int64_t bytes;
    double time_ns;
} km_chain;

typedef struct {
    km_chain *chains; /* by their first operators */
    size_t count;
} km_chains;

/* Those that took any time. All live in the arena. Errors: KM_ENOMEM. */
int km_chains_find(km_arena *a, const km_profile_trace *t, const km_profile_ops *ops,
                   km_chains *out, km_err *err);

#endif
