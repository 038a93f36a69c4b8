#include "pkg/package_digest.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"

bool km_package_leaves_out(const char *name)
{
    return strcmp(name, "metadata.json") == 0 || strcmp(name, "metadata.json.sigstore") == 0 ||
           strstr(name, "__pycache__") || km_ends_with(name, ".pyc");
}

static int add_file(km_arena *a, const char *dir, const char *name, km_hasher *h,
                    km_package_digest *out, km_err *err)
{
    const char *path = km_path_join(a, dir, name);
    km_package_library *library = &out->libraries[out->library_count];
    km_sha256 content;

    if (!path)
        return km_fail_nomem(err);
    if (km_hash_file(path, &content, err) < 0)
        return err ? err->code : KM_EIO;
    km_hasher_add_text(h, name);
    km_hasher_add(h, content.bytes, sizeof content.bytes);
    if (!km_ends_with(name, ".so"))
        return 0;
    if (out->library_count == KM_LIBRARIES_MAX)
        return km_fail(err, KM_ELIMIT, "'%s' has more than %d libraries", dir, KM_LIBRARIES_MAX);
    library->name = name;
    km_hash_hex(&content, library->sha256);
    out->library_count++;
    return 0;
}

int km_package_digest_read(km_arena *a, const char *dir, km_package_digest *out, km_err *err)
{
    km_names names;
    km_sha256 all;
    km_hasher h;
    int rc = km_dir_walk(a, dir, &names, err);

    if (rc < 0)
        return rc;
    *out = (km_package_digest){ .libraries = km_arena_array(a, KM_LIBRARIES_MAX + 1,
                                                            sizeof *out->libraries) };
    if (!out->libraries)
        return km_fail_nomem(err);
    km_hasher_init(&h);
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        if (!km_package_leaves_out(names.names[i]))
            rc = add_file(a, dir, names.names[i], &h, out, err);
    if (rc < 0)
        km_hasher_final(&h, &all, NULL);
    else
        rc = km_hasher_final(&h, &all, err);
    if (rc == 0)
        km_hash_hex(&all, out->sha256);
    return rc;
}
