/* Loads a built library of kernels/rmsnorm, the file that is shipped, with the mock in torch's
 * place, and calls
 * `_rms_norm_fwd` of bytes from stdin:
 *
 *     drive_host LIBRARY DTYPE ROWS COLUMNS ROUNDING < x and weight, one after the other > y
 *
 * DTYPE counts as the mock's (1 float32, 2 float16, 3 bfloat16). With COLUMNS 0 the weight is one
 * element too long, and the error's text is printed. Nothing may live afterwards. It runs on
 * another processor by emulation, too. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mock_torch.h"

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static void load(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL), *found;
    const char *(*status_text)(void);

    must(handle != NULL, handle ? "" : dlerror());
    found = dlsym(handle, "km_status_text");
    must(found != NULL, "no km_status_text");
    memcpy(&status_text, &found, sizeof found);
    must(!*status_text(), status_text());
}

static km_slot read_tensor(int32_t dtype, int64_t rows, int64_t columns)
{
    const int64_t sizes[] = { rows, columns }, strides[] = { columns, 1 };
    const int flat = rows == 0; /* a weight */
    size_t bytes = (size_t)(flat ? columns : rows * columns) * (dtype == 1 ? 4 : 2);
    km_torch_tensor h;
    int64_t numel;

    must(aoti_torch_empty_strided(2 - flat, sizes + flat, strides + flat, MOCK_FIRST_DTYPE + dtype,
                                  MOCK_CPU, 0, &h) == 0,
         "no tensor");
    must(fread((void *)(uintptr_t)mock_data((km_slot)(uintptr_t)h, &numel), 1, bytes, stdin) ==
             bytes,
         "stdin is too short");
    return (km_slot)(uintptr_t)h;
}

static km_slot number(double value)
{
    km_slot slot;

    memcpy(&slot, &value, sizeof slot);
    return slot;
}

int main(int argc, char **argv)
{
    must(argc == 6, "usage: drive_host LIBRARY DTYPE ROWS COLUMNS ROUNDING");
    int32_t dtype = atoi(argv[2]);
    int64_t rows = atoll(argv[3]), columns = atoll(argv[4]), numel;
    bool wrong = columns == 0;

    load(argv[1]);
    columns += 3 * wrong;
    km_slot x = read_tensor(dtype, rows, columns);
    km_slot weight = read_tensor(dtype, 0, columns + wrong);
    km_slot slots[] = { x, mock_new_cell(weight), number(1e-6), mock_new_string(argv[5]),
                        number(0.0) };

    if (mock_call("_rms_norm_fwd", false, slots, 5, 1)) {
        printf("%s\n", mock_error);
    } else {
        const void *y = mock_data(slots[0], &numel);
        fwrite(y, dtype == 1 ? 4 : 2, (size_t)numel, stdout);
        mock_delete_result(slots[0]);
    }
    must(!(mock_live.handles | mock_live.tensors | mock_live.strings | mock_live.cells),
         "something lives on");
    return 0;
}
