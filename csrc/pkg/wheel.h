/* pkg/wheel.h: a staged package as a wheel: members stored in sorted order, no times, dist-info
 * last, so that the same build gives the same bytes. */
#ifndef KERNMILL_PKG_WHEEL_H
#define KERNMILL_PKG_WHEEL_H

#include "core/str.h"
#include "pkg/plan.h"

/* "kernmill_rmsnorm-1.0.0-py3-none-manylinux_2_28_x86_64.whl"; a CPU-only build of a CUDA kernel
 * has the local version "+cpu". */
int km_wheel_name(km_arena *a, const km_plan *p, const char **out, km_err *err);

/* Writes the wheel into `dir` and gives its path. With `editable`, the wheel holds a .pth file that
 * names the folder of the staged package's sources instead (pip install -e). Errors: KM_EFORMAT
 * when card.toml has no [wheel]; KM_EIO. */
int km_wheel_write(km_arena *a, const km_plan *p, const char *dir, bool editable, const char **path,
                   km_err *err);

#endif
