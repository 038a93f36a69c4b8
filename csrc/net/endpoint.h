/* net/endpoint.h: which hub, which cache and which token, by the rules of the Python client.
 *
 *   HF_ENDPOINT                the hub; the public one otherwise
 *   HF_HOME                    default: huggingface in XDG_CACHE_HOME, or in ~/.cache
 *   HF_HUB_CACHE               default: hub in HF_HOME; before it KERNELS_CACHE, which the
 * `kernels` package reads, after it HUGGINGFACE_HUB_CACHE HF_HUB_OFFLINE             1, on, yes or
 * true, any case; or TRANSFORMERS_OFFLINE HF_TOKEN                   before the file; or
 * HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH              default: token in HF_HOME
 *   HF_HUB_DISABLE_IMPLICIT_TOKEN   as HF_HUB_OFFLINE: no token
 *
 * "~" and "$NAME" in folders are expanded. Unlike there, a variable that is empty counts as one
 * that is not set, and neither a CI's OIDC nor Colab is asked for a token.
 */
#ifndef KERNMILL_NET_ENDPOINT_H
#define KERNMILL_NET_ENDPOINT_H

#include <stdbool.h>

#include "core/arena.h"
#include "core/err.h"
#include "net/http.h"

typedef struct {
    const char *url;   /* without a slash at its end */
    const char *home;  /* HF_HOME */
    const char *cache; /* the folder of kernels--owner--name and the like */
    const char *token; /* or NULL. Never printed, never handed to a child (core/token.h) */
    bool offline;
} km_endpoint;

/* Errors: KM_EIO when a token file cannot be read, KM_EENV without any home folder. */
int km_endpoint_find(km_arena *a, km_endpoint *out, km_err *err);

/* HF_HOME alone, by the same rules, for who needs no token. Errors: KM_EENV without any home. */
int km_endpoint_home(km_arena *a, const char **out, km_err *err);

/* Whether it is the public hub. */
bool km_endpoint_is_public(const km_endpoint *e);

/* A session with that hub. `user_agent` is "kernmill/<version>"; libcurl's is added.
 * Errors: those of km_http_new. */
int km_endpoint_connect(const km_endpoint *e, const char *user_agent, km_http_progress *progress,
                        void *progress_context, km_http **out, km_err *err);

#endif
