/* hub/get_wheel.h: of a static index of wheels, the one for this machine, as a file.
 *
 * pip cannot choose by the GPU; here explain does (pkg/explain.h). An index is a folder, or an
 * address; asked for are its own page of the project, and those of the indexes below it that
 * `kernmill pack --index` makes: simple/, sm<this GPU>/, or cpu/ where there is no GPU. Of the
 * newest release the wheels whose name is for this processor are downloaded, each against the
 * page's SHA-256, and the first that fits, in pip's order, becomes the file.
 */
#ifndef KERNMILL_HUB_GET_WHEEL_H
#define KERNMILL_HUB_GET_WHEEL_H

#include "net/http.h"

typedef struct {
    const char *path; /* of the wheel */
    const char *name;
    const char *sha256;
    const char *page; /* that listed it */
    uint64_t size_bytes;
} km_get_wheel_result;

/* `http` is not asked for an index in a folder; no token goes to an index. `output`: the folder for
 * the wheel, made when missing; the same wheel in it is left alone. Errors: KM_ENOENT when no
 * page lists the project; KM_ENOFIT when nothing there is for this machine, with a reason;
 * KM_EFORMAT for another digest; KM_EUSAGE when another file has its name in `output`. */
int km_get_wheel(km_arena *a, km_http *http, const char *index, const char *project,
                 const char *output, km_get_wheel_result *out, km_err *err);

#endif
