/* cli/lab.h: what the rows of `kernmill lab` share. Roles speak JSON: what one says comes on
 * standard input, or from --in; what it is told goes to stdout. */
#ifndef KERNMILL_CLI_LAB_H
#define KERNMILL_CLI_LAB_H

#include "cli/command.h"
#include "lab/lab.h"

typedef struct {
    km_common common;
    const char *dir; /* of the lab; NULL: the one around the working folder */
    const char *in;  /* NULL or "-": standard input */
    const char *kind, *worker, *why, *html;
    const char *executor;
    const char *researcher, *planner, *reviewer, *reporter; /* commands, as `worker` of lab run */
    long lease, token, limit, slots, interval;
    bool wait;
} km_lab_fields;

#define KM_LAB_OPT_DIR                                                                             \
    KM_OPT_TEXT("dir", 'C', "DIR", km_lab_fields, dir,                                             \
                "the lab's folder (default: around this one)")
#define KM_LAB_OPT_IN                                                                              \
    KM_OPT_TEXT("in", 'i', "FILE", km_lab_fields, in, "the JSON (default: standard input)")
#define KM_LAB_OPT_TOKEN KM_OPT_INT("token", 't', "N", km_lab_fields, token, "that the claim gave")

/* The document that a role hands in: one object. *out is the caller's. */
int km_lab_read(const km_lab_fields *f, json_t **out, km_err *err);

/* Prints what a job gave, and leaves it as the job's result where `lab run` has started us.
 * `result` is freed; NULL is out of memory. */
int km_lab_hand_over(json_t *result, km_err *err);

/* For the commands of lab.toml: sets KERNMILL_LAB, the lab's folder, and puts this program's folder
 * and that of the user's Python (pkg/home.h) before the others of PATH, so that `kernmill` and
 * `python3` are those. Errors: KM_EENV. */
int km_lab_find_programs(const km_lab *lab, km_err *err);

/* Which document it came from, for errors. */
const char *km_lab_source(const km_lab_fields *f);

/* A positive number of the command line. */
int km_lab_id(const char *text, int64_t *out, km_err *err);

#endif
