#include "lab/tsv.h"

#include <stdlib.h>
#include <string.h>

void km_tsv_init(km_tsv *t, const char *path, char *text)
{
    *t = (km_tsv){ .path = path, .at = text, .now = 1 };
}

/* The text between quotes, without them; t->at is behind the last. */
static int take_quoted(km_tsv *t, km_err *err)
{
    char *out = t->at++;

    for (;; t->at++) {
        if (!*t->at)
            return km_fail_at(err, KM_EFORMAT, t->path, t->line, 0, "a quote is never closed");
        if (*t->at == '"' && *++t->at != '"')
            break;
        t->now += *t->at == '\n';
        *out++ = *t->at;
    }
    *out = '\0';
    return 0;
}

/* The next field, and the character after it: a tab, a line end, or '\0' for the end. */
static int take_field(km_tsv *t, char **field, char *end, km_err *err)
{
    char *stop;

    *field = t->at;
    if (t->quotes && *t->at == '"') {
        if (take_quoted(t, err) < 0)
            return KM_EFORMAT;
        if (!strchr("\t\r\n", *t->at)) /* finds the end of the text, too */
            return km_fail_at(err, KM_EFORMAT, t->path, t->line, 0, "text follows a quoted field");
    }
    stop = t->at + strcspn(t->at, "\t\n");
    *end = *stop;
    t->at = *stop ? stop + 1 : stop;
    t->now += *end == '\n';
    if (*end != '\t' && stop > *field && stop[-1] == '\r')
        stop--;
    *stop = '\0';
    return 0;
}

int km_tsv_next(km_tsv *t, km_err *err)
{
    char end = 0;

    do {
        if (!*t->at)
            return 0;
        t->line = t->now;
        t->count = 0;
        do {
            if (t->count == KM_LEDGER_COLUMNS_MAX)
                return km_fail_at(err, KM_EFORMAT, t->path, t->line, 0, "more than %d columns",
                                  KM_LEDGER_COLUMNS_MAX);
            if (take_field(t, &t->fields[t->count], &end, err) < 0)
                return KM_EFORMAT;
            t->count++;
        } while (end == '\t');
    } while (t->count == 1 && !*t->fields[0]);
    return 1;
}

void km_tsv_clean(char *text)
{
    km_text_clean(text);
    for (; *text; text++)
        if (*text == '\t' || *text == '\n')
            *text = ' ';
}

static void add_quoted(km_str *out, const char *text)
{
    km_str_add_char(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            km_str_add_char(out, '"');
        km_str_add_char(out, *text);
    }
    km_str_add_char(out, '"');
}

int km_tsv_add(km_str *out, const char *const *fields, size_t count, bool quotes, km_err *err)
{
    for (size_t i = 0; i < count; i++) {
        char *text = strdup(fields[i]);
        if (!text)
            return km_fail_nomem(err);
        km_tsv_clean(text);
        if (i)
            km_str_add_char(out, '\t');
        if (quotes && strchr(text, '"'))
            add_quoted(out, text);
        else
            km_str_add(out, text);
        free(text);
    }
    km_str_add_char(out, '\n');
    return km_str_check(out, err);
}
