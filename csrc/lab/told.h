/* lab/told.h: what a role is told beside its job: the idea, and what the lab knows. Who may not run
 * a program reads files. */
#ifndef KERNMILL_LAB_TOLD_H
#define KERNMILL_LAB_TOLD_H

#include <jansson.h>

#include "lab/lab.h"

/* Adds "idea" to a job's document: {"id", "key", "title", "text", "payload", "author", "source",
 * "parent", "commit"}. 0 is no idea: nothing is added. */
int km_told_idea(km_lab *lab, int64_t hypothesis, json_t *job, km_err *err);

/* Writes {"overview", "hypotheses"}: what km_overview says, and each idea with its state, reviews
 * and decisions, without the results of single runs. */
int km_told_report(km_lab *lab, const char *path, km_err *err);

#endif
