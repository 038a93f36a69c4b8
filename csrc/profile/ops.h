/* profile/ops.h: the operators that did a script's work, out of everything that was called.
 *
 * An operator here is the outermost call whose work is known (profile/class.h) with everything
 * below it: aten::mean is one operator, though on a CPU it calls aten::sum and aten::div_. What
 * only calls others stands aside, with its own time.
 *
 * The first call of something also loads, plans and compiles. So where an operator was called more
 * than twice by one module with the same tensors, each of the calls counts with their median. */
#ifndef KERNMILL_PROFILE_OPS_H
#define KERNMILL_PROFILE_OPS_H

#include "profile/class.h"
#include "profile/trace.h"

#define KM_NONE SIZE_MAX

typedef struct {
    size_t event;  /* of the trace */
    size_t end;    /* one past the last event below it */
    size_t module; /* the name of the innermost module's range; KM_NONE outside modules; of a
                      gradient, the range of what it is the gradient of */
    size_t call;   /* the event of that range, or KM_NONE */
    km_op_class kind;
    bool backward;
    double own_ns;  /* what this call took: of its kernels, or of the CPU */
    double time_ns; /* what it counts with */
} km_profile_op;

typedef struct {
    km_profile_op *ops; /* as the trace has them: by thread, then by start */
    size_t count;
    bool marked;    /* the script said what counts */
    double wall_ns; /* of what counts, from its start to its end */
} km_profile_ops;

/* Both live in the arena. Errors: KM_ENOMEM. */
int km_profile_ops_find(km_arena *a, const km_profile_trace *t, km_profile_ops *out, km_err *err);

/* The class ("Qwen3RMSNorm") and the path of an operator's module; "" outside modules. The class is
 * copied into the arena; NULL when out of memory. */
const char *km_profile_module_class(km_arena *a, const km_profile_trace *t,
                                    const km_profile_op *op);
const char *km_profile_module_path(const km_profile_trace *t, const km_profile_op *op);

/* What a table calls it. */
const char *km_profile_op_name(const km_profile_trace *t, const km_profile_op *op);

#endif
