/* formats/zip.h: archives (wheels are zip files) read strictly and written reproducibly.
 *
 * Zip is described twice in every file, member by member and in a directory at the end, and readers
 * differ in which one they believe. Here the two must agree, nothing may stand before, between or
 * behind what they describe, and libzip must see the same members: an archive that is read has but
 * one meaning. What is written holds no time, no owner and no tool version of the day: the same
 * members give the same bytes on any machine with the same libzip.
 *
 * Refused besides: comments behind the directory, zip64, encryption, methods other than stored and
 * deflate, names that km_path_check_foreign refuses, names that are not UTF-8 or not marked so,
 * two names that one disk could hold only once (ASCII case aside; Unicode forms are not compared),
 * a file where a folder is needed, links, devices and set-uid bits.
 *
 * A member's permissions have no checksum. They are read as 0755 when whoever may read the file may
 * execute it, as 0644 when nobody may, and refused otherwise (0744): no single flipped bit turns
 * 0644 and 0664 into something else, or 0755 and 0775.
 */
#ifndef KERNMILL_FORMATS_ZIP_H
#define KERNMILL_FORMATS_ZIP_H

#include <stddef.h>
#include <sys/types.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/str.h"

typedef struct {
    size_t entry_bytes_max; /* of one member, decompressed */
    size_t total_bytes_max; /* of all of them */
} km_zip_limits;

typedef struct {
    const char *name; /* UTF-8; a folder's ends with '/' */
    const unsigned char *data;
    size_t size;
    mode_t mode; /* S_IFREG | 0644, S_IFREG | 0755 or S_IFDIR | 0755 */
} km_zip_entry;

typedef struct {
    km_zip_entry *entries; /* in the order of the file */
    size_t count;
} km_zip;

/* Reads the archive of `size` bytes at `data` whole; everything in *out lives in the arena. `name`
 * is what errors call the file.
 * Errors: KM_EFORMAT with what is wrong; KM_ELIMIT beyond `limits`, the ratio or
 * KM_ZIP_ENTRIES_MAX. Limits are held before memory is taken, and again on what is produced. */
int km_zip_read(km_arena *a, const void *data, size_t size, const char *name,
                const km_zip_limits *limits, km_zip *out, km_err *err);

/* The member called exactly `name`, or NULL. Borrowed. */
const km_zip_entry *km_zip_find(const km_zip *zip, const char *name);

/* An archive in the making, in memory:
 *
 *     km_zip_writer w;
 *     km_str bytes = KM_STR_INIT;
 *     if (km_zip_writer_init(&w, err) < 0)
 *         return err->code;
 *     rc = km_zip_writer_add(&w, "pkg/__init__.py", text, size, 0644, err);
 *     if (rc == 0)
 *         rc = km_zip_writer_finish(&w, &bytes, err);
 *     km_zip_writer_release(&w);
 */
typedef struct {
    struct zip *archive;       /* libzip's; owned */
    struct zip_source *source; /* what it is written to; owned */
    size_t count;
    size_t total_bytes;
} km_zip_writer;

int km_zip_writer_init(km_zip_writer *w, km_err *err);

/* Adds a file, stored, behind those added before. `data` is borrowed until _finish. `mode` is 0644
 * or 0755, with or without S_IFREG.
 * Errors: KM_EUSAGE for a name or mode that km_zip_read would not return; KM_ELIMIT. */
int km_zip_writer_add(km_zip_writer *w, const char *name, const void *data, size_t size,
                      mode_t mode, km_err *err);

/* Appends the archive to `out`. An archive without members is KM_EUSAGE, as are two members that
 * km_zip_read would not accept beside each other. */
int km_zip_writer_finish(km_zip_writer *w, km_str *out, km_err *err);

/* May be called at any time after _init, also after _finish. */
void km_zip_writer_release(km_zip_writer *w);

#endif
