/* Any bytes as one container and as a section: an error, or images that can be asked about. */
#include <stdint.h>

#include "formats/fatbin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    km_fatbin f;
    km_err err;

    if (km_fatbin_read(&f, data, size, &err) == 0)
        km_fatbin_release(&f);
    if (km_fatbin_read_all(&f, data, size, &err) < 0)
        return 0;
    for (size_t i = 0; i < f.count; i++)
        if (km_image_min_driver(&f.images[i]) > 0 && !km_fatbin_pick(&f, f.images[i].sm))
            __builtin_trap(); /* an image that nothing runs, not even its own chip */
    km_fatbin_release(&f);
    return 0;
}
