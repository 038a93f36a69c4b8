#include "cli/bench_judge.h"
#include "formats/json.h"
#include "record/record.h"

#include <stdio.h>
#include <string.h>

/* How many cells ended how. */
struct tally {
    size_t faster, slower, same, undecided, wrong;
    const char *unaudited; /* why some cell's results were not; NULL: all were */
    char reason[512];
};

/* One cell: the column that counts, its ratio and verdict. */
static json_t *judge_cell(const json_t *cell, const char *candidate, struct tally *t)
{
    const json_t *call = km_record_call(cell, candidate);
    const json_t *column = km_record_column(cell, call);
    const char *verdict = km_json_text_of(column, "verdict");

    if (!km_record_is_right(call)) {
        if (!t->wrong++)
            snprintf(t->reason, sizeof t->reason, "%s: %s", km_json_text_of(call, "state"),
                     km_json_text_of(call, "why"));
        verdict = "wrong";
    }
    if (*km_json_text_of(cell, "audit"))
        t->unaudited = km_json_text_of(cell, "audit");
    t->faster += strcmp(verdict, "faster") == 0;
    t->slower += strcmp(verdict, "slower") == 0;
    t->same += strcmp(verdict, "same") == 0;
    t->undecided += strcmp(verdict, "undecided") == 0 || !*verdict;
    return json_pack("{s:s,s:O,s:s,s:s,s:s,s:O?}", "op", km_json_text_of(cell, "op"), "shape",
                     json_object_get(cell, "shape"), "dtype", km_json_text_of(cell, "dtype"),
                     "column", km_record_column_name(cell), "verdict",
                     *verdict ? verdict : "undecided", "ratio", json_object_get(column, "ratio"));
}

static const char *verdict_of(const struct tally *t)
{
    if (t->wrong)
        return "wrong";
    if (t->faster && t->slower)
        return "mixed";
    if (t->slower)
        return "slower";
    if (t->faster && !t->unaudited)
        return "faster";
    return t->undecided || t->unaudited ? "undecided" : "same";
}

json_t *km_bench_judge(const json_t *cells, const char *candidate, const char *incumbent,
                       double seconds, bool *accepted)
{
    struct tally t = { 0 };
    json_t *rows = json_array();
    const json_t *cell;
    size_t i;

    json_array_foreach(cells, i, cell) json_array_append_new(rows, judge_cell(cell, candidate, &t));
    if (!t.wrong)
        snprintf(t.reason, sizeof t.reason, "%zu cells faster, %zu slower, %zu same, %zu undecided",
                 t.faster, t.slower, t.same, t.undecided);
    if (!t.wrong && t.unaudited)
        snprintf(t.reason, sizeof t.reason, "not audited: %s", t.unaudited);
    *accepted = strcmp(verdict_of(&t), "faster") == 0;
    return json_pack("{s:s,s:s,s:s,s:s,s:f,s:o}", "verdict", verdict_of(&t), "reason", t.reason,
                     "candidate", candidate, "incumbent", incumbent, "seconds", seconds, "cells",
                     rows);
}
