/* TOML from memory: no crash, and a tree that keeps what toml.h promises. */
#include <stdlib.h>
#include <string.h>

#include "formats/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const km_toml *v, unsigned depth)
{
    if (depth > KM_TOML_DEPTH_MAX || !v->line || !v->column)
        abort();
    if (v->kind == KM_TOML_STRING || v->kind == KM_TOML_DATETIME) {
        if (v->string.data[v->string.length] != '\0')
            abort();
    } else if (v->kind == KM_TOML_ARRAY) {
        for (size_t i = 0; i < v->array.count; i++)
            walk(v->array.items[i], depth + 1);
    } else if (v->kind == KM_TOML_TABLE) {
        for (size_t i = 0; i < v->table.count; i++) {
            const km_toml_entry *e = &v->table.entries[i];
            if (strlen(e->key) == e->key_length && km_toml_get(v, e->key) != e->value)
                abort();
            walk(e->value, depth + 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_toml *doc;

    if (km_toml_parse(&a, (const char *)data, size, "fuzz", &doc, &err) == 0)
        walk(doc, 0);
    else if (!err.message[0] || doc)
        abort();
    km_arena_release(&a);
    return 0;
}
