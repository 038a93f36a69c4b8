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

    for (int f = 0; f < KM_FLAVOR_COUNT; f++)
        for (const char *const *v = p->products[f].variants; p->products[f].built && *v; v++) {
            const char *to = km_arena_printf(a, "%s/build/%s", r->hub_dir, *v);
            if (!to || copy_tree(a, km_stage_hub_dir(a, p, *v), to, err) < 0)
                return KM_EIO;
        }
    return 0;
}

static int write_card(const km_card_inputs *inputs, km_pack_result *r, km_err *err)
{
    km_str text = KM_STR_INIT;
    int rc;

    r->card = km_path_join(&r->arena, r->hub_dir, "README.md");
    rc = r->card ? km_card_write(inputs, &r->cells, &text, err) : km_fail_nomem(err);
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

    for (size_t i = 0; rc == 0 && i < r->wheel_count; i++) {
        rc = km_file_read(&r->arena, r->wheels[i], KM_FILE_BYTES_MAX, &data, &size, err);
        if (rc == 0)
            rc = km_check_wheel(&r->findings, data, size, r->wheels[i], err);
    }
    if (rc == 0 && r->findings.errors)
        rc = km_fail(err, KM_ECHILD, "the build is not fit to ship: %s: %s",
                     r->findings.items[0].place, r->findings.items[0].message);
    return rc;
}

static int pack_plan(const km_plan *p, const char *out_dir, km_pack_result *r, km_err *err)
{
    int rc = km_wheel_write(&r->arena, p, out_dir, false, &r->wheels[r->wheel_count], err);

    if (rc < 0)
        return rc;
    r->wheel_count++;
    return copy_variants(p, r, err);
}

int km_pack(const km_plan *plans, size_t count, const char *out_dir, const char *records,
            const char *tests, km_pack_result *r, km_err *err)
{
    km_card_inputs inputs = { .plans = plans, .count = count, .records = records, .tests = tests };
    const char *build;
    int rc;

    *r = (km_pack_result){ 0 };
    rc = km_dir_make(out_dir, err);
    if (rc < 0)
        return rc;
    r->hub_dir = km_path_join(&r->arena, out_dir, plans[0].m->name);
    build = r->hub_dir ? km_path_join(&r->arena, r->hub_dir, "build") : NULL;
    if (!build)
        return km_fail_nomem(err);
    rc = km_dir_make(r->hub_dir, err);
    if (rc == 0)
        rc = km_dir_remove(build, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = pack_plan(&plans[i], out_dir, r, err);
    inputs.hub_dir = r->hub_dir;
    inputs.wheels = r->wheels;
    if (rc == 0)
        rc = write_card(&inputs, r, err);
    return rc == 0 ? check_all(r, err) : rc;
}

void km_pack_result_release(km_pack_result *r)
{
    km_findings_release(&r->findings);
    km_arena_release(&r->arena);
    *r = (km_pack_result){ 0 };
}
