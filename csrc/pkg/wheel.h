/* pkg/wheel.h: a staged package as a wheel: members stored in sorted order, no times, dist-info
 * last, so that the same build gives the same bytes. The licence files that lie beside build.toml,
 * or else in the nearest folder above it in its git checkout, go into dist-info. */
#ifndef KERNMILL_PKG_WHEEL_H
#define KERNMILL_PKG_WHEEL_H

#include "core/str.h"
#include "pkg/plan.h"

/* What makes a wheel slim, and is its local version: "cpu" for a CUDA kernel built without CUDA,
 * "sm80.sm90" for the architectures that the build was asked for; "" for the fat one. NULL when
 * memory ends. In the arena. */
const char *km_wheel_local(km_arena *a, const km_plan *p);

/* "kernmill_rmsnorm-1.0.0-py3-none-manylinux_2_28_x86_64.whl", or "...-1.0.0+sm90-..." */
int km_wheel_name(km_arena *a, const km_plan *p, const char **out, km_err *err);

/* Writes the wheel into `dir` and gives its path. With `editable`, the wheel holds a .pth file that
 * names the folder of the staged package's sources instead (pip install -e). Errors: KM_EFORMAT
 * when card.toml has no [wheel]; KM_EIO. */
int km_wheel_write(km_arena *a, const km_plan *p, const char *dir, bool editable, const char **path,
                   km_err *err);

#endif
