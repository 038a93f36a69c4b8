/* record/plot.h: plots of a record by gnuplot: for each operator its times, its share of the speed
 * of light (on a GPU), and the ratio of each call to the first, over the cells in the order of
 * their bytes. Medians with 95 % intervals. */
#ifndef KERNMILL_RECORD_PLOT_H
#define KERNMILL_RECORD_PLOT_H

#include <jansson.h>

#include "core/arena.h"
#include "core/err.h"

typedef struct {
    const char *title;
    const char *svg, *png; /* paths */
} km_plot;

typedef struct {
    km_plot *plots; /* in the arena, as are their texts */
    size_t count;
} km_plots;

/* An operator's name as its plots' files have it (NAME-time.svg, NAME-share.svg, NAME-ratio.svg):
 * letters, digits and '-', all else '_'. In the arena; NULL when there is no memory. */
const char *km_plot_name(km_arena *a, const char *op);

/* Writes DIR/plots.gp and what gnuplot makes of it, two files a plot; DIR exists. Errors: KM_EENV
 * when there is no gnuplot, with the line to type; KM_ECHILD with its message. */
int km_plot_record(km_arena *a, const json_t *cells, const char *folder, km_plots *out,
                   km_err *err);

#endif
