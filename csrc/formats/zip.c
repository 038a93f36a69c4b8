#include "formats/zip.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#include "formats/zip_names.h"

#define END_BYTES     22 /* the record that ends the file */
#define CENTRAL_BYTES 46 /* of a directory entry, then name, extra fields and comment */
#define LOCAL_BYTES   30 /* before a member, then name and extra fields */

#define END_MAGIC        0x06054b50u
#define CENTRAL_MAGIC    0x02014b50u
#define LOCAL_MAGIC      0x04034b50u
#define DESCRIPTOR_MAGIC 0x08074b50u

#define FLAG_DESCRIPTOR 0x0008u /* sizes follow the data */
#define FLAG_UTF8       0x0800u
#define FLAGS_READ      (0x0006u | FLAG_DESCRIPTOR | FLAG_UTF8) /* 6: how hard deflate tried */

#define EXTRA_ZIP64 0x0001u
#define EXTRA_NAME  0x7075u /* a second name for the member */

#define MEMBERS_MAX 65534 /* 65535 says zip64 */
#define DOS_FOLDER  0x10u

struct member {
    char *name; /* in the arena */
    size_t length;
    bool folder;
    mode_t mode;
    uint32_t flags, method, crc, packed_bytes, size_bytes;
    size_t start; /* of the local header */
};

struct reader {
    km_arena *arena;
    const unsigned char *data;
    size_t size_bytes;
    const char *name;
    const km_zip_limits *limits;
    km_err *err;
    struct member *members;
    size_t count;
    size_t directory; /* where it starts */
};

