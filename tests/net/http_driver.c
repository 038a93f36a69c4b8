/* What test_net_http.py asks of net/http.h, one run a process: http_driver HUB COMMAND
 * [ARGUMENT...].
 *
 *   get URL | head URL | stay URL | pages URL      the answer as JSON
 *   put URL FILE | post URL FILE                   with the file as body
 *   file URL PATH SIZE                             download, going on from what PATH has (SIZE -1:
 *                                                  not known)
 *   files PATH URL...                              each of them into PATH, PATH1, ...
 *
 * HF_TOKEN is the token; DRIVER_LIMIT, DRIVER_STALL_S, DRIVER_WAIT_MS set limits. An error goes to
 * stderr, with its code first. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "net/http.h"

static long number(const char *name, long other)
{
    const char *text = getenv(name);

    return text ? strtol(text, NULL, 10) : other;
}

static int fail(const km_err *err)
{
    fprintf(stderr, "%d %s\n%s\n", err->code, err->message, err->hint);
    return 1;
}

static json_t *describe(const km_http_answer *a)
{
    json_t *headers = json_object();

    for (size_t i = 0; i < a->header_count; i++)
        json_object_set_new(headers, a->headers[i].name, json_string(a->headers[i].value));
    return json_pack("{s:i,s:o,s:s%,s:s,s:s?,s:s?}", "status", (int)a->status, "headers", headers,
                     "body", a->body.data, a->body.length, "url", a->url, "location", a->location,
                     "next", a->next);
}

static int print(json_t *doc)
{
    json_dumpf(doc, stdout, 0);
    json_decref(doc);
    return 0;
}

static int ask(km_http *h, km_http_request *r)
{
    km_http_answer a = KM_HTTP_ANSWER_INIT;
    km_err err = KM_ERR_INIT;
    int rc;

    r->answer_bytes_max = (size_t)number("DRIVER_LIMIT", 0);
    rc = km_http_send(h, r, &a, &err) < 0 ? fail(&err) : print(describe(&a));
    if (rc == 0 && km_http_expect(&a, 200, &err) < 0)
        rc = fail(&err);
    km_http_answer_release(&a);
    return rc;
}

static int pages(km_http *h, const char *url)
{
    char *at = strdup(url);
    int rc = 0;

    while (at && rc == 0) {
        km_http_answer a = KM_HTTP_ANSWER_INIT;
        km_err err = KM_ERR_INIT;
        km_http_request r = { .url = at };
        char *next = NULL;
        rc = km_http_send(h, &r, &a, &err) < 0 ? fail(&err) : 0;
        if (rc == 0)
            puts(a.body.data);
        if (rc == 0 && a.next)
            next = strdup(a.next);
        km_http_answer_release(&a);
        free(at);
        at = next;
    }
    free(at);
    return rc;
}

static int send_file(km_http *h, km_http_method method, const char *url, const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    km_http_request r = { .method = method, .url = url, .body_fd = fd };

    if (fd < 0 || fstat(fd, &st) < 0)
        return 2;
    r.body_bytes = (uint64_t)st.st_size;
    return ask(h, &r);
}

#define FILES_MAX 64

struct files {
    km_http_transfer t[FILES_MAX];
    km_http_file f[FILES_MAX];
    size_t count, next;
};

static km_http_transfer *next_file(void *context, km_err *err)
{
    struct files *s = context;

    (void)err;
    return s->next < s->count ? &s->t[s->next++] : NULL;
}

static int file_done(void *context, km_http_transfer *t, km_err *err)
{
    int rc = t->err.code;

    (void)context;
    if (rc < 0)
        *err = t->err;
    if (rc == 0 && t->answer.status != 206)
        rc = km_http_expect(&t->answer, 200, err);
    km_http_answer_release(&t->answer);
    return rc;
}

static int fetch(km_http *h, const char *path, char **urls, size_t count, long long size)
{
    struct files s = { .count = count };
    km_http_batch batch = { &s, next_file, file_done };
    km_err err = KM_ERR_INIT;
    struct stat st;

    for (size_t i = 0; i < count; i++) {
        char name[4096];
        if (i)
            snprintf(name, sizeof name, "%s%zu", path, i);
        else
            snprintf(name, sizeof name, "%s", path);
        s.f[i].fd = open(name, O_RDWR | O_CREAT, 0666);
        if (s.f[i].fd < 0 || fstat(s.f[i].fd, &st) < 0)
            return 2;
        s.f[i].have_bytes = (uint64_t)st.st_size;
        s.f[i].size_bytes = size < 0 ? KM_HTTP_SIZE_UNKNOWN : (uint64_t)size;
        s.t[i] = (km_http_transfer){ .request = { .url = urls[i], .file = &s.f[i] },
                                     .answer = KM_HTTP_ANSWER_INIT };
    }
    return km_http_run(h, &batch, &err) < 0 ? fail(&err) : 0;
}

int main(int argc, char **argv)
{
    km_http_options o = { .token = getenv("HF_TOKEN"),
                          .user_agent = "driver",
                          .offline = getenv("HF_HUB_OFFLINE") != NULL,
                          .stall_s = (int)number("DRIVER_STALL_S", 0),
                          .wait_ms = (int)number("DRIVER_WAIT_MS", 3000),
                          .connect_ms = 2000,
                          .backoff_ms = 10 };
    km_err err = KM_ERR_INIT;
    km_http *h;
    const char *command;
    int rc = 2;

    if (argc < 4)
        return 2;
    o.hub = argv[1];
    command = argv[2];
    if (km_http_new(&h, &o, &err) < 0)
        return fail(&err);
    if (strcmp(command, "get") == 0)
        rc = ask(h, &(km_http_request){ .url = argv[3] });
    else if (strcmp(command, "head") == 0)
        rc = ask(h, &(km_http_request){ .method = KM_HTTP_HEAD, .url = argv[3] });
    else if (strcmp(command, "stay") == 0)
        rc = ask(h, &(km_http_request){ .method = KM_HTTP_HEAD, .url = argv[3], .stay = true });
    else if (strcmp(command, "pages") == 0)
        rc = pages(h, argv[3]);
    else if (strcmp(command, "put") == 0 && argc == 5)
        rc = send_file(h, KM_HTTP_PUT, argv[3], argv[4]);
    else if (strcmp(command, "post") == 0 && argc == 5)
        rc = send_file(h, KM_HTTP_POST, argv[3], argv[4]);
    else if (strcmp(command, "file") == 0 && argc == 6)
        rc = fetch(h, argv[4], &argv[3], 1, strtoll(argv[5], NULL, 10));
    else if (strcmp(command, "files") == 0)
        rc = fetch(h, argv[3], argv + 4, (size_t)(argc - 4), -1);
    km_http_free(h);
    return rc;
}
