#include "lab/built.h"

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/path.h"

static int add(km_arena *a, const char *folder, const char *name, km_hasher *h, km_err *err)
{
    char *path = km_path_join(a, folder, name);
    struct stat st;

    if (!path)
        return km_fail_nomem(err);
    if (lstat(path, &st) < 0)
        return km_fail_errno(err, errno, "unable to look at '%s'", path);
    const int64_t said[] = { (int64_t)st.st_ino,         st.st_mode,         st.st_size,
                             st.st_mtim.tv_sec,          st.st_mtim.tv_nsec, st.st_ctim.tv_sec,
                             (int64_t)st.st_ctim.tv_nsec };
    km_hasher_add_text(h, name);
    km_hasher_add(h, said, sizeof said);
    return 0;
}

int km_built_stamp(const char *folder, km_sha256 *out, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_names names;
    km_hasher h;
    int rc = km_dir_walk_any(&a, folder, &names, err);

    if (rc == 0) {
        km_hasher_init(&h);
        for (size_t i = 0; rc == 0 && i < names.count; i++)
            rc = add(&a, folder, names.names[i], &h, err);
        if (km_hasher_final(&h, out, rc < 0 ? NULL : err) < 0 && rc == 0)
            rc = KM_EIO;
    }
    km_arena_release(&a);
    return rc;
}
