/* bench/channel.h: what the process that measures and the one that keeps the record say to each
 * other, in lines over a pair of sockets.
 *
 * The child announces a cell; the parent answers with a seed that it has just drawn, and a word
 * that the cell's line must carry. So no candidate can know its inputs before it is loaded, and a
 * line that something else in the child's process wrote is noticed: a forged record. */
#ifndef KERNMILL_BENCH_CHANNEL_H
#define KERNMILL_BENCH_CHANNEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

#define KM_CHANNEL_WORD_BYTES 33 /* 32 hexadecimal digits */

typedef struct {
    uint64_t seed;
    char word[KM_CHANNEL_WORD_BYTES];
} km_ticket;

/* Sends the document as one line, and lets go of it. Errors: KM_EIO. */
int km_channel_send(int fd, json_t *document);

/* Sends the error as the last line. */
void km_channel_send_error(int fd, const km_err *err);

/* The child's side: says that it starts with the cell, or that it "audits" it, and waits for a
 * ticket. Errors: KM_EIO. */
int km_channel_announce(int fd, const char *what, const char *cell, km_ticket *out, km_err *err);

/* The parent's side: draws a ticket and sends it. Errors: KM_EIO. */
int km_channel_admit(int fd, km_ticket *out, km_err *err);

/* Whether the line carries the ticket's word and seed; the word is taken off. */
bool km_channel_is_ours(json_t *line, const km_ticket *ticket);

#endif
