/* skill/place.h: the folders in which agents look for skills.
 *
 *                  in a project       of the user
 *     Claude Code  .claude/skills     ~/.claude/skills
 *     Codex        .agents/skills     ~/.agents/skills
 *     OpenCode     .opencode/skills   $XDG_CONFIG_HOME/opencode/skills, or ~/.config/...
 *
 * As their documentation has them (Codex still reads .codex/skills, and calls it deprecated).
 */
#ifndef KERNMILL_SKILL_PLACE_H
#define KERNMILL_SKILL_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

typedef enum { KM_CLAUDE, KM_CODEX, KM_OPENCODE, KM_HARNESSES } km_harness;

extern const char *const km_harness_names[KM_HARNESSES];

typedef struct {
    const char *harness; /* "claude", or "" for a folder that was named */
    const char *scope;   /* "project", "user" or "dest" */
    const char *base;    /* what is above the part that we chose; "" is the working folder */
    const char *dir;     /* where skills stand, a folder each; need not be there */
} km_place;

/* Errors: KM_EENV when the user's is asked for and HOME is not set. */
int km_place_of(km_arena *a, km_harness h, bool user, km_place *out, km_err *err);

/* A folder that the user named. Errors: KM_EUSAGE for an empty name. */
int km_place_named(const char *dir, km_place *out, km_err *err);

/* Whether nothing below `base`, down to the skill `name`, is a symbolic link: a project that was
 * cloned could lead what is written there to anywhere. Errors: KM_EFORMAT naming the link. */
int km_place_check(km_arena *a, const km_place *p, const char *name, km_err *err);

#endif
