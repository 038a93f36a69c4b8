/* core/path.h: names of files, and names that may not leave their folder.
 *
 * Names from a manifest, a wheel or a Hub answer are untrusted: km_path_check_relative and
 * km_path_check_foreign decide by the text alone, before anything touches the disk.
 */
#ifndef KERNMILL_CORE_PATH_H
#define KERNMILL_CORE_PATH_H

#include <stdbool.h>

#include "core/arena.h"
#include "core/err.h"

/* dir + "/" + name, in the arena; `name` alone when dir is "" or name is absolute. */
char *km_path_join(km_arena *a, const char *dir, const char *name);

/* The part after the last '/'. Borrowed from `path`. */
const char *km_path_base(const char *path);

/* The part before the last '/', or "." ("/" for a name in the root). */
char *km_path_dir(km_arena *a, const char *path);

/* The file name without folder and last extension: "cuda/rmsnorm.cu" gives "rmsnorm". */
char *km_path_stem(km_arena *a, const char *path);

/* The last extension with its dot, or "". Borrowed. */
const char *km_path_ext(const char *path);

/* Takes "." parts and "part/.." out of the text, in place: "cpu/../a.h" gives "a.h". The file is
 * the same only where no part is a symbolic link. */
void km_path_fold(char *path);

/* Whether `name` is a relative path that stays inside the folder it is applied to: not empty or
 * absolute, no empty, "." or ".." part, no backslash, control byte or drive letter, and no part
 * longer than 255 bytes. Errors: KM_EFORMAT with the reason. */
int km_path_check_relative(const char *name, km_err *err);

/* As that, for a name that a stranger chose and no one here will miss (a Hub's list, a wheel):
 * refused are also parts that are ".git" or end in a dot or a blank, which some disks drop, so that
 * two names become one, and characters that make a name read as another: controls beyond ASCII,
 * line separators, and those that turn the direction of writing. */
int km_path_check_foreign(const char *name, km_err *err);

/* The absolute, resolved name of something that exists. Errors: as realpath(3). */
int km_path_real(km_arena *a, const char *path, char **out, km_err *err);

/* The first executable file `name` of $PATH, or NULL; a `name` with a '/' is not looked for. The
 * path is absolute, so that it means the same in another folder. */
char *km_path_program(km_arena *a, const char *name);

#endif
