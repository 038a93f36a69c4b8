/* Runs a fuzz target once over every file of the folders named on the command line: how the corpus,
 * old finds included, becomes part of the ordinary tests. */
#include <stdint.h>
#include <stdio.h>

#include "core/file.h"
#include "core/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *dir)
{
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_names names;
    int rc = km_dir_list(&a, dir, &names, &err);

    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        char *data, *path = km_path_join(&a, dir, names.names[i]);
        size_t size;
        rc = km_file_read(&a, path, KM_FILE_BYTES_MAX, &data, &size, &err);
        if (rc == 0)
            LLVMFuzzerTestOneInput((const uint8_t *)data, size);
    }
    if (rc < 0)
        fprintf(stderr, "%s\n", err.message);
    else
        printf("%s: %zu inputs\n", dir, names.count);
    km_arena_release(&a);
    return rc < 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    return failed;
}
