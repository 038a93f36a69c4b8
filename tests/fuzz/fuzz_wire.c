/* What a hub answers: the first byte says as what it is read. Whatever comes through has names that
 * stay in their folder, each once. */
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "net/url.h"
#include "net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine)
{
    if (!fine)
        abort();
}

static void read_tree(km_arena *a, json_t *doc, km_err *err)
{
    km_hub_tree t;

    if (km_hub_tree_read(a, &doc, 1, "build", "fuzz", &t, err) < 0) {
        check(err->message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < t.count; i++) {
        const km_hub_entry *e = &t.entries[i];
        check(km_repo_path_check(e->path, NULL) == 0 && strncmp(e->path, "build/", 6) == 0);
        check(!i || strcmp(t.entries[i - 1].path, e->path) < 0);
        check(km_hub_tree_find(&t, e->path) == e);
        check(km_is_commit(e->oid) && (!*e->sha256 || km_is_sha256(e->sha256)));
    }
}

static void read_refs(km_arena *a, json_t *doc, km_err *err)
{
    km_hub_refs refs;

    if (km_hub_refs_read(a, doc, "fuzz", &refs, err) < 0) {
        check(err->message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < refs.branch_count; i++)
        check(km_revision_check(refs.branches[i].name, NULL) == 0 &&
              km_hub_refs_find(&refs, refs.branches[i].name));
}

static void read_info(km_arena *a, json_t *doc, km_err *err)
{
    km_hub_info info;

    if (km_hub_info_read(a, doc, "fuzz", &info, err) == 0)
        check(km_is_commit(info.commit));
}

static void read_kernels(km_arena *a, json_t *doc, km_err *err)
{
    km_hub_kernels kernels;
    km_repo repo;

    if (km_hub_kernels_read(a, doc, "fuzz", &kernels, err) < 0) {
        check(err->message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < kernels.count; i++)
        check(km_repo_parse(a, kernels.items[i].id, KM_REPO_KERNEL, &repo, err) == 0);
}

/* What is sent and what was checked are the same. */
static void read_url(km_arena *a, const char *text, km_err *err)
{
    km_url url, again;

    if (km_url_parse(a, text, &url, err) < 0)
        return;
    check(km_url_parse(a, url.text, &again, err) == 0 && km_url_same_origin(&url, &again));
    check(strchr(url.show, '?') == NULL && url.host[0] && !strchr(url.host, '@'));
    km_url_join(a, &url, "../x?y", &again, err);
    check(km_url_same_origin(&url, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    json_t *doc = NULL;

    if (!size)
        return 0;
    if (data[0] == 'u') {
        read_url(&a, km_arena_strndup(&a, (const char *)data + 1, size - 1), &err);
    } else if (km_json_parse((const char *)data + 1, size - 1, "fuzz", &doc, &err) == 0) {
        if (data[0] == 't')
            read_tree(&a, doc, &err);
        else if (data[0] == 'r')
            read_refs(&a, doc, &err);
        else if (data[0] == 'k')
            read_kernels(&a, doc, &err);
        else
            read_info(&a, doc, &err);
    }
    json_decref(doc);
    km_arena_release(&a);
    return 0;
}
