/* pkg/test_record.h: what is known of tests that ran on a kernel's files, and whether they ran on
 * these very files.
 *
 * A record is a JSON document, written by `kernmill test` or by kernmill.pytest_plugin alone (on a
 * machine with a GPU, say): one run, or several under "runs" or "parts". A run says
 *
 *     target           "wheel", or the Hub folder's name: the two link the same objects under
 *                      different namespaces, are different files, and count separately
 *     package_sha256   of the files of the package under test (pkg/package_digest.h)
 *     libraries        { name: SHA-256 } of the libraries that the process had loaded from there
 *     whole            whether all of the kernel's tests were to run: no -k, no --ignore, no end
 *                      before the last
 *     passed, failed, skipped, xfailed, failures, skips, worst
 *     date, cpu, gpu, driver, system, python, torch
 *
 * It speaks of a package when both digests say so: the package's, since Python is tested too, and
 * that of every library in it, since a library which no test loaded was not tested.
 *
 * `kernmill test` leaves a record for each target beside the build:
 *
 *     build/test-record.json      the last command: what it ran
 *     build/tests/<target>.json   the last run of the target that was whole, or that failed
 *
 *     km_test_runs runs = KM_TEST_RUNS_INIT;
 *     km_package_digest digest;
 *     if (km_test_runs_read(&runs, "build/tests", err) < 0 ||
 *         km_package_digest_read(&a, "dist/kernmill-rmsnorm/build/torch-...", &digest, err) < 0)
 *         goto out;
 *     if (km_test_runs_ask(&runs, &digest, NULL) != KM_TESTED_PASSED)
 *         ...
 *     out: km_test_runs_release(&runs);
 */
#ifndef KERNMILL_PKG_TEST_RECORD_H
#define KERNMILL_PKG_TEST_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "pkg/package_digest.h"

/* Texts are "" when the record does not say; all are borrowed from the documents, and are a
 * stranger's: they may hold anything. */
typedef struct {
    const char *record; /* the file it was read from */
    const char *target;
    const char *date; /* "2026-11-25T10:00:00Z" */
    const char *cpu, *gpu, *driver, *system, *python, *torch;
    const char *package_sha256;
    const json_t *libraries; /* name: SHA-256 */
    bool whole;
    int64_t passed, failed, skipped, xfailed; /* cases */
    const json_t *failures;                   /* names of cases; NULL: none */
    const json_t *skips;                      /* reason: how many; NULL: none */
    const json_t *worst;                      /* metric: the largest error; NULL: none */
    const json_t *json;                       /* all of it */
} km_test_run;

typedef struct {
    km_arena arena;
    json_t *documents; /* array; owned */
    km_test_run *items;
    size_t count;
} km_test_runs;

#define KM_TEST_RUNS_INIT { KM_ARENA_INIT, NULL, NULL, 0 }

/* Adds the runs of a file; or of every *.json in a folder that is a record. A folder that is not
 * there, or a file, is KM_ENOENT; a file that is no record is KM_EFORMAT, unless it was found in a
 * folder; KM_ELIMIT beyond KM_TEST_RUNS_MAX. */
int km_test_runs_read(km_test_runs *r, const char *path, km_err *err);

/* Adds those of build_dir/tests, which need not exist. */
int km_test_runs_read_build(km_test_runs *r, const char *build_dir, km_err *err);

typedef enum {
    KM_TESTED_NOT,    /* no run speaks of these files */
    KM_TESTED_PART,   /* only a part of the tests ran on them, and passed */
    KM_TESTED_FAILED, /* a run on them failed, and no later one passed in its place */
    KM_TESTED_PASSED  /* every test passed or was skipped, at least one passed */
} km_tested;

extern const char *const km_tested_names[]; /* "not tested", "tested in part", ... */

/* Whether the run is of exactly these files. */
bool km_test_run_is_of(const km_test_run *run, const km_package_digest *package);

/* What is known of these files. A failed run is outdone by a later whole one that passed with the
 * same processor, GPU, Python and torch, and by nothing else. `which`, when not NULL, is the newest
 * run that gives the answer, or NULL for KM_TESTED_NOT. */
km_tested km_test_runs_ask(const km_test_runs *r, const km_package_digest *package,
                           const km_test_run **which);

void km_test_runs_release(km_test_runs *r);

#endif
