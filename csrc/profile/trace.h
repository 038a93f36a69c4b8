/* profile/trace.h: what the process that ran a script saw (csrc/python/profile_host.py), as
 * it wrote it down:
 *
 *     { "torch": "2.13.0", "device": "cpu" or "cuda", "device_name": "...", "threads": 8,
 *       "copy": { "bytes": ..., "copies": ..., "gbps": ... },
 *       "names": ["aten::mul", ...],
 *       "tensors": [["float32", 4, "cpu", [sizes], [strides]], ...],
 *       "signatures": [[tensor, ...], ...],
 *       "storages": how many numbers there are for them,
 *       "unattributed_ns": time of the device that no operator asked for,
 *       "events": [[depth, name, thread, start_ns, duration_ns, device_ns, kernels, signature,
 *                   [storage of each tensor, -1: not known],
 *                   [storage, bytes, ...: what it allocated, or freed below 0],
 *                   the event whose gradient it computes, or -1], ...] }
 *
 * Names, tensors and signatures are numbers of the tables above. Events stand thread by thread in
 * the order of their starts, each followed by what it called, one deeper; an event's device time is
 * that of the kernels it launched itself. Some names have a meaning of their own: those below.
 *
 * Instead of all that, a script that did not end well leaves { "failed": "ValueError: ..." } or
 * { "exit": 3 }, a Python without torch { "missing": "..." }, and a script with more events than it
 * was told to write { "too_many": 400000 }. */
#ifndef KERNMILL_PROFILE_TRACE_H
#define KERNMILL_PROFILE_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"

#define KM_PROFILE_MODULE   "kernmill::module " /* then class, space, path: a module's forward */
#define KM_PROFILE_MARK     "kernmill"          /* opened by the script: only this counts */
#define KM_PROFILE_BACKWARD "autograd::engine::evaluate_function"

typedef struct {
    const char *dtype; /* "bfloat16" */
    const char *device;
    const int64_t *sizes;
    size_t dims;
    int64_t bytes; /* that reading all of it fetches: a dimension of stride 0 counts once */
} km_profile_tensor;

typedef struct {
    const size_t *tensors; /* of the trace */
    size_t count;
} km_profile_signature;

typedef struct {
    size_t depth, name, thread, signature, kernels;
    int64_t start_ns, duration_ns, device_ns;
    const int64_t *storages;    /* one a tensor of the signature; -1: not known */
    const int64_t *allocations; /* pairs: storage, bytes */
    size_t allocation_count;    /* of pairs */
    int64_t forward;            /* an event, or -1 */
} km_profile_event;

typedef struct {
    const char **names;
    km_profile_tensor *tensors;
    km_profile_signature *signatures;
    km_profile_event *events;
    size_t name_count, tensor_count, signature_count, event_count, storage_count;
    int64_t unattributed_ns;
    bool on_device; /* times are those of kernels, else of the CPU */
    const char *torch, *device_name;
    int64_t threads, copy_bytes;
    double copy_gbps;
} km_profile_trace;

/* Reads a document; texts are borrowed from it, the rest is the arena's. Nothing in it is trusted.
 * Errors: KM_EFORMAT naming what is wrong, KM_ELIMIT beyond KM_PROFILE_EVENTS_MAX, KM_ENOMEM. */
int km_profile_trace_read(km_arena *a, const json_t *document, km_profile_trace *out, km_err *err);

#endif
