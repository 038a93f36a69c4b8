#include "hub/get_wheel.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "core/str.h"
#include "hub/copy.h"
#include "net/index_page.h"
#include "net/url.h"
#include "pkg/explain.h"

#define PAGES_MAX     (KM_GPUS_MAX + 3)
#define DOWNLOADS_MAX 32

/* A wheel on some page. */
struct offer {
    const km_index_link *link;
    const char *page; /* its folder or address, with a slash at its end */
    const char *file; /* where it was put; NULL: not yet */
};

struct choice {
    km_arena *a;
    km_http *http;
    bool is_folder; /* the index is one, on this disk */
    const char *index, *project;
    char *scratch;
    km_system system;
    struct offer *offers;
    size_t count;
};

/* --- the pages --- */

/* One page's text; KM_ENOENT when it is not there. */
static int read_page(struct choice *c, const char *page, km_str *out, km_err *err)
{
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    km_http_request request = { .url = page, .anonymous = true };
    char *path, *data = NULL;
    size_t size = 0;
    int rc;

    if (c->is_folder) {
        path = km_path_join(c->a, page, "index.html");
        rc = path ? km_file_read(c->a, path, KM_HTTP_ANSWER_BYTES_MAX, &data, &size, err)
                  : km_fail_nomem(err);
        if (rc == 0)
            km_str_add_bytes(out, data, size);
        return rc == 0 ? km_str_check(out, err) : rc;
    }
    rc = km_http_send(c->http, &request, &answer, err);
    if (rc == 0)
        rc = km_http_expect(&answer, 200, err);
    if (rc == 0)
        km_str_add_bytes(out, answer.body.data, answer.body.length);
    km_http_answer_release(&answer);
    return rc == 0 ? km_str_check(out, err) : rc;
}

static int add_page(struct choice *c, const char *below, km_err *err)
{
    char *page = km_arena_printf(c->a, "%s/%s%s/", c->index, below, c->project);
    km_err why = KM_ERR_INIT;
    km_str html = KM_STR_INIT;
    km_index_page links = { 0 };
    int rc = page ? read_page(c, page, &html, &why) : km_fail_nomem(&why);

    if (rc == 0)
        rc = km_index_page_read(c->a, html.data, html.length, page, &links, &why);
    km_str_release(&html);
    if (rc == KM_ENOENT)
        return 0;
    if (rc < 0) {
        if (err)
            *err = why;
        return rc;
    }
    for (size_t i = 0; i < links.count && c->count < KM_CANDIDATES_MAX; i++)
        c->offers[c->count++] = (struct offer){ &links.links[i], page, NULL };
    return 0;
}

static int read_pages(struct choice *c, km_err *err)
{
    int rc;

    c->offers = km_arena_array(c->a, KM_CANDIDATES_MAX, sizeof *c->offers);
    if (!c->offers)
        return km_fail_nomem(err);
    rc = add_page(c, "", err);
    if (rc == 0)
        rc = add_page(c, "simple/", err);
    for (size_t i = 0; rc == 0 && i < c->system.gpu_count; i++) {
        char below[16];
        snprintf(below, sizeof below, "sm%u/", c->system.gpus[i]);
        rc = add_page(c, below, err);
    }
    if (rc == 0 && !c->system.gpu_count)
        rc = add_page(c, "cpu/", err);
    if (rc == 0 && !c->count) {
        rc = km_fail(err, KM_ENOENT, "'%s' lists no wheel of '%s'", c->index, c->project);
        km_hint(err,
                "an index has a folder for each project; of DIR from `kernmill pack --index DIR`, "
                "name DIR itself");
    }
    return rc;
}

/* --- the newest release --- */

/* The numbers of its version, without what is local; pre-releases count as nothing. */
static km_version release_of(const char *wheel)
{
    const char *dash = strchr(wheel, '-');
    char text[64];
    km_version v = { 0 };
    size_t n = dash ? strspn(dash + 1, "0123456789.") : 0;

    if (!n || n >= sizeof text || !strchr("+-", dash[1 + n]))
        return v;
    memcpy(text, dash + 1, n);
    text[n] = '\0';
    return km_version_parse(text, &v) ? v : (km_version){ 0 };
}

