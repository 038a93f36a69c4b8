/* bench/audit.h: a cell's results judged by a process that no candidate was ever loaded into.
 *
 * Once a cell is measured, the parent draws one more seed. The measuring process fills one set of
 * inputs from it, makes the timed calls on it, and leaves their results in memory that it shares
 * with the auditor (bench/auditor.h): a process that has torch and the reference alone, fills the
 * same inputs from the same seed, and compares in float64. So a candidate that changes the
 * reference where it runs (an operator replaced in torch's dispatcher, a function in Python) agrees
 * with itself, and with nobody else. */
#ifndef KERNMILL_BENCH_AUDIT_H
#define KERNMILL_BENCH_AUDIT_H

#include <jansson.h>

#include "bench/torch_host.h"

/* Results beyond this many bytes of a cell are not handed over, and its record says so. */
#define KM_AUDIT_BYTES_MAX ((uint64_t)4 << 30)

/* One cell's results on their way to the auditor. */
typedef struct {
    int channel;    /* to the parent (bench/channel.h) */
    int results;    /* the shared memory's file; -1: nobody audits */
    uint64_t bytes; /* of it in use */
    json_t *calls;  /* { name: [{ "dtype", "offset", "bytes" }] }; owned */
} km_audit;

/* Asks the parent for the seed of the inputs. False when nobody audits, or asking fails (*err is
 * set then). */
bool km_audit_begin(km_audit *audit, uint64_t *seed, km_err *err);

/* Hands over the results of one call, those before the first NULL, once they are complete. Those
 * that are not dense are left out: no comparison takes them. Errors: KM_EIO, KM_ECHILD. */
int km_audit_put(km_audit *audit, const km_torch *t, const char *call,
                 const km_torch_tensor *results, km_err *err);

/* Maps `bytes` of the shared memory from `offset` on; NULL when that fails. To be unmapped with
 * km_audit_unmap. */
void *km_audit_map(int results, uint64_t offset, uint64_t bytes);
void km_audit_unmap(void *at, uint64_t bytes);

#endif
