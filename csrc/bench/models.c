#include "bench/models.h"

#include <math.h>
#include <string.h>

#include "core/limits.h"

/* ---- a table of a suite ---- */

enum { SIZES = 6 };

static size_t sizes_of(const km_model *m, km_variable *out)
{
    const km_variable all[SIZES] = { { "hidden", m->hidden },     { "heads", m->heads },
                                     { "kv_heads", m->kv_heads }, { "head_dim", m->head_dim },
                                     { "mlp", m->mlp },           { "vocab", m->vocab } };
    size_t n = 0;

    for (size_t i = 0; i < SIZES; i++)
        if (all[i].value > 0)
            out[n++] = all[i];
    return n;
}

static const km_model *find(const km_toml *name)
{
    const km_model *m = km_models;

    while (m->name && (name->kind != KM_TOML_STRING || strcmp(m->name, name->string.data) != 0))
        m++;
    return m->name ? m : NULL;
}

static int hint_names(km_err *err)
{
    const char *names[64] = { NULL };

    for (size_t i = 0; km_models[i].name && i + 1 < sizeof names / sizeof *names; i++)
        names[i] = km_models[i].name;
    return km_fields_hint_names(names, err);
}

/* The entries of the axis `i`, or NULL. */
static const km_toml *entries_of(const km_suite_op *op, const km_toml *table, size_t i)
{
    const km_toml *entries = km_toml_get(table, op->axes[i]);

    return entries && entries->kind == KM_TOML_ARRAY && entries->array.count ? entries : NULL;
}

/* A key is `names` or an axis. */
static int check_keys(const km_fields *f, const km_suite_op *op, const km_toml *table, km_err *err)
{
    for (size_t k = 0; k < table->table.count; k++) {
        const km_toml_entry *e = &table->table.entries[k];
        size_t i = 0;
        while (i < op->axis_count && strcmp(op->axes[i], e->key) != 0)
            i++;
        if (i == op->axis_count && strcmp(e->key, "names") != 0)
            return km_fields_fail(f, e->value, err, "'%s' is no axis of '%s'", e->key, op->name);
    }
    return 0;
}

int km_models_count(const km_fields *f, const km_suite_op *op, const km_toml *table, size_t *count,
                    km_err *err)
{
    const km_toml *names = km_toml_get(table, "names");

    if (!names || names->kind != KM_TOML_ARRAY)
        return km_fields_fail(f, table, err, "'models' wants names = [...]");
    for (size_t i = 0; i < names->array.count; i++)
        if (!find(names->array.items[i])) {
            const km_toml *name = names->array.items[i];
            km_fields_fail(f, name, err, "'%s' is no known model",
                           name->kind == KM_TOML_STRING ? name->string.data : "this");
            return hint_names(err);
        }
    if (check_keys(f, op, table, err) < 0)
        return KM_EFORMAT;
    *count = names->array.count;
    for (size_t i = 0; i < op->axis_count; i++) {
        const km_toml *entries = entries_of(op, table, i);
        if (!entries)
            return km_fields_fail(f, table, err, "'models' wants entries for the axis '%s'",
                                  op->axes[i]);
        if (*count > KM_CELLS_MAX / entries->array.count)
            return km_fields_fail(f, table, err, "'models' stands for more than %d shapes",
                                  KM_CELLS_MAX);
        *count *= entries->array.count;
    }
    return 0;
}

static int take_entry(const km_fields *f, const km_model *m, const km_toml *entry, double *out,
                      km_err *err)
{
    km_variable sizes[SIZES];
    size_t n = sizes_of(m, sizes);
    km_err why = KM_ERR_INIT;

    if (entry->kind == KM_TOML_INT)
        *out = (double)entry->integer;
    else if (entry->kind != KM_TOML_STRING)
        return km_fields_fail(f, entry, err, "an entry is a number or an expression");
    else if (km_expr_value(entry->string.data, sizes, n, out, &why) < 0)
        return km_fields_fail(f, entry, err, "for %s: %s", m->name, why.message);
    if (*out < 0 || *out != floor(*out) || *out > 0x1p48)
        return km_fields_fail(f, entry, err, "for %s: %g is no size of an axis", m->name, *out);
    return 0;
}

