#include "lab/agents.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/template.h"
#include "lab/agents_internal.h"

const km_role km_roles[] = {
    { "researcher", false, true }, { "planner", false, false },  { "reviewer", false, false },
    { "worker", true, false },     { "reporter", false, false },
};
const size_t km_role_count = sizeof km_roles / sizeof *km_roles;

const char *const km_file_state_names[] = { "made", "the same", "replaced", "kept" };

int km_agents_named(const char *list, unsigned *out, km_err *err)
{
    static const char *const names[] = { "claude", "codex", "opencode", NULL };
    const char *nearest;
    char word[16];

    *out = 0;
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, ","), k = 0;
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        while (names[k] && strcmp(names[k], word) != 0)
            k++;
        if (!names[k]) {
            km_fail(err, KM_EUSAGE, "there is no agent '%s': claude, codex, opencode", word);
            nearest = km_nearest(word, names);
            return nearest ? km_hint(err, "did you mean '%s'?", nearest) : KM_EUSAGE;
        }
        *out |= 1u << k;
        at += n + (at[n] == ',');
    }
    return *out ? 0 : km_fail(err, KM_EUSAGE, "which agents? claude, codex, opencode");
}

/* --- one file --- */

struct writer {
    km_arena *arena;
    const char *templates;
    bool force;
    km_agents_rules rules;
    km_agents_written *out;
    km_str text; /* of the file at hand */
};

/* What is there and says something else is the user's. */
static int state_of(struct writer *w, const char *path, km_file_state *state, km_err *err)
{
    char *there = NULL;
    size_t size = 0;
    int rc = km_file_read(w->arena, path, KM_TEXT_BYTES_MAX, &there, &size, err);

    *state = KM_FILE_MADE;
    if (rc == KM_ENOENT)
        return 0;
    if (rc == 0 && size == w->text.length && memcmp(there, w->text.data, size) == 0)
        *state = KM_FILE_SAME;
    else
        *state = w->force ? KM_FILE_REPLACED : KM_FILE_KEPT;
    return rc;
}

/* A repository that was cloned could lead what is written there to anywhere. */
static int check_links(struct writer *w, const char *dir, const char *name, km_err *err)
{
    struct stat st;

    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *part = km_arena_printf(w->arena, "%s/%.*s", dir, (int)(slash - name), name);
        if (!part)
            return km_fail_nomem(err);
        if (lstat(part, &st) == 0 && S_ISLNK(st.st_mode))
            return km_fail(err, KM_EFORMAT, "'%s' is a link: nothing is written through it", part);
    }
    return 0;
}

