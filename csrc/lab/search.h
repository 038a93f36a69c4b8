/* lab/search.h: a researcher and a worker for numbers: every combination of [search.space] is an
 * idea, and its work is to write it into a file.
 *
 * "sweep" takes them in their order, the last name first; "random" and "halving" in one that the
 * seed draws, each once. With "halving" (successive halving) all that were measured equally often
 * stop when half of them are behind: the rest are measured twice as often (lab/team.h).
 *     K. Jamieson, A. Talwalkar, Non-stochastic best arm identification and hyperparameter
 *     optimization, AISTATS 2016.
 */
#ifndef KERNMILL_LAB_SEARCH_H
#define KERNMILL_LAB_SEARCH_H

#include <jansson.h>

#include "lab/lab.h"
#include "lab/settings.h"

/* Up to `wanted` combinations that nobody has proposed yet: [{"key", "title", "author", "payload":
 * {"params": {name: value}}}]. New reference. Errors: KM_EUSAGE without [search]. */
int km_search_suggest(km_lab *lab, const km_lab_settings *s, int64_t wanted, json_t **out,
                      km_err *err);

/* Writes the values into [search] file below `tree`: behind "#define NAME" in C and CUDA, as a
 * member in JSON, behind "NAME =" elsewhere. Errors: KM_EFORMAT naming what is not there. */
int km_search_edit(const km_lab_settings *s, const char *tree, const json_t *params, km_err *err);

#endif
