#include "lab/patch.h"

#include <string.h>

#include "core/path.h"

#define PYTHON ".py"

/* Of which we know what says nothing; of every other file each byte counts. In a text of several
 * lines a line may look like a comment: in Python such texts are followed, and where there may be
 * one of another language (`texts`), each byte counts. */
static const struct language {
    const char *ext, *comment, *texts[2];
} languages[] = {
    { PYTHON, "#", { NULL, NULL } },   { ".toml", "#", { "\"\"\"", "'''" } },
    { ".c", "//", { "R\"", NULL } },   { ".h", "//", { "R\"", NULL } },
    { ".cc", "//", { "R\"", NULL } },  { ".cpp", "//", { "R\"", NULL } },
    { ".hpp", "//", { "R\"", NULL } }, { ".cu", "//", { "R\"", NULL } },
    { ".cuh", "//", { "R\"", NULL } },
};

static const struct language *language_of(const char *path)
{
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++)
        if (strcmp(languages[i].ext, km_path_ext(path)) == 0)
            return &languages[i];
    return NULL;
}

static bool has_texts(const struct language *l, const char *text)
{
    for (size_t i = 0; i < 2 && l->texts[i]; i++)
        if (strstr(text, l->texts[i]))
            return true;
    return false;
}

/* A comment may end another one, and the line after a backslash is part of it. */
static bool says_nothing(const char *line, size_t length, const char *comment)
{
    size_t skip = 0;

    while (skip < length && strchr(" \t", line[skip]))
        skip++;
    if (skip == length)
        return true;
    return length - skip >= strlen(comment) &&
           strncmp(line + skip, comment, strlen(comment)) == 0 &&
           strncmp(line + skip, "#!", 2) != 0 && line[length - 1] != '\\' &&
           !memmem(line, length, "*/", 2);
}

/* The end of a text of one line that begins with a quote at `i`. */
static size_t end_of_text(const char *line, size_t length, size_t i)
{
    char quote = line[i++];

    while (i < length && line[i] != quote)
        i += line[i] == '\\' ? 2 : 1;
    return i + 1;
}

/* The quotes of the text of several lines that is open at the end of a line of Python, or NULL;
 * `open`: at its start. */
static const char *open_text(const char *line, size_t length, const char *open)
{
    size_t i = 0;

    while (i < length) {
        bool triple = length - i >= 3 &&
                      (strncmp(line + i, "\"\"\"", 3) == 0 || strncmp(line + i, "'''", 3) == 0);
        if (open && triple && line[i] == *open) {
            open = NULL;
            i += 3;
        } else if (open) {
            i += line[i] == '\\' ? 2 : 1;
        } else if (triple) {
            open = line[i] == '"' ? "\"" : "'";
            i += 3;
        } else if (line[i] == '#') {
            break;
        } else {
            i = line[i] == '"' || line[i] == '\'' ? end_of_text(line, length, i) : i + 1;
        }
    }
    return open;
}

/* What a text says, line by line. */
static void add_text(km_hasher *h, const char *text, const struct language *l)
{
    bool python = strcmp(l->ext, PYTHON) == 0, goes_on = false;
    const char *open = NULL;

    while (*text) {
        size_t length = strcspn(text, "\n"), used = length;
        while (!open && used && strchr(" \t\r", text[used - 1]))
            used--;
        if (open || goes_on || !says_nothing(text, used, l->comment)) {
            km_hasher_add(h, text, used);
            km_hasher_add(h, "\n", 1);
        }
        goes_on = used && text[used - 1] == '\\';
        open = python ? open_text(text, length, open) : NULL;
        text += length + (text[length] == '\n');
    }
}

/* A file of a commit: its mode and what it says; "" when it has none. */
static int hash_file(const km_git *g, const char *commit, const char *path, km_sha256 *out,
                     km_err *err)
{
    const struct language *l = language_of(path);
    char *entry = NULL, *id, *text = NULL;
    km_hasher h;
    int rc = km_git_text(
        g, &entry, err,
        KM_GIT("--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, "--", path));

    if (rc < 0)
        return rc;
    entry[strcspn(entry, "\t")] = '\0'; /* "100644 blob <id>" */
    id = strrchr(entry, ' ');
    if (id && l && strncmp(entry, "100", 3) == 0)
        rc = km_git_text(g, &text, err, KM_GIT("cat-file", "blob", id + 1));
    if (rc < 0)
        return rc;
    if (text && !has_texts(l, text))
        *id = '\0'; /* the mode alone */
    else
        text = NULL;
    km_hasher_init(&h);
    km_hasher_add_text(&h, entry);
    if (text)
        add_text(&h, text, l);
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
