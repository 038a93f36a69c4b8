/* cli/system_options.h: the options of commands that judge for a machine: this one, or another that
 * is described. */
#ifndef KERNMILL_CLI_SYSTEM_OPTIONS_H
#define KERNMILL_CLI_SYSTEM_OPTIONS_H

#include "cli/command.h"
#include "pkg/system.h"

#define KM_SYSTEM_OPTION(type, name, value, field, help)                                           \
    KM_OPT_TEXT(name, 0, value, type, system.field, help)

/* For a struct with a member `km_system_options system`. */
#define KM_SYSTEM_OPTION_ROWS(type)                                                                \
    KM_SYSTEM_OPTION(type, "torch", "X.Y", torch, "torch's version, or none"),                     \
        KM_SYSTEM_OPTION(type, "cuda", "X.Y", cuda, "the CUDA that torch is built for, or none"),  \
        KM_SYSTEM_OPTION(type, "backend", "NAME", backend,                                         \
                         "what torch is built for: cpu, cu126, rocm71"),                           \
        KM_SYSTEM_OPTION(type, "driver", "BRANCH", driver, "NVIDIA's driver: 525, or none"),       \
        KM_SYSTEM_OPTION(type, "arch", "LIST", arch,                                               \
                         "the GPUs: sm_75 or 7.5, with commas, or none"),                          \
        KM_SYSTEM_OPTION(type, "glibc", "X.Y", glibc, "the C library's version"),                  \
        KM_SYSTEM_OPTION(type, "python", "X.Y", python, "Python's version; 3.14t has no GIL"),     \
        KM_SYSTEM_OPTION(type, "os", "NAME", os, "linux, darwin or windows"),                      \
        KM_SYSTEM_OPTION(type, "cpu", "NAME", cpu, "x86_64 or aarch64"),                           \
        KM_SYSTEM_OPTION(type, "x86-level", "LEVEL", x86_level, "v1 to v4, of x86-64"),            \
        KM_SYSTEM_OPTION(type, "macos", "X.Y", macos, "the version of macOS"),                     \
        KM_SYSTEM_OPTION(type, "cxx-abi", "ABI", cxx_abi, "cxx11 or cxx98, torch's"),              \
        KM_SYSTEM_OPTION(type, "tvm-ffi", "X.Y", tvm_ffi, "tvm-ffi's version, or none"),           \
        KM_SYSTEM_OPTION(type, "kernels", "X.Y.Z", kernels, "the client's version")

/* This machine, changed by what is described. Errors: those of pkg/system.h. */
int km_cli_system(const km_system_options *o, km_system *out, km_err *err);

/* For --json. New reference. */
json_t *km_cli_system_json(km_arena *a, const km_system *s);

#endif
