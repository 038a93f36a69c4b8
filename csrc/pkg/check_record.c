/* A wheel's RECORD against the members of the wheel. */
#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "core/str.h"
#include "pkg/check_internal.h"
#include "pkg/wheel_record.h"

/* Whether the line of a member is there and right. */
static int check_member(km_findings *f, const char *name, const km_zip_entry *e, bool is_record,
                        const km_wheel_record *record, km_err *err)
{
    km_record_line *line = km_wheel_record_find(record, e->name);
    char base64[KM_SHA256_BASE64_BYTES], want[100] = ",";
    km_sha256 hash;

    if (!line)
        return km_check_add(f, "record-missing", name, err, "RECORD does not list", e->name);
    line->met = true;
    if (!is_record) {
        if (km_hash_bytes(e->data, e->size, &hash, err) < 0)
            return KM_EBUG;
        km_hash_base64url(&hash, base64);
        snprintf(want, sizeof want, "sha256=%s,%zu", base64, e->size);
    }
    if (strcmp(line->rest, want) == 0)
        return 0;
    return km_check_add(f, "record-mismatch", name, err, "RECORD has another hash or size for",
                        e->name);
}

/* The lines that belong to no member, or to one that has a line already. */
static int check_lines(km_findings *f, const char *name, const km_wheel_record *record, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->count; i++) {
        const km_record_line *line = &record->lines[i];
        if (i && strcmp(line->path, line[-1].path) == 0)
            rc = km_check_add(f, "record-twice", name, err, "RECORD lists twice:", line->path);
        else if (!line->met && !(i + 1 < record->count && strcmp(line->path, line[1].path) == 0))
            rc = km_check_add(f, "record-absent", name, err,
                              "RECORD lists what is not there:", line->path);
    }
    return rc;
}

int km_check_record(km_findings *f, const char *name, const km_zip *zip, const char *dist_info,
                    km_err *err)
{
    const char *path = km_arena_printf(&f->arena, "%s/RECORD", dist_info);
    const km_zip_entry *e = path ? km_zip_find(zip, path) : NULL;
    km_wheel_record record;
    int rc;

    if (!path)
        return km_fail_nomem(err);
    if (!e)
        return km_check_add(f, "record-missing", name, err, "there is no", path);
    rc = km_wheel_record_read(&f->arena, (const char *)e->data, e->size, &record, err);
    for (size_t i = 0; rc == 0 && i < record.broken_count; i++)
        rc = km_check_add(f, "record-line", name, err,
                          "RECORD has a line without a path:", record.broken[i]);
    for (size_t i = 0; rc == 0 && i < zip->count; i++)
        if (!km_ends_with(zip->entries[i].name, "/"))
            rc = check_member(f, name, &zip->entries[i], &zip->entries[i] == e, &record, err);
    return rc == 0 ? check_lines(f, name, &record, err) : rc;
}
