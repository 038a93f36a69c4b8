/* skill/catalog.h: the skills that the program brings: what agents read to use it.
 *
 * A skill is a folder with a SKILL.md, whose front matter has a name (the folder's) and a
 * description, and with whatever else its text names. The program finds them beside its templates.
 */
#ifndef KERNMILL_SKILL_CATALOG_H
#define KERNMILL_SKILL_CATALOG_H

#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

/* What an installed skill's folder has beside the skill's own files (skill/installed.h). */
#define KM_SKILL_MANIFEST ".kernmill-skill.json"

typedef struct {
    const char *path;   /* below the skill's folder, '/' between parts */
    const char *sha256; /* 64 hex digits */
} km_skill_file;

typedef struct {
    km_skill_file *files; /* in the arena */
    size_t count;
} km_skill_files;

typedef struct {
    const char *name;
    const char *description; /* one line */
    const char *dir;
    km_skill_files files; /* sorted by path */
} km_skill;

typedef struct {
    km_skill *skills; /* sorted by name, in the arena */
    size_t count;
} km_catalog;

/* All files below `dir` with their hashes, but for the manifest and Python's caches.
 * Errors: KM_EFORMAT for a link or anything else that is no file; KM_ELIMIT beyond
 * KM_SKILL_FILES_MAX; KM_EIO. */
int km_skill_files_read(km_arena *a, const char *dir, km_skill_files *out, km_err *err);

/* The file of that path, or NULL. */
const km_skill_file *km_skill_files_find(const km_skill_files *files, const char *path);

/* Reads every skill in `root`. Errors: KM_EENV when there is none; KM_EFORMAT for a SKILL.md
 * without a front matter that names it. */
int km_catalog_read(km_arena *a, const char *root, km_catalog *out, km_err *err);

/* The skill of that name, or NULL. */
const km_skill *km_catalog_get(const km_catalog *c, const char *name);

/* As km_catalog_get; that there is none is KM_EUSAGE, with the nearest name and the list. */
const km_skill *km_catalog_find(const km_catalog *c, const char *name, km_err *err);

#endif
