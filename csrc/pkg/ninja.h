/* pkg/ninja.h: the build graph of a plan, written for Ninja as work_dir/build.ninja; it is left
 * alone when it would not change. Ninja runs in the repository's folder. */
#ifndef KERNMILL_PKG_NINJA_H
#define KERNMILL_PKG_NINJA_H

#include "pkg/plan.h"

int km_ninja_write(const km_plan *p, km_err *err);

#endif
