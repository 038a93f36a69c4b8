#include "net/endpoint.h"

#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/token.h"

/* The only place that knows it. */
#define PUBLIC_HUB "https://huggingface.co"

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static const char *secret(const char *name)
{
    const char *value = km_token_variable(name);

    return value && *value ? value : NULL;
}

static bool is_true(const char *value)
{
    return value && (strcmp(value, "1") == 0 || strcasecmp(value, "on") == 0 ||
                     strcasecmp(value, "yes") == 0 || strcasecmp(value, "true") == 0);
}

static const char *user_home(void)
{
    const char *home = variable("HOME");
    const struct passwd *user = home ? NULL : getpwuid(getuid());

    return home ? home : user ? user->pw_dir : NULL;
}

/* $NAME or ${NAME} at `text`; one that is not set stays as it is written, as in Python. Returns
 * what follows. */
static const char *expand_variable(km_str *out, const char *text)
{
    bool braced = text[1] == '{';
    const char *name = text + 1 + braced;
    size_t n = braced ? strcspn(name, "}") : 0;
    char key[256];
    const char *value;

    while (!braced && (isalnum((unsigned char)name[n]) || name[n] == '_'))
        n++;
    if (!n || n >= sizeof key || (braced && name[n] != '}')) {
        km_str_add_char(out, '$');
        return text + 1;
    }
    memcpy(key, name, n);
    key[n] = '\0';
    value = getenv(key);
    if (value)
        km_str_add(out, value);
    else
        km_str_add_bytes(out, text, (size_t)(name + n + braced - text));
    return name + n + braced;
}

static const char *expand(km_arena *a, const char *path, km_err *err)
{
    km_str out = KM_STR_INIT;
    const char *home = user_home();
    char *kept = NULL;

    if (path[0] == '~' && (path[1] == '/' || !path[1]) && home) {
        km_str_add(&out, home);
        path++;
    }
    while (*path) {
        if (*path == '$')
            path = expand_variable(&out, path);
        else
            km_str_add_char(&out, *path++);
    }
    if (km_str_check(&out, err) == 0 && !(kept = km_arena_strdup(a, out.data)))
        km_fail_nomem(err);
    km_str_release(&out);
    return kept;
}

static int find_home(km_arena *a, km_endpoint *e, km_err *err)
{
    const char *home = variable("HF_HOME"), *cache = variable("XDG_CACHE_HOME");

    if (!home && !cache) {
        const char *user = user_home();
        if (!user) {
            km_fail(err, KM_EENV, "there is no home folder, and so no cache");
            return km_hint(err, "set HOME, or HF_HOME");
        }
        cache = km_path_join(a, user, ".cache");
    }
    if (!home)
        home = cache ? km_path_join(a, cache, "huggingface") : NULL;
    e->home = home ? expand(a, home, err) : NULL;
    return e->home ? 0 : km_fail_nomem(err);
}

int km_endpoint_home(km_arena *a, const char **out, km_err *err)
{
    km_endpoint e = { 0 };
    int rc = find_home(a, &e, err);

    *out = e.home;
    return rc;
}

static int find_cache(km_arena *a, km_endpoint *e, km_err *err)
{
    static const char *const names[] = { "KERNELS_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE" };
    const char *cache = NULL;

    for (size_t i = 0; i < sizeof names / sizeof names[0] && !cache; i++)
        cache = variable(names[i]);
    e->cache = cache ? expand(a, cache, err) : km_path_join(a, e->home, "hub");
    return e->cache ? 0 : km_fail_nomem(err);
}

/* Without line ends, and without blanks around it; NULL when nothing is left. */
static const char *clean_token(km_arena *a, const char *text, km_err *err)
{
    char *token = km_arena_strdup(a, text), *out = token;
    size_t n;

    if (!token) {
        km_fail_nomem(err);
        return NULL;
    }
    for (const char *c = token; *c; c++)
        if (*c != '\r' && *c != '\n')
            *out++ = *c;
    *out = '\0';
    while (isspace((unsigned char)*token))
        token++;
    for (n = strlen(token); n && isspace((unsigned char)token[n - 1]); n--)
        token[n - 1] = '\0';
    return *token ? token : NULL;
}

static int find_token(km_arena *a, km_endpoint *e, km_err *err)
{
    const char *token = secret("HF_TOKEN"), *path = variable("HF_TOKEN_PATH");
    size_t size;
    char *text;
    km_err why = KM_ERR_INIT;

    if (is_true(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN")))
        return 0;
    if (!token)
        token = secret("HUGGING_FACE_HUB_TOKEN");
    e->token = token ? clean_token(a, token, &why) : NULL;
    if (e->token || why.code)
        goto out;
    path = path ? expand(a, path, &why) : km_path_join(a, e->home, "token");
    if (!path)
        return km_fail_nomem(err);
    if (km_file_read(a, path, KM_TOKEN_BYTES_MAX, &text, &size, &why) == 0)
        e->token = clean_token(a, text, &why);
    else if (why.code == KM_ENOENT)
        why = (km_err)KM_ERR_INIT;
out:
    if (why.code && err)
        *err = why;
    return why.code;
}

int km_endpoint_find(km_arena *a, km_endpoint *out, km_err *err)
{
    const char *url = variable("HF_ENDPOINT"), *offline = variable("HF_HUB_OFFLINE");
    size_t n;
    int rc;

    *out = (km_endpoint){ 0 };
    if (!url)
        url = PUBLIC_HUB;
    for (n = strlen(url); n && url[n - 1] == '/'; n--)
        ;
    out->url = km_arena_strndup(a, url, n);
    out->offline = is_true(offline ? offline : variable("TRANSFORMERS_OFFLINE"));
    rc = out->url ? find_home(a, out, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = find_cache(a, out, err);
    if (rc == 0)
        rc = find_token(a, out, err);
    return rc;
}

bool km_endpoint_is_public(const km_endpoint *e)
{
    return strcmp(e->url, PUBLIC_HUB) == 0;
}
