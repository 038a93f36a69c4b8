/* pkg/probe.h: loads a library that was just linked, beside the stand-ins for torch that it was
 * linked against, and reads what it registers: a schema that torch would refuse, or a missing
 * table, is known when the library is built and not when a user imports it.
 *
 * The library's constructors run in a process of their own (kernmill probe). */
#ifndef KERNMILL_PKG_PROBE_H
#define KERNMILL_PKG_PROBE_H

#include "pkg/plan.h"

/* The schemas, in the order of the table, in `a`. Errors: KM_EFORMAT with what is wrong with the
 * table, KM_ECHILD when the library does not load. */
int km_probe(km_arena *a, const km_plan *p, const char *library, const char *const **schemas,
             size_t *count, km_err *err);

/* Whether each operator of card.toml is one of `schemas`. Errors: KM_EFORMAT, at its place. */
int km_probe_card(const km_manifest *m, const char *const *schemas, size_t count, km_err *err);

/* The child's side: loads the library and prints "status <text>" when its table was refused; the
 * stand-ins print "schema <text>" for each operator. Errors: KM_EFORMAT when it does not load. */
int km_probe_load(const char *library, km_err *err);

#endif
