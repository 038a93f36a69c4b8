/* cli/lab_screen.h: a lab on one screen, for `lab status` and `lab watch`. */
#ifndef KERNMILL_CLI_LAB_SCREEN_H
#define KERNMILL_CLI_LAB_SCREEN_H

#include <stdbool.h>

#include <jansson.h>

#include "core/str.h"

typedef struct {
    int columns, rows; /* no line is wider, there are no more */
    bool color;
    int64_t now_us;
} km_lab_screen;

/* Adds the lines of `overview` (lab/overview.h) and of `events` (lab/event.h; may be NULL), each
 * with a line end. Texts of the store are made safe for a terminal. What does not fit is counted.
 */
void km_lab_screen_add(km_str *out, const km_lab_screen *screen, const json_t *overview,
                       const json_t *events);

/* "13:05:09 job 7 claimed by w": an event as one line, without its end. `day`: with the date. */
void km_lab_screen_event(km_str *out, const json_t *event, bool day);

#endif
