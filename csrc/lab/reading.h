/* lab/reading.h: where those roles work that only read: a checkout in which nothing may be written,
 *
 *     .lab/read/<commit>/                     no write permission, files and folders
 *     .lab/read/<commit>.users/<job>.<token>  an empty file for each lease that looks at it
 *
 * of the champion, or of the commit of the idea that is reviewed. One is for all who look at that
 * commit. When nobody does, it goes, but for the champion's. (Root writes all the same: what a role
 * did there is lost with the tree, and is in no commit.)
 */
#ifndef KERNMILL_LAB_READING_H
#define KERNMILL_LAB_READING_H

#include "lab/queue.h"
#include "lab/workspace.h"

/* Whether a job of this kind only reads: research, review, plan, report. */
bool km_reading_is(const char *kind);

/* The tree of a job's lease. *path: the repository's folder in it; NULL: the lab has no champion.
 */
int km_reading_tree(km_workspace *w, const km_job *job, const char **path, km_err *err);

/* Removes the trees that nobody looks at any more. */
int km_reading_sweep(km_workspace *w, km_err *err);

#endif
