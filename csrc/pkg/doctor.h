/* pkg/doctor.h: what this machine has of all that kernmill uses, what is missing, and the line to
 * type. */
#ifndef KERNMILL_PKG_DOCTOR_H
#define KERNMILL_PKG_DOCTOR_H

#include "core/arena.h"
#include "core/err.h"

typedef enum {
    KM_NEED_BUILD, /* to build CPU kernels */
    KM_NEED_CUDA,  /* to build CUDA kernels */
    KM_NEED_TEST,  /* to run a kernel's tests */
    KM_NEED_MODEL, /* to put kernels into Transformers models */
    KM_NEED_HUB,   /* to get kernels from the Hub, and publish there */
    KM_NEED_GPU    /* to run CUDA kernels */
} km_need;

typedef struct {
    const char *what; /* "C compiler" */
    km_need need;
    const char *found; /* "gcc 12.2.0, /usr/bin/gcc"; NULL: missing */
    const char *line;  /* what to type when missing */
} km_symptom;

typedef struct {
    km_symptom *items; /* in the arena */
    size_t count;
} km_diagnosis;

extern const char *const km_need_names[]; /* "build", "cuda", "test", "model", "hub", "gpu" */

int km_diagnose(km_arena *a, km_diagnosis *out, km_err *err);

#endif
