#include "pkg/pack.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/card.h"
#include "pkg/stage.h"
#include "pkg/wheel.h"

static int copy_tree(km_arena *a, const char *from, const char *to, km_err *err)
{
    km_names names;

    if (km_dir_remove(to, err) < 0 || km_dir_walk(a, from, &names, err) < 0)
        return KM_EIO;
    for (size_t i = 0; i < names.count; i++) {
        const char *source = km_path_join(a, from, names.names[i]);
        const char *target = km_path_join(a, to, names.names[i]);
        if (strstr(names.names[i], "__pycache__"))
            continue;
        if (!source || !target)
            return km_fail_nomem(err);
        if (km_dir_make(km_path_dir(a, target), err) < 0 || km_file_copy(source, target, err) < 0)
            return KM_EIO;
    }
    return 0;
}

static int copy_variants(const km_plan *p, km_pack_result *r, km_err *err)
{
    km_arena *a = &r->arena;
    const char *build = km_path_join(a, r->hub_dir, "build");

    if (!build || km_dir_remove(build, err) < 0)
        return KM_EIO;
    for (int f = 0; f < KM_FLAVOR_COUNT; f++)
        for (const char *const *v = p->products[f].variants; p->products[f].built && *v; v++) {
            const char *to = km_path_join(a, build, *v);
            if (!to || copy_tree(a, km_stage_hub_dir(a, p, *v), to, err) < 0)
                return KM_EIO;
        }
    return 0;
}

static int write_card(const km_plan *p, const char *records, const char *tests, km_pack_result *r,
                      km_err *err)
{
    km_card_inputs inputs = {
        .hub_dir = r->hub_dir, .wheel = r->wheel, .records = records, .tests = tests
    };
    km_str text = KM_STR_INIT;
    int rc;

    r->card = km_path_join(&r->arena, r->hub_dir, "README.md");
    rc = r->card ? km_card_write(p, &inputs, &r->cells, &text, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_file_update(r->card, text.data, text.length, 0644, err);
    km_str_release(&text);
    return rc;
}

static int check_all(km_pack_result *r, km_err *err)
{
    size_t size;
    char *data;
    int rc = km_check(&r->findings, r->hub_dir, err);

    if (rc == 0)
        rc = km_file_read(&r->arena, r->wheel, KM_FILE_BYTES_MAX, &data, &size, err);
    if (rc == 0)
        rc = km_check_wheel(&r->findings, data, size, r->wheel, err);
    if (rc == 0 && r->findings.errors)
        rc = km_fail(err, KM_ECHILD, "the build is not fit to ship: %s: %s",
                     r->findings.items[0].place, r->findings.items[0].message);
    return rc;
}

int km_pack(const km_plan *p, const char *out_dir, const char *records, const char *tests,
            km_pack_result *r, km_err *err)
{
    int rc;

    *r = (km_pack_result){ 0 };
    rc = km_dir_make(out_dir, err);
    if (rc < 0)
        return rc;
    r->hub_dir = km_path_join(&r->arena, out_dir, p->m->name);
    if (!r->hub_dir)
        return km_fail_nomem(err);
    rc = km_dir_make(r->hub_dir, err);
    if (rc == 0)
        rc = km_wheel_write(&r->arena, p, out_dir, false, &r->wheel, err);
    if (rc == 0)
        rc = copy_variants(p, r, err);
    if (rc == 0)
        rc = write_card(p, records, tests, r, err);
    return rc == 0 ? check_all(r, err) : rc;
}

void km_pack_result_release(km_pack_result *r)
{
    km_findings_release(&r->findings);
    km_arena_release(&r->arena);
    *r = (km_pack_result){ 0 };
}
