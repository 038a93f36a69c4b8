/* pkg/generate.h: the small sources that a build needs besides the kernel's own, written into
 * work_dir/gen: a file that defines the op namespace for each product, one that embeds the images
 * of each device file, and the stub libraries that are linked instead of the real ones, so that
 * linking needs no torch and a symbol that is too new does not link. Files that would not change
 * are left alone. */
#ifndef KERNMILL_PKG_GENERATE_H
#define KERNMILL_PKG_GENERATE_H

#include "pkg/plan.h"

int km_generate_sources(const km_plan *p, km_err *err);

#endif
