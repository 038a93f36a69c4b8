/* pkg/build.h: a repository compiled, linked and staged. Running it again when nothing changed
 * costs a few hundredths of a second. Two builds of one folder at once take turns. */
#ifndef KERNMILL_PKG_BUILD_H
#define KERNMILL_PKG_BUILD_H

#include "pkg/plan.h"

/* Carries out a plan: generated sources, build.ninja, Ninja, compile_commands.json in build_dir,
 * and the folders of stage.h. What was linked is loaded once (pkg/probe.h), unless it is for
 * another processor; nor has such a build a compile_commands.json. Compiler messages go to stderr.
 * Errors: KM_EENV without Ninja; KM_ECHILD when a compiler fails; those of km_stage. */
int km_build(const km_plan *p, km_err *err);

#endif
