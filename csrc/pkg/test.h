/* pkg/test.h: a kernel's own tests, run by pytest on the files that were built: the wheel's package
 * and each Hub folder. A record of what was run is written as JSON.
 *
 * The tests see the kernel as the fixture `kernel` of kernmill.pytest_plugin, which loads the files
 * named in the environment and collects outcomes and measured errors. */
#ifndef KERNMILL_PKG_TEST_H
#define KERNMILL_PKG_TEST_H

#include <jansson.h>

#include "core/term.h"
#include "pkg/plan.h"

typedef struct {
    bool wheel_only;         /* leave the Hub folders out */
    const char *expression;  /* pytest's -k, or NULL */
    const char *const *more; /* further arguments for pytest, ends with NULL; or NULL */
} km_test_options;

/* Runs the tests, and writes build_dir/test-record.json and build_dir/tests (pkg/test_record.h).
 * *record is a new reference: { schema, environment, kernel, version, runs: [...] }; `*failed`
 * counts failures over all runs. Errors: KM_EENV without Python, pytest or torch; KM_EFORMAT
 * without a tests folder; KM_ECHILD when the tests ran on other files than those of this build. */
int km_test(const km_plan *p, const km_test_options *o, km_term *term, json_t **record,
            int64_t *failed, km_err *err);

#endif
