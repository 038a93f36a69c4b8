#include "pkg/stale.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"

static bool is_younger(const char *path, const struct timespec *than)
{
    struct stat s;

    return stat(path, &s) == 0 &&
           (s.st_mtim.tv_sec > than->tv_sec ||
            (s.st_mtim.tv_sec == than->tv_sec && s.st_mtim.tv_nsec > than->tv_nsec));
}

/* What a library is compiled from; tests, suites and cards are not. */
static bool is_source(const char *name)
{
    static const char *const ends[] = { ".c", ".h", ".cc", ".cpp", ".cu", ".cuh", "build.toml" };

    if (km_starts_with(name, "tests/") || km_starts_with(name, "benchmarks/"))
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (km_ends_with(name, ends[i]))
            return true;
    return false;
}

static const char *younger_in(km_arena *a, const char *root, const char *folder,
                              const struct timespec *than)
{
    const char *path = km_path_join(a, root, folder);
    km_names names;

    if (!path || !km_dir_exists(path) || km_dir_walk(a, path, &names, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = km_path_join(a, folder, names.names[i]);
        const char *file = km_path_join(a, path, names.names[i]);
        if (name && file && is_source(name) && is_younger(file, than))
            return name;
    }
    return NULL;
}

const char *km_stale_source(km_arena *a, const char *repository)
{
    const char *mark = km_path_join(a, repository, "build/" KM_BUILD_MARK);
    struct stat s;
    km_names names;

    if (!mark || stat(mark, &s) != 0 || km_dir_list(a, repository, &names, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i], *path = km_path_join(a, repository, name), *found;
        if (path && is_source(name) && is_younger(path, &s.st_mtim))
            return name;
        if (*name == '.' || strcmp(name, "build") == 0)
            continue;
        found = younger_in(a, repository, name, &s.st_mtim);
        if (found)
            return found;
    }
    return NULL;
}
