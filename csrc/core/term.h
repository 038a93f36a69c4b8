/* core/term.h: what goes to stderr while something runs.
 *
 * On a terminal one status line is redrawn in place; otherwise each step is a plain line; with
 * `quiet` there is silence. Colour needs a terminal and no NO_COLOR in the environment. stdout
 * belongs to results and is never touched here.
 */
#ifndef KERNMILL_CORE_TERM_H
#define KERNMILL_CORE_TERM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    bool quiet;
    bool smart; /* stderr is a terminal that can redraw a line */
    bool color;
    bool status; /* a status line is on the screen */
} km_term;

typedef enum { KM_PLAIN, KM_RED, KM_GREEN, KM_YELLOW, KM_BOLD } km_style;

void km_term_init(km_term *t, bool quiet);

/* A line of its own. */
void km_term_note(km_term *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Step `done` of `total`: redrawn on a terminal with a bar and the time left (`elapsed_ms` is the
 * time since the first step), a line each elsewhere. */
void km_term_progress(km_term *t, size_t done, size_t total, long long elapsed_ms,
                      const char *what);

/* Removes the status line. */
void km_term_clear(km_term *t);

/* The escape that starts a style on stderr, or "". km_term_style(t, KM_PLAIN) ends it. */
const char *km_term_style(const km_term *t, km_style style);

/* The same decision for another stream: whether `fd` may be coloured. */
bool km_term_may_color(int fd);

#endif
