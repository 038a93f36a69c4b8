/* pkg/system.h: what a machine is, as far as it decides which build of a kernel fits: this one,
 * found out here, or one that is described.
 *
 * A description starts from this machine and changes what it names, and nothing else: `--torch 2.9`
 * leaves the CUDA that torch is built for as it is here. Three things follow from what is named,
 * since they cannot be kept:
 *
 *     another system or processor   glibc, macOS and the x86-64 level become unknown, unless named
 *     CUDA, a backend or a GPU      "no NVIDIA driver" and "no GPU" become unknown, unless named
 *     Python                        is one with the GIL, unless its version ends with 't'
 *
 * What is not known is never an obstacle: it is said instead. */
#ifndef KERNMILL_PKG_SYSTEM_H
#define KERNMILL_PKG_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/limits.h"
#include "formats/fields.h"

#define KM_DRIVER_UNKNOWN 0
#define KM_DRIVER_NONE    (-1)

/* Versions with count 0 are not known, or the thing is not there. */
typedef struct {
    char os[16];        /* "linux", "darwin", "windows" */
    char cpu[16];       /* "x86_64", "aarch64" */
    unsigned x86_level; /* of x86-64-v1 to v4; 0: not known */
    km_version glibc, macos;
    km_version python;
    bool free_threaded; /* Python without the GIL */
    km_version torch;   /* major and minor */
    bool cxx11_abi;     /* of torch, on Linux */
    char backend[16];   /* what torch computes with, as variants write it: "cpu", "cu126" */
    unsigned cuda_major, cuda_minor; /* 12 and 6 of "cu126"; 0 otherwise */
    km_version tvm_ffi;
    km_version kernels;         /* the client */
    int driver;                 /* NVIDIA's branch: 580 of 580.95; or one of the above */
    unsigned gpus[KM_GPUS_MAX]; /* compute capabilities: 90 for 9.0 */
    size_t gpu_count;
    bool gpus_known;  /* else there may be any */
    unsigned modules; /* bit i: the Python module i of km_system_modules is there */
} km_system;

/* The Python packages that a kernel's metadata may depend on, as the client knows them. */
typedef struct {
    const char *depends; /* in metadata.json */
    const char *package; /* for pip */
    const char *module;  /* NULL: no Python code to look for */
    const char *backend; /* that may depend on it: "cuda"; NULL: any */
} km_system_module;

extern const km_system_module km_system_modules[]; /* ends with depends NULL */

/* Options of a command line; NULL: as it is. */
typedef struct {
    const char *os, *cpu, *x86_level, *glibc, *macos; /* "linux", "aarch64", "v3", "2.17", "26.0" */
    const char *python;                               /* "3.9", "3.13t" */
    const char *torch, *cxx_abi;                      /* "2.9", "none"; "cxx98" */
    const char *cuda, *backend;                       /* "12.4", "none"; "cpu", "rocm71" */
    const char *driver, *arch;                        /* "525.60", "none"; "sm_75,9.0", "none" */
    const char *tvm_ffi, *kernels;                    /* "0.1", "none"; "0.17.2" */
} km_system_options;

/* This machine. Python is the one that km_home_find names; without one, what it knows is not known.
 * Errors: KM_EENV, also when Python fails. */
int km_system_find(km_system *out, km_err *err);

/* Changes what is described. Errors: KM_EUSAGE with the option. */
int km_system_describe(km_system *s, const km_system_options *o, km_err *err);

/* "cu126" as the backend. False when the grammar of variants does not have it. */
bool km_system_set_backend(km_system *s, const char *text);

/* The driver branch that a cuDriverGetVersion of 12040 came with: 550. A lower bound for versions
 * that are newer than this program; 0 below CUDA 12. */
int km_driver_of_cuda(int version);

/* The oldest branch on which torch for this CUDA runs (NVIDIA's rule of minor versions): 525 for
 * 12, 580 for 13; 0: not known. */
int km_driver_for_cuda(unsigned cuda_major);

/* "cuda" of "cu126", "rocm" of "rocm71", "cpu" of "cpu", "npu" of "cann80": the name of the noarch
 * variants. */
const char *km_system_family(const char *backend, char out[16]);

/* One line: "linux x86_64, glibc 2.36, Python 3.11, torch 2.13 for cpu, no NVIDIA driver". */
char *km_system_text(km_arena *a, const km_system *s);

/* "3.11"; "none" when not known. */
char *km_version_text(km_arena *a, const km_version *v);

#endif
