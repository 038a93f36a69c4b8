/* hub/get_folder.h: of a kernel's Hub folder on this disk, the variant for this machine. */
#ifndef KERNMILL_HUB_GET_FOLDER_H
#define KERNMILL_HUB_GET_FOLDER_H

#include "hub/get.h"

/* `request` without revision and lock; `repo` is not read. out->path is the variant where it lies,
 * or its copy at `output`; `revision` and `commit` are "". Every digest of metadata.json is checked
 * before.
 * Errors: KM_ENOENT when there is no such variant, KM_ENOFIT when none is for this machine;
 * KM_EFORMAT for a file that is not what metadata.json says. */
int km_get_folder(km_arena *a, const char *folder, const km_get_request *request,
                  km_get_result *out, km_err *err);

#endif
