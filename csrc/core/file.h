/* core/file.h: whole files in, whole files out.
 *
 * A file is written under a temporary name in its own folder, flushed to the disk, renamed over
 * the old one, and the folder is flushed: after a crash the old file is there or the new one,
 * never half of either. A file whose content would not change is left alone, so that its
 * modification time can be trusted by build tools.
 */
#ifndef KERNMILL_CORE_FILE_H
#define KERNMILL_CORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/arena.h"
#include "core/err.h"

/* Reads a regular file of at most `limit_bytes` into the arena; the bytes are followed by a zero
 * that `size` does not count. Errors: KM_ENOENT, KM_ELIMIT, KM_EIO. */
int km_file_read(km_arena *a, const char *path, size_t limit_bytes, char **data, size_t *size,
                 km_err *err);

/* The descriptor, open for reading, of a regular file of at most `limit_bytes`, which the caller
 * closes; else negative. Errors: those of km_file_read. */
int km_file_open(const char *path, size_t limit_bytes, size_t *size, km_err *err);

/* As km_file_read, without a copy, for what is looked at in places: only these take memory. The
 * bytes are the caller's until km_file_unmap. The file must not become shorter meanwhile: reading
 * what is gone ends the process (SIGBUS). */
int km_file_map(const char *path, size_t limit_bytes, const void **data, size_t *size, km_err *err);
void km_file_unmap(const void *data, size_t size);

/* Writes atomically, with permission bits `mode` (before umask). Missing folders are an error. */
int km_file_write(const char *path, const void *data, size_t size, mode_t mode, km_err *err);

/* As km_file_write, but does nothing when the file already holds these bytes. */
int km_file_update(const char *path, const void *data, size_t size, mode_t mode, km_err *err);

/* Copies a regular file atomically, permission bits included, whatever the umask; a file that is
 * equal already is left alone. */
int km_file_copy(const char *from, const char *to, km_err *err);

bool km_file_exists(const char *path); /* a regular file, links followed */
bool km_dir_exists(const char *path);

/* Adds a line to a file, made when missing, and flushes it: in one write, so that lines of several
 * writers stay whole; after a line that was cut by a crash, on a line of its own. */
int km_file_append_line(const char *path, const char *line, km_err *err);

/* Whether km_file_append_line could add to the file, which is made if it is not there: before work
 * whose result it is to hold. Errors: KM_EIO, KM_ENOENT. */
int km_file_check_append(const char *path, km_err *err);

/* Size in bytes, or a negative code. */
long long km_file_size(const char *path, km_err *err);

/* As km_fail_errno of errno, for an open file whose name the caller was not told: "unable to read
 * '/a/b'", by what /proc says of `fd`. */
int km_file_fail(int fd, const char *verb, km_err *err);

/* Holds `path` (made when missing) until the descriptor is closed, or the process ends; first waits
 * until no other process holds it, or fails with KM_ETIME when one does and `wait` is false.
 * Returns the descriptor, or a negative code. */
int km_file_lock(const char *path, bool wait, km_err *err);

/* Makes a folder and its parents. Errors: KM_EUSAGE for an empty name. */
int km_dir_make(const char *path, km_err *err);

/* Makes a new folder in TMPDIR, or /tmp, that nobody else can enter; "kernmill-NAME-..." Its path
 * is in the arena; the caller removes it. */
int km_dir_temporary(km_arena *a, const char *name, char **path, km_err *err);

/* Removes a file or a tree; what is not there is no error. Never follows a link. */
int km_dir_remove(const char *path, km_err *err);

typedef struct {
    char **names; /* sorted bytewise, relative to the folder listed; in the arena */
    size_t count;
} km_names;

/* The entries of one folder ("." and ".." left out). */
int km_dir_list(km_arena *a, const char *path, km_names *out, km_err *err);

/* Every file below a folder, with '/' between parts. Symbolic links, pipes and the like are an
 * error (KM_EFORMAT), as are trees beyond KM_DIR_DEPTH_MAX or KM_DIR_ENTRIES_MAX (KM_ELIMIT). */
int km_dir_walk(km_arena *a, const char *path, km_names *out, km_err *err);

/* The same with links, pipes and the like among the names; links are not followed. */
int km_dir_walk_any(km_arena *a, const char *path, km_names *out, km_err *err);

#endif
