/* lab/patch.h: when are two changes the same? When they make the same sources of the same parent,
 * but for blank lines, spaces at the ends of lines, and lines that are a comment, where we know the
 * language (Python, TOML, C, C++ and CUDA). Of other files, and of their modes, everything counts.
 * Then a second try is a replicate of the first, no idea of its own.
 */
#ifndef KERNMILL_LAB_PATCH_H
#define KERNMILL_LAB_PATCH_H

#include <stdbool.h>

#include "core/hash.h"
#include "lab/git.h"

/* `changed`: the paths in which `commit` differs from `parent`, from the repository's top. *id:
 * SHA-256 of the parent's tree and of what these files say. *none: they say what they said. */
int km_patch_id(const km_git *g, const char *parent, const char *commit, const km_git_list *changed,
                char id[KM_SHA256_HEX_BYTES], bool *none, km_err *err);

#endif
