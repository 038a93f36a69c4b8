/* record/page.h: a record as one HTML file that needs nothing beside it: what was measured on, the
 * plots, and a table of every cell. */
#ifndef KERNMILL_RECORD_PAGE_H
#define KERNMILL_RECORD_PAGE_H

#include "record/plot.h"

/* Writes `path`; the plots' SVG files are read and set into it. Errors: KM_EIO, KM_ELIMIT. */
int km_page_write(const json_t *cells, const km_plots *plots, const char *path, km_err *err);

#endif