/* Writes w->text below `dir`. */
static int put(struct writer *w, const char *dir, const char *name, km_err *err)
{
    char *path = name ? km_path_join(w->arena, dir, name) : NULL;
    km_agents_written *out = w->out;
    km_err none = KM_ERR_INIT;
    km_file_state state = KM_FILE_SAME;
    int rc = path ? km_str_check(&w->text, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = check_links(w, dir, name, err);
    if (rc == 0 && out->count == sizeof out->files / sizeof *out->files)
        rc = km_fail(err, KM_EBUG, "more files of roles than there is room for");
    if (rc == 0 && (rc = state_of(w, path, &state, &none)) < 0 && err)
        *err = none;
    if (rc < 0)
        return rc;
    out->files[out->count++] = (km_agents_file){ path, state };
    out->kept += state == KM_FILE_KEPT;
    if (state == KM_FILE_SAME || state == KM_FILE_KEPT)
        return 0;
    rc = km_dir_make(km_path_dir(w->arena, path), err);
    return rc == 0 ? km_file_write(path, w->text.data, w->text.length, 0644, err) : rc;
}

/* --- a role --- */

static int expand(struct writer *w, const char *name, const km_template_value *values, char **out,
                  km_err *err)
{
    char *path = km_arena_printf(w->arena, "%s/lab/roles/%s.md", w->templates, name);
    km_str text = KM_STR_INIT;
    int rc = path ? km_template_expand_file(path, values, &text, err) : km_fail_nomem(err);

    while (text.length && text.data[text.length - 1] == '\n')
        text.data[--text.length] = '\0';
    *out = rc == 0 ? km_arena_strdup(w->arena, text.data) : NULL;
    km_str_release(&text);
    return rc == 0 && !*out ? km_fail_nomem(err) : rc;
}

/* "`params.h`, `cpu`" */
static const char *list_change(struct writer *w)
{
    const km_list *change = &w->rules.settings->workspace.change;
    const char *text = change->count ? "" : "what its text names";

    for (size_t i = 0; i < change->count && text; i++)
        text = km_arena_printf(w->arena, "%s%s`%s`", text, i ? ", " : "", change->items[i]);
    return text;
}

/* The prompt, and what its first line "# name: what for" says. */
static int read_role(struct writer *w, const km_role *r, char **prompt, char **description,
                     km_err *err)
{
    const km_lab_settings *s = w->rules.settings;
    char *common = NULL, *colon;
    km_template_value values[] = {
        { "name", s->name },
        { "metric", s->metric },
        { "direction", s->direction },
        { "change", list_change(w) },
        { "tree", r->writes ? "It is yours alone, at the commit of the idea's parent."
                            : "It is read-only: the champion, or the commit of the idea that is "
                              "reviewed." },
        { "common", NULL },
        { NULL, NULL },
    };
    int rc = expand(w, "common", values, &common, err);

    values[5].value = common;
    if (rc == 0)
        rc = expand(w, r->name, values, prompt, err);
    colon = rc == 0 ? strstr(*prompt, ": ") : NULL;
    if (rc == 0 && (!colon || **prompt != '#' || colon > strchr(*prompt, '\n')))
        rc = km_fail(err, KM_EFORMAT, "the role '%s' begins with no line '# %s: what for'", r->name,
                     r->name);
    if (rc == 0 && strstr(*prompt, "'''"))
        rc = km_fail(err, KM_EFORMAT, "the role '%s' has ''' in it, which TOML cannot keep",
                     r->name);
    if (rc < 0)
        return rc;
    *description = colon ? km_arena_strndup(w->arena, colon + 2, strcspn(colon + 2, "\n")) : NULL;
    return *description ? 0 : km_fail_nomem(err);
}

static int put_role(struct writer *w, const char *root, unsigned agents, const km_role *r,
                    km_err *err)
{
    const char *folder = w->rules.folder;
    char *prompt = NULL, *description = NULL;
    int rc = read_role(w, r, &prompt, &description, err);

    if (rc < 0)
        return rc;
    km_str_clear(&w->text);
    km_str_printf(&w->text, "%s\n", prompt);
    rc = put(w, root, km_arena_printf(w->arena, "roles/%s.md", r->name), err);
    km_str_clear(&w->text);
    if (rc == 0 && (agents & KM_AGENT_CLAUDE)) {
        km_agents_claude_role(r, description, prompt, &w->text);
        rc = put(w, folder, km_arena_printf(w->arena, ".claude/agents/%s.md", r->name), err);
    }
    km_str_clear(&w->text);
    if (rc == 0 && (agents & KM_AGENT_CODEX)) {
        km_agents_codex_role(r, description, prompt, &w->text);
        rc = put(w, folder, km_arena_printf(w->arena, ".codex/agents/%s.toml", r->name), err);
    }
    km_str_clear(&w->text);
    if (rc == 0 && (agents & KM_AGENT_OPENCODE)) {
        km_agents_opencode_role(&w->rules, r, description, prompt, &w->text);
        rc = put(w, folder, km_arena_printf(w->arena, ".opencode/agent/%s.md", r->name), err);
    }
    return rc;
}

/* --- the settings --- */

static int put_settings(struct writer *w, unsigned agents, km_err *err)
{
    int rc = 0;

    km_str_clear(&w->text);
    if (agents & KM_AGENT_CLAUDE)
        rc = km_agents_claude_settings(&w->rules, &w->text, err);
    if (rc == 0 && (agents & KM_AGENT_CLAUDE))
        rc = put(w, w->rules.folder, ".claude/settings.json", err);
    km_str_clear(&w->text);
    if (rc == 0 && (agents & KM_AGENT_CODEX))
        rc = km_agents_codex_settings(&w->text, err);
    if (rc == 0 && (agents & KM_AGENT_CODEX))
        rc = put(w, w->rules.folder, ".codex/config.toml", err);
    km_str_clear(&w->text);
    if (rc == 0 && (agents & KM_AGENT_OPENCODE))
        rc = km_agents_opencode_settings(&w->rules, &w->text, err);
    if (rc == 0 && (agents & KM_AGENT_OPENCODE))
        rc = put(w, w->rules.folder, "opencode.json", err);
    return rc;
}

/* The command lines, behind what lab.toml says, where it says nothing of them. */
static int add_commands(struct writer *w, const char *root, unsigned agents, km_err *err)
{
    char *path = km_path_join(w->arena, root, "lab.toml"), *text = NULL;
    size_t size;
    int rc = path ? km_file_read(w->arena, path, KM_TEXT_BYTES_MAX, &text, &size, err)
                  : km_fail_nomem(err);

    if (rc < 0 || strstr(text, "[roles]"))
        return rc;
    km_str_clear(&w->text);
    km_str_printf(&w->text, "%s%s\n", text, size && text[size - 1] != '\n' ? "\n" : "");
    km_agents_commands(agents, &w->text);
    rc = km_str_check(&w->text, err);
    return rc == 0 ? km_file_write(path, w->text.data, w->text.length, 0644, err) : rc;
}

int km_agents_write(km_lab *lab, const char *templates, unsigned agents, bool force,
                    km_agents_written *out, km_err *err)
{
    struct writer w = { .arena = &lab->arena,
                        .templates = templates,
                        .force = force,
                        .out = out,
                        .text = KM_STR_INIT };
    km_lab_settings settings;
    int rc = km_lab_settings_read(&lab->arena, lab->root, &settings, err);

    *out = (km_agents_written){ .count = 0 };
    if (rc == 0)
        rc = km_agents_rules_find(&lab->arena, lab->root, &settings, &w.rules, err);
    for (size_t i = 0; rc == 0 && i < km_role_count; i++)
        rc = put_role(&w, lab->root, agents, &km_roles[i], err);
    if (rc == 0)
        rc = put_settings(&w, agents, err);
    if (rc == 0)
        rc = add_commands(&w, lab->root, agents, err);
    km_str_release(&w.text);
    return rc;
}
