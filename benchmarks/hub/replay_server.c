/* Answers of a hub, played back from files: fast enough that a benchmark measures the clients.
 *
 *     replay_server PORT TABLE
 *
 * Listens on 127.0.0.1. TABLE has a line an answer, sorted by target (bytes):
 *
 *     TARGET<tab>HEAD FILE<tab>BODY FILE
 *
 * TARGET is path and query as sent; the head is status line, headers and the empty line; a HEAD
 * request gets it without the body. Whatever is not in the table is told to stderr and gets 404: a
 * run with such a line measured something else. One thread a connection, bodies by sendfile(2).
 * Prints "ready" when it listens; ends with its stdin. For benchmarks alone: it trusts its clients.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_BYTES_MAX 32768
#define LINE_BYTES_MAX    16384

struct entry {
    char *target, *head;
    size_t head_bytes;
    int body;
    off_t body_bytes;
};

static struct entry *table;
static size_t table_count;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static char *read_whole(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    char *data;

    if (fd < 0 || fstat(fd, &st) < 0)
        die(path);
    data = malloc((size_t)st.st_size + 1);
    if (!data || read(fd, data, (size_t)st.st_size) != st.st_size)
        die(path);
    close(fd);
    *size = (size_t)st.st_size;
    return data;
}

static void add_entry(char *line)
{
    char *target = strtok(line, "\t"), *head = strtok(NULL, "\t"), *body = strtok(NULL, "\t\n");
    struct entry *e;
    struct stat st;

    table = realloc(table, (table_count + 1) * sizeof *table);
    if (!table || !body)
        die("table");
    e = &table[table_count++];
    e->target = strdup(target);
    e->head = read_whole(head, &e->head_bytes);
    e->body = open(body, O_RDONLY);
    if (e->body < 0 || fstat(e->body, &st) < 0)
        die(body);
    e->body_bytes = st.st_size;
}

static int by_target(const void *key, const void *entry)
{
    return strcmp(key, ((const struct entry *)entry)->target);
}

static int send_whole(int to, const char *data, size_t size, int flags)
{
    for (ssize_t n; size; size -= (size_t)n, data += n)
        if ((n = send(to, data, size, MSG_NOSIGNAL | flags)) < 0)
            return -1;
    return 0;
}

static int answer(int to, char *request)
{
    static const char none[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    char *rest, *method = strtok_r(request, " ", &rest), *target = strtok_r(NULL, " ", &rest);
    int with_body = method && strcmp(method, "HEAD") != 0;
    const struct entry *e = target ? bsearch(target, table, table_count, sizeof *table, by_target)
                                   : NULL;
    off_t at = 0;

    if (!e) {
        fprintf(stderr, "not in the table: %s %s\n", method ? method : "", target ? target : "");
        return send_whole(to, none, sizeof none - 1, 0);
    }
    if (send_whole(to, e->head, e->head_bytes, with_body && e->body_bytes ? MSG_MORE : 0) < 0)
        return -1;
    while (with_body && at < e->body_bytes)
        if (sendfile(to, e->body, &at, (size_t)(e->body_bytes - at)) <= 0)
            return -1;
    return 0;
}

/* Requests without a body, one after another. */
static void *serve(void *context)
{
    int connection = (int)(intptr_t)context, on = 1;
    char data[REQUEST_BYTES_MAX + 1], *end;
    size_t have = 0;
    ssize_t n;

    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (have < REQUEST_BYTES_MAX &&
           (n = recv(connection, data + have, REQUEST_BYTES_MAX - have, 0)) > 0) {
        have += (size_t)n;
        data[have] = '\0';
        end = strstr(data, "\r\n\r\n");
        if (!end)
            continue;
        *end = '\0';
        if (answer(connection, data) < 0)
            break;
        have -= (size_t)(end + 4 - data);
        memmove(data, end + 4, have);
    }
    close(connection);
    return NULL;
}

/* Whoever started this is gone. */
static void *watch_stdin(void *context)
{
    char byte;

    (void)context;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    exit(0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    char line[LINE_BYTES_MAX];
    pthread_t thread;
    FILE *lines;

    if (argc != 3 || !(lines = fopen(argv[2], "r")))
        die("usage: replay_server PORT TABLE");
    while (fgets(line, sizeof line, lines))
        add_entry(line);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 128) < 0)
        die("listen");
    pthread_create(&thread, NULL, watch_stdin, NULL);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0 &&
            pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection) == 0)
            pthread_detach(thread);
    }
}
