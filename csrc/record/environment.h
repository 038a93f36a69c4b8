/* record/environment.h: the machine and the moment a record speaks of. A figure without them is
 * worth nothing, so every record starts with this object:
 *
 *     { "date": "2026-11-25T10:00:00Z", "kernmill": "0.1.0", "system": "Linux 6.1 x86_64",
 *       "cpu": "...", "cores": 2, "commit": "<hex>" or null }
 */
#ifndef KERNMILL_RECORD_ENVIRONMENT_H
#define KERNMILL_RECORD_ENVIRONMENT_H

#include <jansson.h>

/* The git commit of the folder, with "+" after it when tracked files differ; NULL or no repository:
 * null. New reference. */
json_t *km_environment_commit(const char *dir);

/* `dir` is the folder whose git commit is named, with "+" after it when tracked files differ; NULL
 * or no repository: null. New reference, or NULL when out of memory. */
json_t *km_environment(const char *version, const char *dir);

#endif
