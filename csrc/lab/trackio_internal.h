/* lab/trackio_internal.h: between the files of lab/trackio*.c. */
#ifndef KERNMILL_LAB_TRACKIO_INTERNAL_H
#define KERNMILL_LAB_TRACKIO_INTERNAL_H

#include <jansson.h>

#include "core/hash.h"
#include "core/str.h"
#include "lab/trackio.h"

/* Up to which row of each table something is, or was, written. */
typedef struct {
    int64_t event, run, decision, alert, champion;
} km_trackio_mark;

typedef struct {
    km_lab *lab;
    km_arena arena;                     /* emptied after each row; what stays is in the lab's */
    const char *folder;                 /* of the writer */
    const char *project;                /* as Trackio takes it */
    char identity[KM_SHA256_HEX_BYTES]; /* of this lab, and no other of that name */
    const char *metric;
    bool higher;              /* is better */
    km_trackio_mark from, to; /* rows after `from`, up to `to` */
    int64_t sequence;         /* of the next fragment */
    km_str text;              /* of it, so far */
    size_t records, fragments;
} km_trackio;

/* Whose record it is: an idea's, or with 0 the lab's own. */
typedef struct {
    int64_t hypothesis;
    const char *title;
} km_trackio_run;

/* A row of metrics, of the row `row` of `table`; `metrics` and `config` (NULL: none) are freed. */
int km_trackio_metric(km_trackio *t, const km_trackio_run *run, const char *table, const char *row,
                      int64_t at_us, int64_t step, json_t *metrics, json_t *config, km_err *err);

int km_trackio_alert(km_trackio *t, const km_trackio_run *run, int64_t row, int64_t at_us,
                     const char *level, const char *title, const char *text, km_err *err);

/* A column's text, safe to show. In the arena of `t`; NULL: out of memory. */
char *km_trackio_text(km_trackio *t, sqlite3_stmt *s, int column);

/* Shortens a text to so many bytes at most, between two characters. */
void km_trackio_cut(char *text, size_t bytes);

/* Sets `key` where the column is not NULL; what is no JSON number is the text that Trackio reads.
 */
void km_trackio_set(json_t *metrics, const char *key, sqlite3_stmt *s, int column);

/* "2026-03-18T02:37:20.000000+00:00". In the arena of `t`. */
char *km_trackio_time(km_trackio *t, int64_t us);

/* Every state of an idea with its number; ends with NULL. */
typedef struct {
    const char *name;
    int number;
} km_trackio_state;
extern const km_trackio_state km_trackio_states[];

/* The runs of ideas, and alerts: trackio_ideas.c. The run "lab": trackio_lab.c. */
int km_trackio_ideas(km_trackio *t, km_err *err);
int km_trackio_lab(km_trackio *t, km_err *err);

#endif
