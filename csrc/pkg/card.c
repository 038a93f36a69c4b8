#include "pkg/card.h"

#include "core/file.h"
#include "core/path.h"
#include "core/template.h"
#include "pkg/card_parts.h"

static void join(km_str *out, const km_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        km_str_printf(out, "%s`%s`", i ? ", " : "", list->items[i]);
}

int km_card_text(const km_plan *p, km_str *out, km_err *err)
{
    const km_manifest *m = p->m;
    km_arena a = KM_ARENA_INIT;
    km_str functions = KM_STR_INIT, layers = KM_STR_INIT;
    const char *path = km_path_join(&a, m->dir, "CARD.md");
    const char *version = km_arena_printf(&a, "%lld", (long long)m->version);
    int rc = path && version ? 0 : km_fail_nomem(err);

    join(&functions, &m->card.operators);
    join(&layers, &m->card.layers);
    if (rc == 0) {
        const km_template_value values[] = { { "repo_id", m->repo_id ? m->repo_id : m->name },
                                             { "name", m->name },
                                             { "version", version },
                                             { "license", m->license },
                                             { "upstream", m->upstream ? m->upstream : "" },
                                             { "source", m->source ? m->source : "" },
                                             { "functions", functions.data },
                                             { "layers", layers.data },
                                             { NULL, NULL } };
        if (km_file_exists(path))
            rc = km_template_expand_file(path, values, out, err);
        else
            km_str_printf(out, "---\nlibrary_name: kernels\nlicense: %s\n---\n# %s\n\n%s\n",
                          m->license, m->name, m->card.summary ? m->card.summary : "");
    }
    km_str_release(&functions);
    km_str_release(&layers);
    km_arena_release(&a);
    return rc == 0 ? km_str_check(out, err) : rc;
}

int km_card_write(const km_card_inputs *inputs, km_card_cells *cells, km_str *out, km_err *err)
{
    const km_plan *first = &inputs->plans[0];
    km_arena a = KM_ARENA_INIT;
    const char *record = km_path_join(&a, inputs->hub_dir, "tests.json");
    km_card_files files;
    int rc = km_card_files_read(&files, inputs, err);

    if (rc == 0)
        rc = km_card_text(first, out, err);
    if (rc == 0) {
        km_card_add_glance(first->m, out);
        km_card_add_install(&files, out);
        km_card_add_needs(&files, out);
        km_card_add_tests(&files, out);
        rc = record ? km_card_write_tests(&files, record, err) : km_fail_nomem(err);
    }
    if (rc == 0)
        rc = km_card_speed(inputs->plans, inputs->count, inputs->records, inputs->hub_dir, cells,
                           out, err);
    if (rc == 0) {
        km_card_add_build(&files, out);
        cells->runs_shown = km_card_own_runs(&files);
        cells->runs_others = files.runs.count - cells->runs_shown;
    }
    km_card_files_release(&files);
    km_arena_release(&a);
    return rc == 0 ? km_str_check(out, err) : rc;
}
