/* skill/installed.h: a skill's folder where an agent looks for it, and what its user did to it.
 *
 * .kernmill-skill.json pins it:
 *
 *     { "schema": 1, "name": "cuda-kernels", "version": "0.1.0",
 *       "files": { "SKILL.md": "<sha256>", ... } }
 *
 * A file that has another hash was edited, one that is not there was removed, and one that is there
 * and not listed is the user's own. The file comes from anywhere (a project that was cloned): its
 * paths are compared with those found on the disk, and never opened.
 */
#ifndef KERNMILL_SKILL_INSTALLED_H
#define KERNMILL_SKILL_INSTALLED_H

#include <stdbool.h>

#include "skill/catalog.h"
#include "skill/place.h"

#define KM_SKILL_SCHEMA 1

typedef struct {
    bool there;          /* something is, maybe not ours */
    bool pinned;         /* with a manifest */
    const char *version; /* of the kernmill that wrote it, or NULL */
    km_skill_files pins; /* by the manifest */
    km_skill_files files;
} km_installed;

/* Reads the folder `dir`; that it is not there is no error. Errors: KM_EFORMAT for a manifest that
 * is none, and for what km_skill_files_read refuses; KM_EIO. */
int km_installed_read(km_arena *a, const char *dir, km_installed *out, km_err *err);

/* As km_installed_read, for a folder whose manifest does not count. */
int km_installed_read_unpinned(km_arena *a, const char *dir, km_installed *out, km_err *err);

typedef enum { KM_EDITED, KM_REMOVED, KM_OWN } km_edit_kind;

extern const char *const km_edit_names[]; /* "edited", "removed", "not kernmill's" */

typedef struct {
    km_edit_kind kind;
    const char *path; /* safe to print */
} km_edit;

typedef struct {
    km_edit *edits; /* in the arena */
    size_t count;
} km_edits;

/* What would be lost if the files `next` took the place of what is there: the user's edits and
 * removals, and own files where `next` has others. A file that is already as in `next` is none. */
int km_installed_edits(km_arena *a, const km_installed *i, const km_skill_files *next,
                       km_edits *out, km_err *err);

bool km_skill_files_equal(const km_skill_files *a, const km_skill_files *b);

/* <0, 0, >0: the version that wrote it against this program's. */
int km_installed_age(const km_installed *i);

/* One folder, as `skill list` shows it. */
typedef struct {
    const char *name, *path; /* safe to print, as all here */
    const char *state;   /* "current", "outdated", "newer", "unknown" (to this program), "foreign"
                            (not kernmill's), "linked", "unreadable" */
    const char *version; /* or NULL */
    const char *why;     /* of "unreadable", else NULL */
    km_edits edits;
} km_sighting;

/* What stands in a place: what kernmill installed, and what has the name of one of its skills.
 * A place that is not there has none. */
int km_installed_look(km_arena *a, const km_catalog *c, const km_place *p, km_sighting **out,
                      size_t *count, km_err *err);

#endif
