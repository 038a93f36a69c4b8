/* Any bytes as a wheel's RECORD: lines in order, each of which is found again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "pkg/wheel_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    km_arena a = KM_ARENA_INIT;
    km_wheel_record r;

    if (km_wheel_record_read(&a, (const char *)data, size, &r, NULL) == 0)
        for (size_t i = 0; i < r.count; i++) {
            const km_record_line *found = km_wheel_record_find(&r, r.lines[i].path);
            if (!found || strcmp(found->path, r.lines[i].path) != 0 || !found->rest)
                abort();
            if (i && strcmp(r.lines[i - 1].path, found->path) > 0)
                abort();
        }
    km_arena_release(&a);
    return 0;
}
