/* kernmill lab init: a lab, the roles for agents, a lab to start from. */
#include <stdio.h>
#include <string.h>

#include "cli/lab.h"
#include "core/file.h"
#include "core/path.h"
#include "lab/agents.h"
#include "lab/champion.h"
#include "lab/search.h"
#include "lab/starter.h"
#include "pkg/home.h"

typedef struct {
    km_common common;
    const char *from, *agents;
    bool force;
} init_fields;

struct init {
    const init_fields *f;
    km_lab lab;
    km_arena arena;
    const char *dir;
    km_home home;
    unsigned agents;
    km_agents_written files;
    km_champion champion;
    bool made, begins; /* a new store; another baseline */
};

/* A slip of the pen would make every idea invalid; but an idea may add a file, too. */
static void note_missing(struct init *i, const km_workspace *w)
{
    const km_list *change = &w->settings.workspace.change;
    km_term term = i->f->common.term;

    for (size_t k = 0; k < change->count; k++) {
        char *path = km_path_join(&i->lab.arena, w->git.dir, change->items[k]);
        if (path && !km_file_exists(path) && !km_dir_exists(path))
            km_term_note(&term, "[workspace] change: there is no '%s' yet", change->items[k]);
    }
}

/* What ideas start from, where they are commits. */
static int begin_champion(struct init *i, km_err *err)
{
    km_champion before = { 0, 0, NULL };
    km_workspace w;
    int rc = km_workspace_open(&w, &i->lab, err);

    if (rc <= 0)
        return rc;
    note_missing(i, &w);
    rc = w.settings.search.given ? km_search_check(&i->lab, &w.settings, w.git.dir, err) : 0;
    if (rc == 0)
        rc = km_champion_read(&i->lab, &before, err);
    if (rc >= 0)
        rc = km_champion_begin(&w, err);
    if (rc == 0)
        rc = km_champion_read(&i->lab, &i->champion, err);
    i->begins = rc > 0 && i->champion.id != before.id;
    return rc < 0 ? rc : 0;
}

static int make(struct init *i, km_err *err)
{
    const init_fields *f = i->f;
    int rc = f->agents ? km_agents_named(f->agents, &i->agents, err) : 0;

    if (rc == 0 && (f->from || f->agents))
        rc = km_home_find(&i->arena, &i->home, err);
    if (rc == 0 && f->from)
        rc = km_starter_copy(&i->arena, i->home.templates, f->from, i->dir, err);
    if (rc == 0)
        rc = km_lab_make(&i->lab, i->dir, &i->made, err);
    if (rc == 0 && f->agents)
        rc = km_agents_write(&i->lab, i->home.templates, i->agents, f->force, &i->files, err);
    if (rc == 0 && f->from)
        rc = km_starter_commit(&i->arena, f->from, i->dir, err);
    return rc == 0 ? begin_champion(i, err) : rc;
}

static json_t *files_json(const km_agents_written *w)
{
    json_t *list = json_array();

    for (size_t k = 0; k < w->count; k++)
        json_array_append_new(list, json_pack("{s:s,s:s}", "path", w->files[k].path, "state",
                                              km_file_state_names[w->files[k].state]));
    return list;
}

static int answer(struct init *i, km_err *err)
{
    km_term *term = &((init_fields *)i->f)->common.term;

    if (i->f->common.json)
        return km_print_json(json_pack("{s:i,s:s,s:s,s:b,s:o}", "schema", KM_JSON_SCHEMA, "name",
                                       i->lab.name, "store", i->lab.store, "made", i->made, "files",
                                       files_json(&i->files)),
                             err);
    printf("%s: %s\n", i->lab.store, i->made ? "made" : "lab.toml read again");
    if (i->begins)
        printf("ideas start from commit %.12s\n", i->champion.commit);
    for (size_t k = 0; k < i->files.count; k++)
        printf("%s: %s\n", i->files.files[k].path, km_file_state_names[i->files.files[k].state]);
    if (i->files.kept)
        km_term_note(term, "what is kept says something else; --force replaces it");
    else if (i->f->agents && !i->f->from)
        km_term_note(term,
                     "take the command lines at the end of lab.toml into [roles], commit, and "
                     "`kernmill lab init` again: an agent works in a tree of the commit");
    return 0;
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    struct init i = { .f = fields, .lab = KM_LAB_INIT, .arena = KM_ARENA_INIT, .dir = "." };
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0 && i.f->force && !i.f->agents)
        rc = km_fail(err, KM_EUSAGE, "--force is for the files of --agents");
    if (rc == 0) {
        i.dir = arg_count ? args[0] : ".";
        rc = make(&i, err);
    }
    if (rc == 0)
        rc = answer(&i, err);
    km_lab_close(&i.lab);
    km_arena_release(&i.arena);
    return rc == 0 && i.files.kept ? KM_EXIT_NO : rc;
}

static const km_opt options[] = {
    KM_OPT_TEXT("from", 0, "NAME", init_fields, from,
                "start from rmsnorm, rmsnorm-cuda, language-model or post-training"),
    KM_OPT_TEXT("agents", 'a', "LIST", init_fields, agents,
                "write the roles for claude,codex,opencode"),
    KM_OPT_FLAG("force", 'f', init_fields, force, "replace files of roles that say something else"),
    KM_OPT_END,
};

extern const km_command km_cmd_lab_init;
const km_command km_cmd_lab_init = {
    .name = "lab init",
    .help = "make a lab, or read its lab.toml again; write the roles for agents",
    .args = "[DIR]",
    .more =
        "--from copies a lab into DIR, a git repository with one commit. --agents writes "
        "roles/ROLE.md, the\n"
        "prompts that `lab run` gives, and each agent's own files (.claude, .codex, .opencode): "
        "who only\n"
        "reads gets no tool that writes, a worker may edit what [workspace] lets an idea change. "
        "A file that\n"
        "says something else is kept: exit code 1. Command lines for [roles] are left in a "
        "lab.toml that has\n"
        "none, as comments.",
    .options = options,
    .fields_size = sizeof(init_fields),
    .run = run,
};