/* "...-manylinux_2_28_x86_64.whl": whether it ends with this processor, or with any. */
static bool is_for_cpu(const struct choice *c, const char *wheel)
{
    const char *platform = strrchr(wheel, '-');
    char *end = km_arena_printf(c->a, "%s.whl", c->system.cpu);

    return platform && end && (strcmp(platform, "-any.whl") == 0 || km_ends_with(platform, end));
}

static void keep_newest(struct choice *c)
{
    km_version newest = { 0 };
    size_t kept = 0;

    for (size_t i = 0; i < c->count; i++) {
        km_version v = release_of(c->offers[i].link->name);
        if (!is_for_cpu(c, c->offers[i].link->name))
            continue;
        if (v.count && (!newest.count || km_version_compare(&v, &newest) > 0))
            newest = v;
    }
    for (size_t i = 0; i < c->count; i++) {
        km_version v = release_of(c->offers[i].link->name);
        if (v.count && km_version_compare(&v, &newest) == 0 && kept < DOWNLOADS_MAX &&
            is_for_cpu(c, c->offers[i].link->name))
            c->offers[kept++] = c->offers[i];
    }
    c->count = kept;
}

/* --- the wheels --- */

static int download(struct choice *c, const struct offer *o, int fd, km_err *err)
{
    km_url base, url;
    km_http_file file = { fd, 0, KM_HTTP_SIZE_UNKNOWN };
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    km_http_request request = { .file = &file, .anonymous = true };
    int rc = km_url_parse(c->a, o->page, &base, err);

    if (rc == 0)
        rc = km_url_join(c->a, &base, o->link->href, &url, err);
    if (rc == 0) {
        request.url = url.text;
        rc = km_http_send(c->http, &request, &answer, err);
    }
    if (rc == 0)
        rc = km_http_expect(&answer, 200, err);
    km_http_answer_release(&answer);
    return rc;
}

static int check_digest(const struct offer *o, int fd, km_err *err)
{
    char now[KM_SHA256_HEX_BYTES];
    int rc = km_hash_fd(fd, KM_DIGEST_SHA256, now, err);

    if (rc == 0 && strcmp(now, o->link->sha256) != 0) {
        rc = km_fail(err, KM_EFORMAT, "'%s' has not the SHA-256 that %s says", o->link->name,
                     o->page);
        km_hint(err, "the index, or the file in it, is broken: ask who keeps it");
    }
    return rc;
}

static int fetch(struct choice *c, struct offer *o, km_err *err)
{
    char *from = km_path_join(c->a, o->page, o->link->name);
    int fd, rc;

    o->file = km_path_join(c->a, c->scratch, o->link->name);
    if (!o->file || !from)
        return km_fail_nomem(err);
    if (km_file_exists(o->file)) /* on two pages */
        return 0;
    if (c->is_folder && (rc = km_copy_file(from, o->file, err)) < 0)
        return rc;
    fd = open(o->file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return km_fail_errno(err, errno, "unable to write '%s'", o->file);
    rc = c->is_folder ? 0 : download(c, o, fd, err);
    if (rc == 0)
        rc = check_digest(o, fd, err);
    close(fd);
    return rc;
}

static const struct offer *offer_of(const struct choice *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->offers[i].link->name, name) == 0)
            return &c->offers[i];
    return NULL;
}

