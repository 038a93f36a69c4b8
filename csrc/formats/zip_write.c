/* Writing archives whose bytes depend on their members alone: zip.h says how. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#include "formats/zip.h"
#include "formats/zip_names.h"

#define MEMBERS_MAX     65534 /* 65535 says zip64, which km_zip_read refuses */
#define DOS_DATE_1980_1 0x21u
#define READ_BYTES      (1u << 16)

static int libzip_fail(zip_error_t *error, const char *what, km_err *err)
{
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
        return km_fail_nomem(err);
    return km_fail(err, KM_EBUG, "unable to write the archive%s%s: libzip: %s", *what ? " at " : "",
                   what, zip_error_strerror(error));
}

int km_zip_writer_init(km_zip_writer *w, km_err *err)
{
    zip_error_t error;
    int rc = 0;

    *w = (km_zip_writer){ 0 };
    zip_error_init(&error);
    w->source = zip_source_buffer_create(NULL, 0, 0, &error);
    if (w->source) {
        zip_source_keep(w->source); /* the archive takes one reference, we read by the other */
        w->archive = zip_open_from_source(w->source, ZIP_TRUNCATE, &error);
        if (!w->archive)
            zip_source_free(w->source);
    }
    if (!w->archive) {
        rc = libzip_fail(&error, "", err);
        km_zip_writer_release(w);
    }
    zip_error_fini(&error);
    return rc;
}

static int check_arguments(const km_zip_writer *w, const char *name, size_t size, mode_t mode,
                           km_err *err)
{
    km_arena scratch = KM_ARENA_INIT;
    km_err why;
    int rc = km_zip_check_name(&scratch, name, strlen(name), &why);

    km_arena_release(&scratch);
    if (rc < 0)
        return km_fail(err, rc == KM_EFORMAT ? KM_EUSAGE : rc, "unable to add to the archive: %s",
                       why.message);
    if (km_ends_with(name, "/"))
        return km_fail(err, KM_EUSAGE, "unable to add '%s' to the archive: a folder", name);
    if ((mode & ~(mode_t)S_IFREG) != 0644 && (mode & ~(mode_t)S_IFREG) != 0755)
        return km_fail(err, KM_EUSAGE, "'%s' has mode 0%o; an archive holds 0644 and 0755", name,
                       mode);
    if (w->count == MEMBERS_MAX)
        return km_fail(err, KM_ELIMIT, "more than %d members in an archive", MEMBERS_MAX);
    if (size > KM_STR_BYTES_MAX - w->total_bytes)
        return km_fail(err, KM_ELIMIT, "'%s' makes the archive longer than %u bytes", name,
                       KM_STR_BYTES_MAX);
    return 0;
}

int km_zip_writer_add(km_zip_writer *w, const char *name, const void *data, size_t size,
                      mode_t mode, km_err *err)
{
    const zip_uint32_t attributes = (zip_uint32_t)(S_IFREG | (mode & 0777)) << 16;
    zip_source_t *source;
    zip_int64_t index;
    int rc = check_arguments(w, name, size, mode, err);

    if (rc < 0)
        return rc;
    source = zip_source_buffer(w->archive, data, size, 0);
    if (!source)
        return libzip_fail(zip_get_error(w->archive), name, err);
    index = zip_file_add(w->archive, name, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        rc = zip_error_code_zip(zip_get_error(w->archive)) == ZIP_ER_EXISTS
                 ? km_fail(err, KM_EUSAGE, "'%s' is added to the archive twice", name)
                 : libzip_fail(zip_get_error(w->archive), name, err);
        zip_source_free(source);
        return rc;
    }
    if (zip_set_file_compression(w->archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) < 0 ||
        zip_file_set_dostime(w->archive, (zip_uint64_t)index, 0, DOS_DATE_1980_1, 0) < 0 ||
        zip_file_set_external_attributes(w->archive, (zip_uint64_t)index, 0, ZIP_OPSYS_UNIX,
                                         attributes) < 0)
        return libzip_fail(zip_get_error(w->archive), name, err);
    w->count++;
    w->total_bytes += size;
    return 0;
}

static int check_all_names(const km_zip_writer *w, km_err *err)
{
    km_arena scratch = KM_ARENA_INIT;
    const char **names = km_arena_array(&scratch, w->count, sizeof *names);
    km_err why;
    int rc = names ? 0 : km_fail_nomem(err);

    for (size_t i = 0; rc == 0 && i < w->count; i++) {
        names[i] = zip_get_name(w->archive, i, 0);
        if (!names[i])
            rc = km_fail(err, KM_EBUG, "member %zu of the archive has no name", i);
    }
    if (rc == 0 && km_zip_check_names(&scratch, names, w->count, &why) < 0)
        rc = km_fail(err, KM_EUSAGE, "unable to write the archive: %s", why.message);
    km_arena_release(&scratch);
    return rc;
}

static int read_back(zip_source_t *source, km_str *out, km_err *err)
{
    char bytes[READ_BYTES];
    zip_int64_t n;

    if (zip_source_open(source) < 0)
        return libzip_fail(zip_source_error(source), "", err);
    while ((n = zip_source_read(source, bytes, sizeof bytes)) > 0)
        km_str_add_bytes(out, bytes, (size_t)n);
    zip_source_close(source);
    if (n < 0)
        return libzip_fail(zip_source_error(source), "", err);
    return km_str_check(out, err);
}

int km_zip_writer_finish(km_zip_writer *w, km_str *out, km_err *err)
{
    int rc;

    if (!w->count)
        return km_fail(err, KM_EUSAGE, "an archive without members");
    rc = check_all_names(w, err);
    if (rc < 0)
        return rc;
    if (zip_close(w->archive) < 0)
        return libzip_fail(zip_get_error(w->archive), "", err);
    w->archive = NULL;
    return read_back(w->source, out, err);
}

void km_zip_writer_release(km_zip_writer *w)
{
    if (w->archive)
        zip_discard(w->archive);
    if (w->source)
        zip_source_free(w->source);
    *w = (km_zip_writer){ 0 };
}
