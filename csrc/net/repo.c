#include "net/repo.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/path.h"
#include "core/str.h"

static const char *what_is_wrong(const char *part, size_t n)
{
    if (!n || n > KM_HUB_REPO_ID_BYTES_MAX)
        return "a part is empty or too long";
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)part[i] >= 0x80 ||
            (!isalnum((unsigned char)part[i]) && !strchr("_.-", part[i])))
            return "only letters, digits, '_', '.' and '-' may be in it";
    if (strchr(".-", part[0]) || strchr(".-", part[n - 1]))
        return "a part starts or ends with '.' or '-'";
    for (size_t i = 0; i + 1 < n; i++)
        if ((part[i] == '-' || part[i] == '.') && part[i + 1] == part[i])
            return "'--' and '..' may not be in it";
    return NULL;
}

int km_repo_parse(km_arena *a, const char *text, km_repo_type type, km_repo *out, km_err *err)
{
    const char *slash = strchr(text, '/'), *wrong;

    wrong = slash ? what_is_wrong(text, (size_t)(slash - text)) : "it has no '/'";
    if (!wrong)
        wrong = what_is_wrong(slash + 1, strlen(slash + 1));
    if (!wrong && km_ends_with(text, ".git"))
        wrong = "it ends in '.git'";
    if (wrong) {
        km_fail(err, KM_EUSAGE, "'%.200s' is no name of a repository: %s", text, wrong);
        return km_hint(err, "it looks like OWNER/NAME");
    }
    *out = (km_repo){ type, km_arena_strdup(a, text) };
    return out->id ? 0 : km_fail_nomem(err);
}

char *km_repo_folder(km_arena *a, const km_repo *repo)
{
    size_t owner = strcspn(repo->id, "/");

    return km_arena_printf(a, "%s--%.*s--%s", repo->type == KM_REPO_KERNEL ? "kernels" : "models",
                           (int)owner, repo->id, repo->id + owner + 1);
}

static bool is_hex(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

bool km_is_commit(const char *text)
{
    return is_hex(text, KM_OID_HEX_BYTES - 1);
}

bool km_is_sha256(const char *text)
{
    return is_hex(text, KM_ETAG_HEX_BYTES - 1);
}

/* Git takes no such name, and a cache has such a file beside it. */
static bool has_lock_part(const char *path)
{
    static const char name[] = ".lock";
    size_t want = strlen(name), n;

    for (const char *part = path; *part; part += n + (part[n] == '/')) {
        n = strcspn(part, "/");
        if (n >= want && strncasecmp(part + n - want, name, want) == 0)
            return true;
    }
    return false;
}

int km_revision_check(const char *revision, km_err *err)
{
    km_err why = KM_ERR_INIT;

    if (strlen(revision) > KM_HUB_REVISION_BYTES_MAX)
        return km_fail(err, KM_EFORMAT, "the revision '%.64s...' is too long", revision);
    if (km_path_check_relative(revision, &why) < 0 || has_lock_part(revision))
        return km_fail(err, KM_EFORMAT, "'%s' is no name of a revision", revision);
    return 0;
}

long km_revision_version(const char *revision)
{
    char *end;
    long n;

    if (revision[0] != 'v' || revision[1] < '0' || revision[1] > '9')
        return -1;
    n = strtol(revision + 1, &end, 10);
    return *end ? -1 : n;
}

int km_repo_path_check(const char *path, km_err *err)
{
    if (strlen(path) > KM_HUB_PATH_BYTES_MAX)
        return km_fail(err, KM_EFORMAT, "path '%.64s...' is longer than %d bytes", path,
                       KM_HUB_PATH_BYTES_MAX);
    return km_path_check_foreign(path, err);
}
