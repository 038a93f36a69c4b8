/* profile/fit.h: what a chain computes, as far as its operators say, and which of kernmill's
 * kernels does the same. A table of patterns; a kernel is named only where its dtypes and its form
 * are the chain's. */
#ifndef KERNMILL_PROFILE_FIT_H
#define KERNMILL_PROFILE_FIT_H

#include "profile/chain.h"

typedef struct {
    const char *pattern;  /* "rms norm"; "" when no row of the table fits */
    const char *kernel;   /* the distribution, "kernmill-rmsnorm"; NULL: none of ours */
    const char *family;   /* what kernmill.transformers.use calls it, "rms_norm" */
    const char *function; /* what to call; NULL without a kernel */
    const char *why;   /* without a kernel where there is one for the pattern: what is in the way */
    size_t covered;    /* operators of the chain that the kernel replaces */
    double covered_ns; /* their time */
    double in_module_ns; /* of it, in modules of the kind that kernmill.transformers.use looks at */
} km_fit;

/* Texts are constants or the arena's. A chain may hold several norms: `function` is then
 * the one with a residual, if that fits any. */
km_fit km_fit_find(km_arena *a, const km_profile_trace *t, const km_profile_ops *ops,
                   const km_chain *c);

/* The tensor that stands for a chain: the largest that its first operator is given; NULL: none. */
const km_profile_tensor *km_chain_tensor(const km_profile_trace *t, const km_profile_ops *ops,
                                         const km_chain *c);

#endif
