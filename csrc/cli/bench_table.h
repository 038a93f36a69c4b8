/* cli/bench_table.h: a measured cell for people: one line a call, within 100 columns. */
#ifndef KERNMILL_CLI_BENCH_TABLE_H
#define KERNMILL_CLI_BENCH_TABLE_H

#include <jansson.h>

/* Prints the document of a cell (bench/report.h) to stdout. */
void km_bench_print(const json_t *cell);

#endif
