/* bench/session.h: a suite measured in a process of its own.
 *
 * The child opens torch, loads the libraries and measures; the parent reads a line of JSON for each
 * cell, draws the seeds (bench/channel.h), watches the files (bench/guard.h), holds the deadline,
 * and writes the record: a candidate that crashes or hangs costs its cell's line and an error that
 * names the cell, not the others' results. */
#ifndef KERNMILL_BENCH_SESSION_H
#define KERNMILL_BENCH_SESSION_H

#include <jansson.h>

#include "bench/cell.h"

typedef struct {
    const km_suite *suite;
    const char *incumbent, *candidate; /* the suite was narrowed to these; NULL: it was not */
    const char *filter;       /* cells whose "op axis=size ... dtype" holds this text; NULL: all */
    const char *torch_folder; /* of the Python package */
    const char *device;       /* "cpu", "cuda"; NULL: a GPU where torch and the machine have one */
    const char *const *libraries;           /* files to load, ends with NULL */
    const char *const *reference_libraries; /* those that references are in, for the auditor */
    const char *python, *host, *engine; /* for calls of Python: the interpreter, bench_host.py and
                                           libkernmill_bench.so */
    double timeout_s;                   /* of one cell; 0: ten times its budget, and two minutes */
    double start_us;                    /* when the program was started, by km_now_us */
    km_bench_options options;
    bool audits; /* a child's own: it is the auditor (bench/auditor.h) */
    int results; /* and the memory that results are handed over in (bench/audit.h) */
    /* Called in the parent for each cell's document, which it borrows; an error ends the session.
     */
    int (*on_cell)(void *context, const json_t *cell, km_err *err);
    void *context;
} km_session;

/* How many cells the filter leaves. */
size_t km_session_count(const km_session *s);

/* Whether the filter takes the cell. */
bool km_session_wants(const km_session *s, km_arena *a, const km_cell *cell);

/* Measures them all. Errors: KM_ECHILD when the child ends early, with the cell, or when a line or
 * a file is not what it should be; KM_ETIME, with the call; those of km_torch_open, km_torch_load
 * and km_cell_measure; those of on_cell. */
int km_session_run(const km_session *s, km_err *err);

#endif
