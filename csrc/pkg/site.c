#include "pkg/site.h"

#include "core/path.h"
#include "core/str.h"

int km_site_packages(km_arena *a, const char *prefix, km_names *out, km_err *err)
{
    static const char *const kinds[] = { "site-packages", "dist-packages" };
    const char *lib = prefix ? km_path_join(a, prefix, "lib") : NULL;
    km_names names;

    *out = (km_names){ 0 };
    if (!lib || km_dir_list(a, lib, &names, NULL) < 0)
        return 0;
    out->names = km_arena_array(a, 2 * names.count + 1, sizeof *out->names);
    if (!out->names)
        return km_fail_nomem(err);
    for (size_t i = 0; i < names.count; i++)
        for (size_t k = 0; km_starts_with(names.names[i], "python3") && k < 2; k++) {
            char *site = km_arena_printf(a, "%s/%s/%s", lib, names.names[i], kinds[k]);
            if (!site)
                return km_fail_nomem(err);
            if (km_dir_exists(site))
                out->names[out->count++] = site;
        }
    return 0;
}
