/* bench/guard.h: the files that a measurement rests on: the suite, the program, the engine, the
 * libraries and the Python files that are called. One that is another while they are measured makes
 * the result nobody's. */
#ifndef KERNMILL_BENCH_GUARD_H
#define KERNMILL_BENCH_GUARD_H

#include "bench/session.h"
#include "core/hash.h"

typedef struct {
    const char **paths; /* [count] */
    km_sha256 *hashes;  /* the same */
    size_t count;
} km_guard;

/* Hashes them; everything is in `a`. Errors: KM_ENOMEM, those of km_hash_file. */
int km_guard_take(km_arena *a, const km_session *s, km_guard *out, km_err *err);

/* Errors: KM_ECHILD when one has changed, with its path. */
int km_guard_check(const km_guard *g, km_err *err);

#endif
