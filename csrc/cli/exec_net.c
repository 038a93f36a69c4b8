/* How kernmill becomes kernmill-net. That links libcurl, which a machine may lack, and then the
 * loader would end the process with a message of its own: so the library is looked for before. */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "core/file.h"
#include "core/token.h"
#include "pkg/home.h"

#define CURL            "libcurl.so.4"
#define LOADER_CACHE    "/etc/ld.so.cache"
#define CACHE_BYTES_MAX (16u << 20)

/* Whether the loader's list of libraries has libcurl. To load it in order to know would cost as
 * much again as kernmill-net needs to start. */
static bool is_listed(km_arena *a)
{
    char *data;
    size_t size;

    return km_file_read(a, LOADER_CACHE, CACHE_BYTES_MAX, &data, &size, NULL) == 0 &&
           memmem(data, size, CURL, sizeof CURL);
}

static bool can_be_loaded(void)
{
    void *library = dlopen(CURL, RTLD_LAZY | RTLD_LOCAL);

    if (library)
        dlclose(library);
    return library != NULL;
}

int km_exec_net(char **argv, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_home home;
    int rc = km_home_find(&a, &home, err);

    if (rc < 0)
        goto out;
    if (!km_file_exists(home.net_program)) {
        rc = km_fail(err, KM_EENV, "'%s' is missing: this command needs the network",
                     home.net_program);
        km_hint(err, "install kernmill again: pip install --force-reinstall kernmill");
        goto out;
    }
    if (!is_listed(&a) && !can_be_loaded()) {
        rc = km_fail(err, KM_EENV, "libcurl is missing: this command needs the network");
        km_hint(err, "apt install libcurl4");
        goto out;
    }
    km_token_give_back();
    execv(home.net_program, argv);
    rc = km_fail_errno(err, errno, "unable to start '%s'", home.net_program);
out:
    km_arena_release(&a);
    return rc;
}
