#include "lab/patch.h"

#include <string.h>

#include "core/path.h"

static const struct {
    const char *ext, *comment;
} languages[] = {
    { ".py", "#" },   { ".sh", "#" },   { ".toml", "#" }, { ".yaml", "#" },
    { ".yml", "#" },  { ".c", "//" },   { ".h", "//" },   { ".cc", "//" },
    { ".cpp", "//" }, { ".hpp", "//" }, { ".cu", "//" },  { ".cuh", "//" },
};

/* NULL: no line of such a file is only a comment. */
static const char *comment_of(const char *path)
{
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++)
        if (strcmp(languages[i].ext, km_path_ext(path)) == 0)
            return languages[i].comment;
    return NULL;
}

static bool says_nothing(const char *line, size_t length, const char *comment)
{
    size_t skip = 0;

    while (skip < length && strchr(" \t", line[skip]))
        skip++;
    if (skip == length)
        return true;
    return comment && length - skip >= strlen(comment) &&
           strncmp(line + skip, comment, strlen(comment)) == 0 &&
           strncmp(line + skip, "#!", 2) != 0;
}

/* What a text says, line by line. */
static void add_text(km_hasher *h, const char *text, const char *comment)
{
    while (*text) {
        size_t length = strcspn(text, "\n"), used = length;
        while (used && strchr(" \t\r", text[used - 1]))
            used--;
        if (!says_nothing(text, used, comment)) {
            km_hasher_add(h, text, used);
            km_hasher_add(h, "\n", 1);
        }
        text += length + (text[length] == '\n');
    }
}

/* What `commit` says in a file; "" when it has none. */
static int hash_file(const km_git *g, const char *commit, const char *path, km_sha256 *out,
                     km_err *err)
{
    const char *name = km_arena_printf(g->arena, "%s:%s", commit, path);
    km_err missing = KM_ERR_INIT;
    char *text = NULL;
    km_hasher h;
    int rc = name ? km_git_text(g, &text, &missing, KM_GIT("cat-file", "-p", name))
                  : km_fail_nomem(err);

    if (rc == KM_ECHILD)
        text = NULL;
    else if (rc < 0)
        return rc;
    km_hasher_init(&h);
    km_hasher_add_text(&h, text ? "file" : "none");
    if (text)
        add_text(&h, text, comment_of(path));
    return km_hasher_final(&h, out, err);
}

int km_patch_id(const km_git *g, const char *parent, const char *commit, const km_git_list *changed,
                char id[KM_SHA256_HEX_BYTES], bool *none, km_err *err)
{
    const char *spec = km_arena_printf(g->arena, "%s^{tree}", parent);
    km_sha256 before, after, all;
    char *tree = NULL;
    km_hasher h;
    int rc = spec ? km_git_text(g, &tree, err, KM_GIT("rev-parse", spec)) : km_fail_nomem(err);

    if (rc < 0)
        return rc;
    *none = true;
    km_hasher_init(&h);
    km_hasher_add_text(&h, tree);
    for (size_t i = 0; rc == 0 && i < changed->count; i++) {
        rc = hash_file(g, parent, changed->items[i], &before, err);
        if (rc == 0)
            rc = hash_file(g, commit, changed->items[i], &after, err);
        if (rc < 0 || memcmp(&before, &after, sizeof before) == 0)
            continue;
        *none = false;
        km_hasher_add_text(&h, changed->items[i]);
        km_hasher_add(&h, &after, sizeof after);
    }
    if (km_hasher_final(&h, &all, err) < 0)
        return err ? err->code : KM_EIO;
    km_hash_hex(&all, id);
    return rc;
}
