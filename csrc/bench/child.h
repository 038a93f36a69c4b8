/* bench/child.h: a process of a session, one that measures or the auditor, and the lines of JSON
 * that it sends. */
#ifndef KERNMILL_BENCH_CHILD_H
#define KERNMILL_BENCH_CHILD_H

#include <stdio.h>
#include <sys/types.h>

#include "bench/session.h"

typedef struct {
    pid_t pid;   /* 0: not started */
    FILE *lines; /* from it; what it is sent goes to the same socket by its number alone */
} km_child;

/* Starts the process that measures the session, or, with s->audits, its auditor: a fork of the
 * program, or a Python process where calls of Python's are to be made. Errors: KM_EIO. */
int km_child_start(const km_session *s, km_child *out, km_err *err);

/* Whether a line, or the end, comes within so many milliseconds. */
bool km_child_wait(const km_child *c, int ms);

/* The next line; NULL at the end, and for one that is no JSON. */
json_t *km_child_read(const km_child *c, bool *at_end);

/* Lets go of it and waits for its end, which is brought about with `kill_it`; returns its status as
 * waitpid gives it, 0 for one that was not started. */
int km_child_end(km_child *c, bool kill_it);

#endif
