#include "hub/get_folder.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "hub/choose.h"
#include "hub/copy.h"
#include "pkg/intact.h"

static int check(const char *path, km_get_result *out, km_err *err)
{
    km_intact intact;
    int rc = km_intact_check(&intact, path, NULL, err);

    if (rc < 0)
        return rc;
    out->file_count = intact.file_count;
    out->size_bytes = intact.size_bytes;
    if (intact.findings.errors) {
        const km_finding *first = &intact.findings.items[0];
        rc = km_fail(err, KM_EFORMAT, "%s: %s", first->place, first->message);
        km_hint(err, "`kernmill verify %s` names all that is wrong", path);
    }
    km_intact_release(&intact);
    return rc;
}

static int copy(km_arena *a, const char *from, const char *output, km_get_result *out, km_err *err)
{
    km_names names = { 0 };
    km_copy *files;
    int rc = km_dir_walk(a, from, &names, err);

    if (rc < 0)
        return rc;
    files = km_arena_array(a, names.count + 1, sizeof *files);
    if (!files)
        return km_fail_nomem(err);
    for (size_t i = 0; i < names.count; i++) {
        files[i] = (km_copy){ km_path_join(a, from, names.names[i]), names.names[i] };
        if (!files[i].from)
            return km_fail_nomem(err);
    }
    return km_copy_out(a, output, files, names.count, &out->path, err);
}

int km_get_folder(km_arena *a, const char *folder, const km_get_request *request,
                  km_get_result *out, km_err *err)
{
    const char *path = folder;
    int rc = 0;

    *out = (km_get_result){ .revision = "", .variant = request->variant };
    if (!km_dir_exists(folder))
        return km_fail(err, KM_ENOENT, "there is no folder '%s'", folder);
    if (!request->variant && !request->all)
        rc = km_choose_from_folder(a, folder, &out->variant, err);
    if (rc == 0 && out->variant) {
        path = km_arena_printf(a, "%s/build/%s", folder, out->variant);
        if (!path)
            return km_fail_nomem(err);
        if (!km_dir_exists(path))
            return km_fail(err, KM_ENOENT, "there is no variant '%s' in '%s'", out->variant,
                           folder);
    }
    if (rc == 0)
        rc = check(path, out, err);
    out->path = path;
    return rc == 0 && request->output ? copy(a, path, request->output, out, err) : rc;
}
