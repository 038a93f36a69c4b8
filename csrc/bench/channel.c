#include "bench/channel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/random.h"

/* Seed, blank, word, newline. */
#define TICKET_BYTES (16 + 1 + KM_CHANNEL_WORD_BYTES)

static int send_text(int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return KM_EIO;
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

int km_channel_send(int fd, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    int rc = text ? send_text(fd, text, strlen(text)) : KM_EIO;

    if (rc == 0)
        rc = send_text(fd, "\n", 1);
    free(text);
    json_decref(document);
    return rc;
}

void km_channel_send_error(int fd, const km_err *err)
{
    km_channel_send(fd, json_pack("{s:i,s:s,s:s}", "error", err->code, "message", err->message,
                                  "hint", err->hint));
}

/* Exactly one ticket's line, and nothing of what may follow it. */
static int receive(int fd, char *text, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t n = read(fd, text + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return KM_EIO;
        have += (size_t)n;
    }
    return 0;
}

int km_channel_announce(int fd, const char *what, const char *cell, km_ticket *out, km_err *err)
{
    char text[TICKET_BYTES];

    if (km_channel_send(fd, json_pack("{s:s}", what, cell)) < 0 ||
        receive(fd, text, sizeof text) < 0 || text[sizeof text - 1] != '\n')
        return km_fail(err, KM_EIO, "nobody listens to what is measured");
    out->seed = strtoull(text, NULL, 16);
    memcpy(out->word, text + 17, KM_CHANNEL_WORD_BYTES - 1);
    out->word[KM_CHANNEL_WORD_BYTES - 1] = '\0';
    return 0;
}

int km_channel_admit(int fd, km_ticket *out, km_err *err)
{
    char text[TICKET_BYTES + 1];

    out->seed = km_random_fresh_seed();
    snprintf(out->word, sizeof out->word, "%016" PRIx64 "%016" PRIx64, km_random_fresh_seed(),
             km_random_fresh_seed());
    snprintf(text, sizeof text, "%016" PRIx64 " %s\n", out->seed, out->word);
    if (send_text(fd, text, TICKET_BYTES) < 0)
        return km_fail(err, KM_EIO, "the process that measures does not listen");
    return 0;
}

bool km_channel_is_ours(json_t *line, const km_ticket *ticket)
{
    const char *word = json_string_value(json_object_get(line, "word"));
    const char *seed = json_string_value(json_object_get(line, "seed"));
    char wanted[17];
    bool ours;

    snprintf(wanted, sizeof wanted, "%016" PRIx64, ticket->seed);
    ours = *ticket->word && word && strcmp(word, ticket->word) == 0 && seed &&
           strcmp(seed, wanted) == 0;
    json_object_del(line, "word");
    return ours;
}
