/* core/proc.h: other programs, started by argument vector, never through a shell.
 *
 * A child whose output is captured runs in a process group of its own: when it exceeds its time or
 * its output limit, the whole group is killed, grandchildren included, but not who has left the
 * group: a child that is to be `alone` has a keeper for that (core/keep.h). A child that shares our
 * terminal stays in our group, so that Ctrl-C reaches it. When kernmill itself is to end, a child
 * of either kind is told so first, because Ninja has its compilers in groups that only it knows.
 */
#ifndef KERNMILL_CORE_PROC_H
#define KERNMILL_CORE_PROC_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/str.h"

typedef struct {
    const char *const *argv; /* ends with NULL; argv[0] is looked up in PATH without a '/' */
    const char *const *env;  /* "NAME=value" to add or replace, ends with NULL; may be NULL */
    const char *cwd;         /* NULL: ours */
    bool alone;              /* what it left running is killed at its end; its output is captured */
    bool share_output;       /* both its streams go to our stderr instead of being captured */
    int timeout_ms;          /* 0: wait for ever */
    size_t output_bytes_max; /* a stream; 0 means KM_PROC_OUTPUT_BYTES_MAX */
} km_proc;

typedef struct {
    int exit_code; /* 0..255, or 128 + signal as a shell would say */
    km_str out;    /* captured; owned */
    km_str err;
} km_proc_result;

#define KM_PROC_RESULT_INIT { 0, KM_STR_INIT, KM_STR_INIT }

/* Runs a child and waits for it. A child that ran and failed is a success here: look at exit_code.
 * Errors: KM_EENV when the program is not found, KM_ETIME, KM_ELIMIT, KM_EIO; *result holds what
 * was captured until then. */
int km_proc_run(const km_proc *p, km_proc_result *result, km_err *err);

/* As km_proc_run, and a non-zero exit is KM_ECHILD with the end of the child's stderr (or stdout,
 * when stderr is empty) as the message. */
int km_proc_check(const km_proc *p, km_proc_result *result, km_err *err);

void km_proc_result_release(km_proc_result *result);

/* Ends the running child, if there is one, and its group: by SIGTERM, and after a second by
 * SIGKILL. For a signal handler that exits then: the child's end is taken from whoever waits for
 * it. */
void km_proc_interrupt(void);

#endif
