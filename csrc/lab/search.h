/* lab/search.h: a researcher and a worker for numbers: every combination of [search.space] is an
 * idea, and its work is to write it into a file.
 *
 * "sweep" takes them in their order, the last name first; "random" and "halving" in one that the
 * seed draws, each once; with "halving" the worse half stops after each round (lab/halving.h).
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

/* Whether lab/halving.h says who is measured again. */
bool km_search_halves(const km_lab_settings *s);

/* Whether [search] file, below `tree`, has all that [search.space] names. Errors: those of
 * km_search_edit and km_file_copy. */
int km_search_check(km_lab *lab, const km_lab_settings *s, const char *tree, km_err *err);

/* Writes the values into [search] file below `tree`: behind "#define NAME" in C and CUDA, as a
 * member in JSON, behind "NAME =" elsewhere. Errors: KM_EFORMAT naming what is not there. */
int km_search_edit(const km_lab_settings *s, const char *tree, const json_t *params, km_err *err);

#endif
