/* What the parts of `explain` share. */
#ifndef KERNMILL_PKG_EXPLAIN_INTERNAL_H
#define KERNMILL_PKG_EXPLAIN_INTERNAL_H

#include "pkg/explain.h"
#include "pkg/facts.h"
#include "pkg/variant.h"

/* A candidate being judged. What fails is remembered in rc and *err. */
struct judge {
    km_arena *a;
    const km_system *s;
    km_candidate *c;
    bool choosing;    /* reasons are those of the client or of pip */
    const char *root; /* what the user named */
    int rc;
    km_err *err;
};

/* What a fix costs: the trouble for whoever has to type it. */
enum {
    KM_COST_PIP = 1,
    KM_COST_ARGUMENT = 2,
    KM_COST_TORCH = 8,
    KM_COST_COMPUTE = 16,
    KM_COST_BUILD = 32,
    KM_COST_PYTHON = 48,
    KM_COST_DRIVER = 64,
    KM_COST_UNWANTED = 160 /* possible, and not what somebody on this machine is after */
};

void km_judge_say(struct judge *j, km_reason_side side, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A command that takes an obstacle away; each is listed once. */
void km_judge_fix(struct judge *j, unsigned cost, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void km_judge_impossible(struct judge *j);

/* By its name, as kernels/variants.py has it; sets accepted and key. */
void km_judge_variant(struct judge *j, const km_variant *v);

/* By its files. `cuda_major` is of the CUDA that it is to run by, 0 when it is not for NVIDIA GPUs.
 */
void km_judge_metadata(struct judge *j, const km_metadata_facts *m, const km_variant *v);
void km_judge_libraries(struct judge *j, const km_libraries *l, unsigned cuda_major);

/* Whether the driver, where it is known, is of this branch or newer. */
void km_judge_driver(struct judge *j, int branch, const char *what);

/* A wheel: by its name, by METADATA, and by its libraries. */
int km_judge_wheel(struct judge *j, const char *path);

/* What is built on this system runs on its glibc; but the program needs 2.34 itself. `source` is
 * the repository to build. */
void km_judge_rebuild(struct judge *j, const char *source);

/* A text as one word of a shell. */
char *km_explain_quote(km_arena *a, const char *text);

/* Why `first` was preferred to `second`, both accepted; NULL: there is no second. */
const char *km_explain_preference(km_arena *a, const char *kind, const km_candidate *first,
                                  const km_candidate *second);

/* Sets choice->fix_of and ->fixes. */
int km_explain_fix(km_arena *a, const km_system *s, km_choice *choice, bool hub, km_err *err);

#endif