static uint32_t get16(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const unsigned char *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static int fail(const struct reader *r, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(const struct reader *r, int code, const char *format, ...)
{
    char text[KM_ERR_MESSAGE_BYTES];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return km_fail_at(r->err, code, r->name, 0, 0, "%s", text);
}

/* The directory must fill the space between the members and the record that ends the file. */
static int read_end(struct reader *r)
{
    const unsigned char *end;
    size_t directory_bytes;

    if (r->size_bytes < END_BYTES || get32(r->data + r->size_bytes - END_BYTES) != END_MAGIC)
        return fail(r, KM_EFORMAT,
                    "not a zip archive, cut short, or with something behind its end");
    end = r->data + r->size_bytes - END_BYTES;
    r->count = get16(end + 10);
    directory_bytes = get32(end + 12);
    r->directory = get32(end + 16);
    if (get16(end + 20))
        return fail(r, KM_EFORMAT, "%" PRIu32 " bytes of comment are announced behind the end",
                    get16(end + 20));
    if (get16(end + 4) || get16(end + 6) || get16(end + 8) != r->count)
        return fail(r, KM_EFORMAT, "part of an archive of several disks");
    if (r->count > MEMBERS_MAX || r->count > KM_ZIP_ENTRIES_MAX)
        return fail(r, KM_ELIMIT, "more than %d members (zip64)", MEMBERS_MAX);
    if (r->directory > r->size_bytes - END_BYTES ||
        directory_bytes != r->size_bytes - END_BYTES - r->directory)
        return fail(r, KM_EFORMAT,
                    "directory of %zu bytes at byte %zu does not fill the space before the end",
                    directory_bytes, r->directory);
    r->members = km_arena_array(r->arena, r->count, sizeof *r->members);
    return r->members ? 0 : km_fail_nomem(r->err);
}

static int check_extra(const struct reader *r, const unsigned char *p, size_t size, size_t i)
{
    while (size) {
        size_t length;
        if (size < 4 || get16(p + 2) > size - 4)
            return fail(r, KM_EFORMAT, "member %zu: extra fields do not end where they should", i);
        if (get16(p) == EXTRA_ZIP64)
            return fail(r, KM_ELIMIT, "member %zu: zip64 (4 GiB and more) is not read", i);
        if (get16(p) == EXTRA_NAME)
            return fail(r, KM_EFORMAT, "member %zu: has a second name", i);
        length = 4 + get16(p + 2);
        p += length;
        size -= length;
    }
    return 0;
}

/* What kind of file the attributes make of the member. */
static int read_mode(const struct reader *r, const unsigned char *entry, struct member *m)
{
    uint32_t attributes = get32(entry + 38), system = entry[5];
    mode_t mode = attributes >> 16, type = mode & S_IFMT, x = mode & 0111, may_read = mode & 0444;

    if (system != ZIP_OPSYS_DOS && system != ZIP_OPSYS_UNIX)
        return fail(r, KM_EFORMAT, "'%s' was made on system %" PRIu32 ", not on Unix or DOS",
                    m->name, system);
    if (m->folder) {
        if ((type && type != S_IFDIR) || m->size_bytes || m->packed_bytes || m->crc)
            return fail(r, KM_EFORMAT, "'%s' has the name of a folder, but is none", m->name);
        m->mode = S_IFDIR | 0755;
        return 0;
    }
    if ((type && type != S_IFREG) || attributes & DOS_FOLDER)
        return fail(r, KM_EFORMAT, "'%s' is not a regular file (mode 0%o)", m->name, mode);
    if (mode & (S_ISUID | S_ISGID | S_ISVTX) || (mode && !(mode & S_IRUSR)) ||
        (x && x != may_read >> 2))
        return fail(r, KM_EFORMAT, "'%s' has the odd permissions 0%o", m->name, mode & 07777);
    m->mode = S_IFREG | (x ? 0755 : 0644);
    return 0;
}

static int read_central(struct reader *r, size_t i, size_t *at)
{
    const unsigned char *e = r->data + *at;
    size_t left = r->size_bytes - END_BYTES - *at, extra, whole;
    struct member *m = &r->members[i];
    km_err why;
    int rc;

    if (left < CENTRAL_BYTES || get32(e) != CENTRAL_MAGIC)
        return fail(r, KM_EFORMAT, "byte %zu is not directory entry %zu", *at, i);
    m->length = get16(e + 28);
    extra = get16(e + 30);
    whole = CENTRAL_BYTES + m->length + extra + get16(e + 32);
    if (whole > left)
        return fail(r, KM_EFORMAT, "directory entry %zu at byte %zu leaves the directory", i, *at);
    m->name = km_arena_strndup(r->arena, (const char *)e + CENTRAL_BYTES, m->length);
    if (!m->name)
        return km_fail_nomem(r->err);
    m->folder = m->length && m->name[m->length - 1] == '/';
    m->flags = get16(e + 8);
    m->method = get16(e + 10);
    m->crc = get32(e + 16);
    m->packed_bytes = get32(e + 20);
    m->size_bytes = get32(e + 24);
    m->start = get32(e + 42);
    rc = km_zip_check_name(r->arena, m->name, m->length, &why);
    if (rc < 0)
        return fail(r, rc, "member %zu: %s", i, why.message);
    if (get16(e + 34))
        return fail(r, KM_EFORMAT, "'%s' is on another disk", m->name);
    rc = check_extra(r, e + CENTRAL_BYTES + m->length, extra, i);
    *at += whole;
    return rc < 0 ? rc : read_mode(r, e, m);
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    return !*text;
}

static int check_member(const struct reader *r, const struct member *m)
{
    size_t most = (size_t)m->packed_bytes * KM_ZIP_RATIO_MAX;

    if (m->flags & ~FLAGS_READ)
        return fail(r, KM_EFORMAT, "'%s' has flags 0x%" PRIx32 " (1 is encryption)", m->name,
                    m->flags & ~FLAGS_READ);
    if (m->method != ZIP_CM_STORE && m->method != ZIP_CM_DEFLATE)
        return fail(r, KM_EFORMAT, "'%s' is compressed by method %" PRIu32 ", not deflate", m->name,
                    m->method);
    if (m->method == ZIP_CM_STORE && m->packed_bytes != m->size_bytes)
        return fail(r, KM_EFORMAT, "'%s' is stored, in two sizes", m->name);
    if (!is_ascii(m->name) && !(m->flags & FLAG_UTF8))
        return fail(r, KM_EFORMAT, "'%s' is not marked as UTF-8", m->name);
    if (m->size_bytes > r->limits->entry_bytes_max)
        return fail(r, KM_ELIMIT, "'%s' has %" PRIu32 " bytes; the limit is %zu", m->name,
                    m->size_bytes, r->limits->entry_bytes_max);
    if (m->size_bytes > most && m->size_bytes > KM_ZIP_RATIO_FLOOR_BYTES)
        return fail(r, KM_ELIMIT,
                    "'%s' grows from %" PRIu32 " to %" PRIu32 " bytes, more than %u times", m->name,
                    m->packed_bytes, m->size_bytes, KM_ZIP_RATIO_MAX);
    return 0;
}

/* Bytes of the sizes that follow the data, or 0 when they are not those of the directory. */
static size_t descriptor_bytes(const unsigned char *p, size_t left, const struct member *m)
{
    size_t magic = left >= 4 && get32(p) == DESCRIPTOR_MAGIC ? 4 : 0;

    if (left < magic + 12 || get32(p + magic) != m->crc ||
        get32(p + magic + 4) != m->packed_bytes || get32(p + magic + 8) != m->size_bytes)
        return 0;
    return magic + 12;
}

/* Whether the local header of a member says what the directory says. */
static bool local_agrees(const unsigned char *e, const struct member *m)
{
    bool streamed = m->flags & FLAG_DESCRIPTOR && !get32(e + 14) && !get32(e + 18) &&
                    !get32(e + 22);

    return get16(e + 6) == m->flags && get16(e + 8) == m->method &&
           (streamed || (get32(e + 14) == m->crc && get32(e + 18) == m->packed_bytes &&
                         get32(e + 22) == m->size_bytes)) &&
           get16(e + 26) == m->length && memcmp(e + LOCAL_BYTES, m->name, m->length) == 0;
}

/* Leaves in *at where the next member must start. */
static int check_local(const struct reader *r, size_t i, size_t *at)
{
    const struct member *m = &r->members[i];
    const unsigned char *e = r->data + *at;
    size_t left = r->directory - *at, used = LOCAL_BYTES + m->length;
    int rc;

    if (m->start != *at)
        return fail(r, KM_EFORMAT,
                    "'%s' starts at byte %zu, where it should at %zu: a gap, an "
                    "overlap or another order",
                    m->name, m->start, *at);
    if (left < used || get32(e) != LOCAL_MAGIC || !local_agrees(e, m))
        return fail(r, KM_EFORMAT, "'%s': its header at byte %zu and the directory disagree",
                    m->name, *at);
    used += get16(e + 28);
    if (left < used || left - used < m->packed_bytes)
        return fail(r, KM_EFORMAT, "'%s' runs into the directory", m->name);
    rc = check_extra(r, e + LOCAL_BYTES + m->length, get16(e + 28), i);
    used += m->packed_bytes;
    if (rc == 0 && m->flags & FLAG_DESCRIPTOR) {
        size_t n = descriptor_bytes(e + used, left - used, m);
        if (!n)
            return fail(r, KM_EFORMAT, "'%s': the sizes behind it are not the directory's",
                        m->name);
        used += n;
    }
    *at += used;
    return rc;
}

static int check_names(const struct reader *r)
{
    const char **names = km_arena_array(r->arena, r->count, sizeof *names);
    km_err why;
    int rc;

    if (!names)
        return km_fail_nomem(r->err);
    for (size_t i = 0; i < r->count; i++)
        names[i] = r->members[i].name;
    rc = km_zip_check_names(r->arena, names, r->count, &why);
    return rc < 0 ? fail(r, rc, "%s", why.message) : 0;
}

/* All that can be decided before anything is decompressed. */
static int read_layout(struct reader *r)
{
    size_t at, total = 0;
    int rc = read_end(r);

    at = r->directory;
    for (size_t i = 0; rc == 0 && i < r->count; i++)
        rc = read_central(r, i, &at);
    if (rc == 0 && at != r->size_bytes - END_BYTES)
        rc = fail(r, KM_EFORMAT, "directory has more than its %zu entries", r->count);
    at = 0;
    for (size_t i = 0; rc == 0 && i < r->count; i++) {
        rc = check_member(r, &r->members[i]);
        total += r->members[i].size_bytes;
        if (rc == 0)
            rc = check_local(r, i, &at);
    }
    if (rc < 0)
        return rc;
    if (at != r->directory)
        return fail(r, KM_EFORMAT, "%zu bytes before the directory belong to no member",
                    r->directory - at);
    if (total > r->limits->total_bytes_max)
        return fail(r, KM_ELIMIT, "%zu bytes in all; the limit is %zu", total,
                    r->limits->total_bytes_max);
    return check_names(r);
}

static int libzip_fail(const struct reader *r, const char *what, zip_error_t *error)
{
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
        return km_fail_nomem(r->err);
    return fail(r, KM_EFORMAT, "%s: libzip: %s", what, zip_error_strerror(error));
}

/* Exactly as many bytes as announced, with the announced CRC, which libzip checks at the end. */
static int read_data(const struct reader *r, zip_t *archive, size_t i, km_zip_entry *out)
{
    const struct member *m = &r->members[i];
    unsigned char *data = km_arena_alloc(r->arena, (size_t)m->size_bytes + 1);
    zip_file_t *file = zip_fopen_index(archive, i, 0);
    zip_int64_t n = 1;
    size_t got = 0;
    int rc = 0;

    while (data && file && n > 0 && got <= m->size_bytes) {
        n = zip_fread(file, data + got, m->size_bytes + 1 - got);
        got += n > 0 ? (size_t)n : 0;
    }
    if (!data)
        rc = km_fail_nomem(r->err);
    else if (!file)
        rc = libzip_fail(r, m->name, zip_get_error(archive));
    else if (n < 0)
        rc = libzip_fail(r, m->name, zip_file_get_error(file));
    else if (got != m->size_bytes)
        rc = fail(r, KM_EFORMAT, "'%s' holds %s bytes than it says (%" PRIu32 ")", m->name,
                  got < m->size_bytes ? "fewer" : "more", m->size_bytes);
    if (file)
        zip_fclose(file);
    if (rc == 0)
        data[got] = 0; /* texts may be read as strings */
    out->data = data;
    out->size = got;
    return rc;
}

static int read_members(const struct reader *r, zip_t *archive, km_zip *out)
{
    int rc = 0;

    if (zip_get_num_entries(archive, 0) != (zip_int64_t)r->count)
        return fail(r, KM_EFORMAT, "libzip sees another number of members than %zu", r->count);
    out->entries = km_arena_array(r->arena, r->count, sizeof *out->entries);
    if (!out->entries)
        return km_fail_nomem(r->err);
    for (size_t i = 0; rc == 0 && i < r->count; i++) {
        const struct member *m = &r->members[i];
        const char *name = zip_get_name(archive, i, ZIP_FL_ENC_RAW);
        if (!name || strcmp(name, m->name) != 0)
            return fail(r, KM_EFORMAT, "libzip sees another name than '%s'", m->name);
        out->entries[i].name = m->name;
        out->entries[i].mode = m->mode;
        rc = read_data(r, archive, i, &out->entries[i]);
    }
    out->count = r->count;
    return rc;
}

static int read_archive(const struct reader *r, km_zip *out)
{
    zip_source_t *source;
    zip_t *archive = NULL;
    zip_error_t error;
    int rc;

    zip_error_init(&error);
    source = zip_source_buffer_create(r->data, r->size_bytes, 0, &error);
    if (source)
        archive = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
    if (archive)
        rc = read_members(r, archive, out);
    else
        rc = libzip_fail(r, "unable to open the archive", &error);
    if (archive)
        zip_discard(archive);
    else if (source)
        zip_source_free(source);
    zip_error_fini(&error);
    return rc;
}

int km_zip_read(km_arena *a, const void *data, size_t size, const char *name,
                const km_zip_limits *limits, km_zip *out, km_err *err)
{
    struct reader r = {
        .arena = a, .data = data, .size_bytes = size, .name = name, .limits = limits, .err = err
    };
    int rc;

    *out = (km_zip){ 0 };
    rc = read_layout(&r);
    if (rc == 0)
        rc = read_archive(&r, out);
    if (rc < 0)
        *out = (km_zip){ 0 };
    return rc;
}

const km_zip_entry *km_zip_find(const km_zip *zip, const char *name)
{
    for (size_t i = 0; i < zip->count; i++)
        if (strcmp(zip->entries[i].name, name) == 0)
            return &zip->entries[i];
    return NULL;
}
