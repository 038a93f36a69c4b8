#include "pkg/compile_flags.h"

#include "core/path.h"

const char **km_include_dirs(km_arena *a, const km_plan *p, const km_kernel_section *k)
{
    const km_list *list = k ? &k->include : &p->m->torch_include;
    const char **dirs = km_arena_array(a, list->count + 2, sizeof *dirs);
    size_t n = 0;

    if (!dirs)
        return NULL;
    for (size_t i = 0; i < list->count; i++)
        dirs[n++] = km_path_join(a, p->m->dir, list->items[i]);
    dirs[n++] = p->home.include;
    return dirs;
}
