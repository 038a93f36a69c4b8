/* hub/commit.h: which commit a revision of a repository on a hub is now. */
#ifndef KERNMILL_HUB_COMMIT_H
#define KERNMILL_HUB_COMMIT_H

#include "net/wire.h"

/* `revision` is a branch, a tag or a commit, which is itself; NULL is the newest version branch,
 * else main. *name is what it was found by, in the arena. One request, or two for what stands in no
 * list ("refs/pr/3"), none for a commit. Errors: KM_ENOENT, the branches that there are as hint. */
int km_commit_find(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                   const char **name, char commit[KM_OID_HEX_BYTES], km_err *err);

#endif
