/* pkg/stage.h: a built library becomes a Python package, in two layouts:
 *
 *     build/<variant>/            a Hub folder: Python files, _ops.py, the library, metadata.json
 *     build/wheel/<import name>/  what the wheel carries: the same without metadata.json; of a
 * build for another processor, build/wheel-<host>/
 *
 * _ops.py is generated: it loads the library, reads its status, and names the op namespace. */
#ifndef KERNMILL_PKG_STAGE_H
#define KERNMILL_PKG_STAGE_H

#include "pkg/plan.h"

/* Folders of earlier builds with other variants are removed, but for those of the processor that
 * the plan is made `beside`. Errors: KM_EFORMAT when the repository has no torch-ext/<import
 * name>/__init__.py; KM_EIO. */
int km_stage(const km_plan *p, km_err *err);

/* Puts _ops.py and the library into torch-ext/<import name>/ itself, for `pip install -e`: Python
 * files are then used where they are edited, and every build calls this again. */
int km_stage_editable(const km_plan *p, km_err *err);

/* Whether that was done before. */
bool km_stage_is_editable(const km_plan *p);

/* build/wheel, and build/<variant>, in the arena. */
char *km_stage_wheel_dir(km_arena *a, const km_plan *p);
char *km_stage_hub_dir(km_arena *a, const km_plan *p, const char *variant);

#endif
