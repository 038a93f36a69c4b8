#include "bench/images.h"

#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/limits.h"
#include "formats/elf.h"
#include "formats/fatbin.h"

/* The containers of a section, one after another; the driver copies them. */
static void add_all(km_images *images, const km_gpu *g, const char *bytes, size_t size)
{
    size_t at = 0, n;

    for (; (n = km_fatbin_container(bytes, size, &at)) > 0; at += n)
        if (images->count < KM_IMAGES_MAX &&
            g->cuModuleLoadData(&images->modules[images->count], bytes + at) == 0)
            images->count++;
}

void km_images_add(km_images *images, const km_gpu *g, const char *path)
{
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT; /* dropped: it has no images, then */
    const void *section;
    size_t size, section_size;
    char *data;

    if (km_file_read(&a, path, KM_FILE_BYTES_MAX, &data, &size, &err) == 0 &&
        km_elf_section(data, size, ".nv_fatbin", &section, &section_size, &err) == 0)
        add_all(images, g, section, section_size);
    km_arena_release(&a);
}

bool km_images_have(const km_images *images, const km_gpu *g, const char *kernel)
{
    km_cu_function found;

    for (size_t i = 0; i < images->count; i++)
        if (g->cuModuleGetFunction(&found, images->modules[i], kernel) == 0)
            return true;
    return false;
}
