/* cli/cmd_report.c: kernmill report RECORD: a record as plots and as one HTML file. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/read_record.h"
#include "core/file.h"
#include "core/path.h"
#include "record/page.h"
#include "record/record.h"

typedef struct {
    km_common common;
    const char *output;
} report_fields;

static const km_opt options[] = {
    KM_OPT_TEXT("output", 'o', "DIR", report_fields, output,
                "where to write (default: the record's name without .jsonl)"),
    KM_OPT_END,
};

static int print(const report_fields *f, const km_plots *plots, const char *page, km_err *err)
{
    json_t *files = json_array();

    if (!f->common.json) {
        for (size_t i = 0; i < plots->count; i++)
            printf("%s\n%s\n", plots->plots[i].svg, plots->plots[i].png);
        puts(page);
        json_decref(files);
        return 0;
    }
    for (size_t i = 0; i < plots->count; i++)
        json_array_append_new(files,
                              json_pack("{s:s,s:s,s:s}", "title", plots->plots[i].title, "svg",
                                        plots->plots[i].svg, "png", plots->plots[i].png));
    return km_print_json(
        json_pack("{s:i,s:s,s:o}", "schema", KM_JSON_SCHEMA, "page", page, "plots", files), err);
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    report_fields *f = fields;
    km_arena a = KM_ARENA_INIT;
    json_t *cells = NULL;
    km_plots plots = { 0 };
    const char *folder = NULL, *page = NULL;
    int rc = km_check_args(arg_count, 1, 1, err);

    if (rc == 0)
        rc = km_read_record(&f->common, args[0], &cells, err);
    if (rc == 0) {
        folder = f->output ? f->output : km_record_folder(&a, args[0]);
        page = folder ? km_path_join(&a, folder, "index.html") : NULL;
        rc = page ? km_dir_make(folder, err) : km_fail_nomem(err);
    }
    if (rc == 0)
        rc = km_plot_record(&a, cells, folder, &plots, err);
    if (rc == 0)
        rc = km_page_write(cells, &plots, page, err);
    if (rc == 0)
        rc = print(f, &plots, page, err);
    json_decref(cells);
    km_arena_release(&a);
    return rc;
}

extern const km_command km_cmd_report;
const km_command km_cmd_report = {
    .name = "report",
    .help = "draw a record of bench: plots, and one HTML file",
    .args = "RECORD",
    .more = "Wants gnuplot. Writes plots.gp, an SVG and a PNG of each plot, and index.html, which\n"
            "holds the plots and needs no other file.",
    .options = options,
    .fields_size = sizeof(report_fields),
    .run = run,
};
