/* One transfer's life, shared by the files of net/http. */
#ifndef KERNMILL_NET_HTTP_INTERNAL_H
#define KERNMILL_NET_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "net/http.h"
#include "net/url.h"

struct km_http {
    km_http_options options; /* its texts are in the arena */
    km_url hub;
    const char *ca_file, *ca_dir; /* or NULL */
    CURLM *multi;
    km_arena arena;
    uint64_t done_bytes, total_bytes; /* of the run */
    long long reported_ms;
};

/* A transfer in flight, or waiting for its next try. */
typedef struct {
    km_http *h;
    km_http_transfer *t;
    CURL *easy;
    struct curl_slist *headers;
    char problem[CURL_ERROR_SIZE];
    km_arena arena; /* of the addresses */
    km_url url;     /* of this try */
    bool strayed;   /* was redirected out of the origin it began in */
    bool waiting;
    int redirects, tries, tries_total;
    long long waited_ms, wake_ms;
    uint64_t body_sent, counted_bytes; /* what of it is in h->done_bytes */
    uint64_t tried_from;               /* have_bytes when this try began */
    const char
        *validator;    /* the strong ETag of the answer that the file's bytes are from, or NULL */
    bool body_begins;  /* no byte of this answer's body was seen yet */
    bool to_file;      /* decided at the first byte */
    bool enough;       /* of the text of an answer that says no */
    bool start_over;   /* what the file has does not go with what the server has now */
    bool started_over; /* once is enough */
    km_err err;        /* of a callback */
} flight;

long long km_http_now_ms(void);

/* http_answer.c: the callbacks that take the answer in, and what its headers mean. */
size_t km_http_on_header(char *data, size_t size, size_t count, void *user);
size_t km_http_on_body(char *data, size_t size, size_t count, void *user);
/* Once the headers are complete: Link and Location. */
int km_http_read_links(flight *f, km_err *err);
/* Whether a body that ended is the whole file. */
int km_http_check_file(flight *f, km_err *err);
/* Empties the file: what is in it is of no use. */
int km_http_restart_file(flight *f, km_err *err);
void km_http_answer_restart(km_http_answer *a);

/* http_retry.c */
/* 0: it waits for its next try; 1: there is nothing to repeat; negative: given up, with *err. */
int km_http_plan_retry(flight *f, CURLcode code, km_err *err);
int km_http_curl_error(const flight *f, CURLcode code, km_err *err);
bool km_http_status_is_passing(long status);
/* Milliseconds that the server asks for, or -1. */
long long km_http_asked_ms(const km_http_answer *a, long long now_s);

#endif
