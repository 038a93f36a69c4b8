/* bench/models.h: sizes of known models, so that a suite can name them instead of numbers:
 *
 *     axes = { rows = [], columns = [] }
 *     models = { names = ["Qwen3-8B", "Gemma-2-9B"], rows = [1, "2048 * heads"], columns =
 * ["head_dim"] }
 *
 * For each model every combination of the axes' entries: numbers, or expressions (bench/expr.h) of
 * the model's sizes. A shape that several models have is measured once. `kernmill bench --models`
 * prints the table. */
#ifndef KERNMILL_BENCH_MODELS_H
#define KERNMILL_BENCH_MODELS_H

#include "bench/suite.h"

/* Sizes as the models' published configurations have them; 0: the model has none. */
typedef struct {
    const char *name;
    double hidden;   /* the width of the residual stream */
    double heads;    /* query heads of a layer */
    double kv_heads; /* key and value heads of a layer */
    double head_dim;
    double mlp; /* the width within a dense MLP */
    double vocab;
} km_model;

extern const km_model km_models[]; /* ends with a NULL name */

/* How many shapes a suite's `models` table stands for at most. Errors: KM_EFORMAT with its place
 * (no such model, an axis that the operator has not). */
int km_models_count(const km_fields *f, const km_suite_op *op, const km_toml *table, size_t *count,
                    km_err *err);

/* Appends those shapes to op->shapes, which has room for them. Errors: KM_EFORMAT with its place
 * (an expression that is no size of one of the models). */
int km_models_add(const km_fields *f, km_suite_op *op, const km_toml *table, km_err *err);

#endif
