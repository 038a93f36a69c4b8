/* bench/session.h: a suite measured in a process of its own.
 *
 * The child opens torch, loads the libraries and measures; the parent reads a line of JSON for each
 * cell, draws the seeds (bench/channel.h), watches the files (bench/guard.h), holds the deadline,
 * and writes the record. A candidate that crashes, or ends what the process can do on the GPU, has
 * failed in its cell, which another process measures again without it, and then the cells that are
 * left; one that hangs ends the session by an error that names cell and call. */
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
    bool audits;         /* a child's own: it is the auditor (bench/auditor.h) */
    int results;         /* and the memory that results are handed over in (bench/audit.h), */
    int watch;           /* and that in which the call under way is named (bench/watch.h); */
    size_t first;        /* cells of those that the filter leaves which were measured before; */
    const json_t *ended; /* and the calls that ended the process in the next one, as
                            km_bench_options has them; NULL: none */
    /* Called in the parent for each cell's document, which it borrows; an error ends the session.
     */
    int (*on_cell)(void *context, const json_t *cell, km_err *err);
    void *context;
} km_session;

/* How many cells the filter leaves. */
size_t km_session_count(const km_session *s);

/* Whether the filter takes the cell. */
bool km_session_wants(const km_session *s, km_arena *a, const km_cell *cell);

/* The cell of that number among those that the filter leaves. */
bool km_session_cell(const km_session *s, km_arena *a, size_t number, km_cell *out);

/* Measures them all. Errors: KM_ECHILD when the child ends early and it is not known by which call,
 * or by the reference, with the cell, or when a line or a file is not what it should be; KM_ETIME,
 * with the call; those of km_torch_open, km_torch_load and km_cell_measure; those of on_cell. */
int km_session_run(const km_session *s, km_err *err);

#endif
