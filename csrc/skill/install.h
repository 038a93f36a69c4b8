/* skill/install.h: puts a skill where an agent looks for it, or brings it up to date.
 *
 * What the user did is kept: when a file was edited or removed, nothing is done unless forced. The
 * user's own files stay in any case. The new folder is made beside the old one, as .<name>.new, and
 * takes its place at once (renameat2, or two renames where the file system lacks it, with the old
 * one as .<name>.old between them): whoever is killed half-way leaves the old skill, and the next
 * one tidies up.
 */
#ifndef KERNMILL_SKILL_INSTALL_H
#define KERNMILL_SKILL_INSTALL_H

#include "skill/installed.h"

typedef enum {
    KM_SKILL_ADD,     /* there is none */
    KM_SKILL_UPDATE,  /* other files, or another version */
    KM_SKILL_CURRENT, /* nothing to do */
    KM_SKILL_KEEP     /* edits would be lost, or a newer version */
} km_install_state;

typedef struct {
    const char *place; /* the folder of skills */
    const char *path;  /* the skill's */
    km_install_state state;
    km_installed before;
    bool newer;     /* what is there comes from a newer kernmill */
    km_edits edits; /* that would be lost */
} km_install;

/* Finds out what there is to do, and does nothing, but for tidying up after one that was killed.
 * `force`: never KM_SKILL_KEEP. Errors: those of km_place_check and km_installed_read. */
int km_install_plan(km_arena *a, const km_skill *s, const km_place *p, bool force, km_install *out,
                    km_err *err);

/* Does it: KM_SKILL_ADD and KM_SKILL_UPDATE write, the others do not. Errors: KM_EIO, KM_ENOENT. */
int km_install_apply(km_arena *a, const km_skill *s, const km_install *i, km_err *err);

#endif
