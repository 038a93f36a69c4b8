/* Any bytes as an archive: an error, or members within the limits that write to a readable one. */
#include <stdint.h>
#include <sys/stat.h>

#include "formats/zip.h"

#define ENTRY_BYTES_MAX (2u << 20)
#define TOTAL_BYTES_MAX (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(km_arena *a, const km_zip *zip, const km_zip_limits *limits)
{
    km_str bytes = KM_STR_INIT;
    km_zip_writer w;
    km_zip copy;
    int rc = km_zip_writer_init(&w, NULL);

    for (size_t i = 0; rc == 0 && i < zip->count; i++) {
        const km_zip_entry *e = &zip->entries[i];
        if (S_ISREG(e->mode))
            rc = km_zip_writer_add(&w, e->name, e->data, e->size, e->mode, NULL);
    }
    if (rc == 0 && w.count)
        rc = km_zip_writer_finish(&w, &bytes, NULL);
    if (rc < 0 ||
        (bytes.length && km_zip_read(a, bytes.data, bytes.length, "copy", limits, &copy, NULL) < 0))
        __builtin_trap();
    km_zip_writer_release(&w);
    km_str_release(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const km_zip_limits limits = { ENTRY_BYTES_MAX, TOTAL_BYTES_MAX };
    km_arena a = KM_ARENA_INIT;
    km_zip zip;
    km_err err;

    if (km_zip_read(&a, data, size, "fuzz", &limits, &zip, &err) == 0)
        write_again(&a, &zip, &limits);
    km_arena_release(&a);
    return 0;
}
