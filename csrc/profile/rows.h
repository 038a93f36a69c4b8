/* profile/rows.h: alike chains as rows of a document. Internal to the profile. */
#ifndef KERNMILL_PROFILE_ROWS_H
#define KERNMILL_PROFILE_ROWS_H

#include "profile/fit.h"

#define KM_PROFILE_KERNELS_MAX 16

/* What a kernel of ours could do over all chains that it fits. */
typedef struct {
    const char *name, *family;
    size_t count;
    double time_ns, win_ns, in_module_ns, backward_ns, backward_win_ns;
} km_kernel_sum;

/* Everything a document is made from. */
typedef struct {
    km_arena a;
    km_profile_trace t;
    km_profile_ops ops;
    km_chains chains;
    double gbps; /* of a copy */
    bool measured;
    double total_ns;
    km_kernel_sum kernels[KM_PROFILE_KERNELS_MAX];
    size_t kernel_count;
    km_kernel_sum **fitted; /* of each name of a module's range: the kernel that fits all its chains
                               of the forward pass, &mixed where it fits some, or NULL */
    km_kernel_sum mixed;
} km_profile;

static inline double km_profile_share(const km_profile *p, double ns)
{
    return p->total_ns > 0 ? ns / p->total_ns : 0;
}

/* The time of a chain at the speed of a copy (bytes over GB/s are nanoseconds), and what lies above
 * it. */
double km_chain_floor_ns(const km_profile *p, const km_chain *c);
double km_chain_win_ns(const km_profile *p, const km_chain *c);

/* Appends the rows of "chains" to `list`, and fills p->kernels. Errors: KM_ENOMEM; KM_EFORMAT for
 * names that JSON cannot hold. */
int km_profile_chain_rows(km_profile *p, json_t *list, km_err *err);

#endif
