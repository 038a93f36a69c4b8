#include "pkg/entries.h"

#include <string.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/str.h"
#include "formats/cubin.h"

/* What KM_FUNCTION (kernmill/launch.h) puts before a name, so that it is found here. */
#define MARK "km_function:"

/* The entry points of the plan's device files, by the first machine-code image of each. */
static int read_entries(km_arena *a, const km_plan *p, const char ***names, size_t *count,
                        km_err *err)
{
    *count = 0;
    *names = km_arena_array(a, KM_CUBIN_ENTRIES_MAX + 1, sizeof **names);
    if (!*names)
        return km_fail_nomem(err);
    for (size_t i = 0; i < p->device_count; i++) {
        const km_plan_device *d = &p->devices[i];
        size_t j = 0, size;
        char name[8], *data;
        const char *path;
        while (j < d->archs.count && !d->archs.items[j].cubin)
            j++;
        if (j == d->archs.count)
            continue;
        km_arch_name(&d->archs.items[j], name);
        path = km_arena_printf(a, "%s/image/%s.%s.cubin", p->work_dir, d->stem, name);
        if (!path || km_file_read(a, path, KM_FILE_BYTES_MAX, &data, &size, err) < 0 ||
            km_cubin_entries(a, data, size, path, *names, count, err) < 0)
            return err ? err->code : KM_EIO;
    }
    return 0;
}

/* Every entry point costs load time and size on each architecture: card.toml says how many there
 * may be. */
static int check_budget(const km_plan *p, size_t count, km_err *err)
{
    int64_t budget = p->m->card.entry_points;

    if (!budget || count <= (size_t)budget)
        return 0;
    km_fail(err, KM_EFORMAT, "the library has %zu entry points; card.toml allows %lld", count,
            (long long)budget);
    return km_hint(err, "merge kernels, or raise 'entry-points' in card.toml");
}

static int check_launched(const km_plan *p, const char *name, const char **names, size_t count,
                          km_err *err)
{
    const char *near;

    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return 0;
    names[count] = NULL; /* there is room */
    near = km_nearest(name, names);
    km_fail(err, KM_EFORMAT, "KM_FUNCTION(\"%s\") names an entry point that no device file has",
            name);
    if (near)
        return km_hint(err, "did you mean \"%s\"?", near);
    return km_hint(err, "an entry point is declared extern \"C\" __global__; %s has %zu",
                   p->m->name, count);
}

/* The names marked in the library, which has them as terminated strings. */
static int check_all_launched(km_arena *a, const km_plan *p, const char **names, size_t count,
                              km_err *err)
{
    const char *library = p->products[KM_FLAVOR_CUDA].wheel_library, *at;
    size_t size;
    char *data;

    if (km_file_read(a, library, KM_FILE_BYTES_MAX, &data, &size, err) < 0)
        return err ? err->code : KM_EIO;
    for (at = data; (at = memmem(at, size - (size_t)(at - data), MARK, strlen(MARK))) != NULL;) {
        at += strlen(MARK);
        if (!memchr(at, 0, size - (size_t)(at - data)))
            break;
        if (check_launched(p, at, names, count, err) < 0)
            return KM_EFORMAT;
    }
    return 0;
}

int km_entries_check(const km_plan *p, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char **names;
    size_t count;
    int rc;

    if (!p->products[KM_FLAVOR_CUDA].built || !p->device_count)
        return 0;
    rc = read_entries(&a, p, &names, &count, err);
    if (rc == 0)
        rc = check_budget(p, count, err);
    if (rc == 0 && count) /* PTX alone is not read */
        rc = check_all_launched(&a, p, names, count, err);
    km_arena_release(&a);
    return rc;
}
