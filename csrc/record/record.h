/* record/record.h: reading a record of `kernmill bench`: JSON Lines, a cell each, and what a cell
 * says. Cells and calls are jansson's; a call belongs to the cell that it is given with.
 *
 * Of a call's columns one is what counts: `cold` on a GPU, `call` on a CPU. */
#ifndef KERNMILL_RECORD_RECORD_H
#define KERNMILL_RECORD_RECORD_H

#include <jansson.h>
#include <stdbool.h>

#include "core/arena.h"
#include "core/err.h"

/* The cells of a record, a JSON array; of a cell that was measured several times the last. Lines
 * that are no cells, as one that was cut off by a crash, are counted in `skipped` (may be NULL) and
 * left out. Errors: KM_ENOENT, KM_EIO; KM_EFORMAT when no line is a
 * cell. */
int km_record_read(const char *path, json_t **cells, size_t *skipped, km_err *err);

/* Where `kernmill report` writes what it makes of a record: its path without .jsonl, or with
 * -report behind it. In the arena; NULL when there is no memory. */
const char *km_record_folder(km_arena *a, const char *path);

/* The cell for the same operator, shape, dtype and device, or NULL; `at` (may be NULL) is its
 * place. */
const json_t *km_record_find(const json_t *cells, const json_t *like, size_t *at);

bool km_record_on_gpu(const json_t *cell);

/* "rms_norm rows=1 columns=4096 bfloat16 cuda", and "rows=1 columns=4096". In the arena; NULL when
 * there is no memory. */
const char *km_record_cell_text(km_arena *a, const json_t *cell);
const char *km_record_shape_text(km_arena *a, const json_t *cell);

/* The call of that name, or NULL. */
const json_t *km_record_call(const json_t *cell, const char *name);

bool km_record_is_right(const json_t *call);

/* The name of the column that counts, and that column of a call (NULL: it was not timed). */
const char *km_record_column_name(const json_t *cell);
const json_t *km_record_column(const json_t *cell, const json_t *call);

/* The best median of the calls that are right, of the column that counts; 0: there is none. */
double km_record_best_us(const json_t *cell);

/* The samples of the rounds that count, of both columns: `a` and `b` have room for
 * KM_BENCH_ROUNDS_MAX. Returns how many. */
size_t km_record_paired(const json_t *cell, const json_t *column, const json_t *other, double *a,
                        double *b);

#endif