/* Whether the last shape stands among those before it. */
static bool is_known(const km_suite_op *op)
{
    const double *last = op->shapes + op->shape_count * op->axis_count;

    for (size_t i = 0; i < op->shape_count; i++)
        if (memcmp(op->shapes + i * op->axis_count, last, op->axis_count * sizeof *last) == 0)
            return true;
    return false;
}

static int add_model(const km_fields *f, km_suite_op *op, const km_toml *table, const km_model *m,
                     size_t total, km_err *err)
{
    for (size_t n = 0; n < total; n++) {
        double *shape = op->shapes + op->shape_count * op->axis_count;
        size_t rest = n;
        for (size_t i = op->axis_count; i-- > 0;) { /* the last axis varies fastest */
            const km_toml_array *entries = &entries_of(op, table, i)->array;
            if (take_entry(f, m, entries->items[rest % entries->count], &shape[i], err) < 0)
                return KM_EFORMAT;
            rest /= entries->count;
        }
        op->shape_count += !is_known(op);
    }
    return 0;
}

int km_models_add(const km_fields *f, km_suite_op *op, const km_toml *table, km_err *err)
{
    const km_toml_array *names = &km_toml_get(table, "names")->array;
    size_t total = 0;

    if (km_models_count(f, op, table, &total, err) < 0)
        return KM_EFORMAT;
    for (size_t i = 0; i < names->count; i++)
        if (add_model(f, op, table, find(names->items[i]), total / names->count, err) < 0)
            return KM_EFORMAT;
    return 0;
}

/* ---- the models ---- */

/* By their config.json on the Hub, or what stands for it in the project's own code; DeepSeek-V3's
 * head_dim is that of its values, Gemma 3's vocabulary that of its Hugging Face checkpoints. */
const km_model km_models[] = {
    { "Qwen3-0.6B", 1024, 16, 8, 128, 3072, 151936 },
    { "Qwen3-4B", 2560, 32, 8, 128, 9728, 151936 },
    { "Qwen3-8B", 4096, 32, 8, 128, 12288, 151936 },
    { "Qwen3-32B", 5120, 64, 8, 128, 25600, 151936 },
    { "Llama-3.1-8B", 4096, 32, 8, 128, 14336, 128256 },
    { "Llama-3.1-70B", 8192, 64, 8, 128, 28672, 128256 },
    { "Gemma-2-2B", 2304, 8, 4, 256, 9216, 256000 },
    { "Gemma-2-9B", 3584, 16, 8, 256, 14336, 256000 },
    { "Gemma-3-4B", 2560, 8, 4, 256, 10240, 262208 },
    { "Gemma-3-27B", 5376, 32, 16, 128, 21504, 262208 },
    { "DeepSeek-V3", 7168, 128, 128, 128, 18432, 129280 },
    { "gpt-oss-20b", 2880, 64, 8, 64, 2880, 201088 },
    { "LTX-Video", 2048, 32, 32, 64, 8192, 0 },
    { "FLUX.1-dev", 3072, 24, 24, 128, 12288, 0 },
    { "HunyuanVideo", 3072, 24, 24, 128, 12288, 0 },
    { "Wan2.2-5B", 3072, 24, 24, 128, 14336, 0 },
    { "Wan2.2-A14B", 5120, 40, 40, 128, 13824, 0 },
    { "BERT-base", 768, 12, 12, 64, 3072, 30522 },
    { "ViT-B/16", 768, 12, 12, 64, 3072, 0 },
    { "ViT-L/16", 1024, 16, 16, 64, 4096, 0 },
    { "ViT-H/14", 1280, 16, 16, 80, 5120, 0 },
    { "SigLIP-so400m", 1152, 16, 16, 72, 4304, 32000 },
    { NULL, 0, 0, 0, 0, 0, 0 },
};
