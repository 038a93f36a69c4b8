/* Ledgers of other labs, line by line, with quotes and without: no crash, and what was read is read
 * again when it was written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/tsv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The record that `t` is at, written and read. */
static void once_more(const km_tsv *t)
{
    const char *fields[KM_LEDGER_COLUMNS_MAX];
    km_str line = KM_STR_INIT;
    km_err err = KM_ERR_INIT;
    km_tsv again;

    for (size_t i = 0; i < t->count; i++) {
        km_tsv_clean(t->fields[i]);
        fields[i] = t->fields[i];
    }
    if (km_tsv_add(&line, fields, t->count, t->quotes, &err) < 0)
        abort();
    km_tsv_init(&again, "fuzz", line.data);
    again.quotes = t->quotes;
    if (km_tsv_next(&again, &err) != 1 || again.count != t->count)
        abort();
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(again.fields[i], fields[i]) != 0)
            abort();
    if (km_tsv_next(&again, &err) != 0)
        abort();
    km_str_release(&line);
}

static void read_all(const uint8_t *data, size_t size, bool quotes)
{
    char *text = malloc(size + 1);
    km_err err = KM_ERR_INIT;
    km_tsv t;
    int rc;

    if (!text)
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    km_tsv_init(&t, "fuzz", text);
    t.quotes = quotes;
    while ((rc = km_tsv_next(&t, &err)) == 1)
        once_more(&t);
    if (rc < 0 && (!err.message[0] || !err.place[0]))
        abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_all(data, size, false);
    read_all(data, size, true);
    return 0;
}