/* The first that fits, in pip's order. */
static int choose(struct choice *c, const struct offer **out, km_err *err)
{
    const char *why = "no wheel's name is for this Python and platform";
    km_explanation e;
    int rc = km_explain(&e, c->scratch, &c->system, err);

    *out = NULL;
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < e.count; i++)
        for (size_t k = 0; k < e.choices[i].count && !*out; k++) {
            const km_candidate *item = &e.choices[i].items[k];
            if (item->fits)
                *out = offer_of(c, item->name);
            for (size_t r = 0; !*out && r < item->reason_count; r++)
                if (item->reasons[r].side == KM_REASON_AGAINST)
                    why = km_arena_printf(c->a, "%s: %s", item->name, item->reasons[r].text);
        }
    km_explanation_release(&e);
    if (*out)
        return 0;
    km_fail(err, KM_ENOFIT, "no wheel of '%s' in '%s' is for this machine: %s", c->project,
            c->index, why ? why : "");
    return km_hint(err, "`kernmill explain` of a wheel says what would have to change");
}

/* --- its place --- */

static int place(struct choice *c, const struct offer *o, const char *output,
                 km_get_wheel_result *out, km_err *err)
{
    char *to = km_path_join(c->a, output, o->link->name);
    char *temporary = to ? km_arena_printf(c->a, "%s.tmp.%ld", to, (long)getpid()) : NULL;
    char there[KM_SHA256_HEX_BYTES];
    int rc = 0, fd;

    if (!temporary)
        return km_fail_nomem(err);
    *out = (km_get_wheel_result){ to, o->link->name, o->link->sha256, o->page,
                                  (uint64_t)km_file_size(o->file, NULL) };
    fd = open(to, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        rc = km_hash_fd(fd, KM_DIGEST_SHA256, there, err);
        close(fd);
        if (rc == 0 && strcmp(there, o->link->sha256) != 0)
            rc = km_fail(err, KM_EUSAGE, "'%s' is there and is another file", to);
        return rc;
    }
    unlink(temporary);
    rc = km_copy_file(o->file, temporary, err);
    if (rc == 0 && rename(temporary, to) < 0)
        rc = km_fail_errno(err, errno, "unable to rename '%s' to '%s'", temporary, to);
    if (rc < 0)
        unlink(temporary);
    return rc;
}

/* "Kernmill.Rmsnorm" is "kernmill-rmsnorm" (PEP 503). */
static char *normal(km_arena *a, const char *project, km_err *err)
{
    char *name = km_arena_strdup(a, project);

    for (char *c = name; c && *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c)) {
            km_fail(err, KM_EUSAGE, "'%s' is no name of a project", project);
            return NULL;
        }
        *c = strchr("_.", *c) ? '-' : (char)tolower((unsigned char)*c);
    }
    if (!name)
        km_fail_nomem(err);
    return name;
}

static char *without_slash(km_arena *a, const char *index)
{
    char *text = km_arena_strdup(a, index);
    size_t n = text ? strlen(text) : 0;

    while (n > 1 && text[n - 1] == '/')
        text[--n] = '\0';
    return text;
}

int km_get_wheel(km_arena *a, km_http *http, const char *index, const char *project,
                 const char *output, km_get_wheel_result *out, km_err *err)
{
    struct choice c = { .a = a, .http = http, .index = without_slash(a, index) };
    const struct offer *o = NULL;
    int rc;

    c.is_folder = !strstr(index, "://");
    if (c.is_folder && !km_dir_exists(index))
        return km_fail(err, KM_ENOENT, "there is no folder '%s'", index);
    c.project = normal(a, project, err);
    if (!c.project)
        return KM_EUSAGE;
    if (!c.index)
        return km_fail_nomem(err);
    rc = km_dir_make(output, err);
    if (rc == 0)
        rc = km_system_find(&c.system, err);
    if (rc == 0)
        rc = read_pages(&c, err);
    if (rc < 0)
        return rc;
    keep_newest(&c);
    rc = km_dir_temporary(a, "wheels", &c.scratch, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < c.count && rc == 0; i++)
        rc = fetch(&c, &c.offers[i], err);
    if (rc == 0)
        rc = choose(&c, &o, err);
    if (rc == 0)
        rc = place(&c, o, output, out, err);
    km_dir_remove(c.scratch, NULL);
    return rc;
}
