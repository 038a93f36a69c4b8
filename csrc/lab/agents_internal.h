/* lab/agents_internal.h: what the parts of agents.h share. */
#ifndef KERNMILL_LAB_AGENTS_INTERNAL_H
#define KERNMILL_LAB_AGENTS_INTERNAL_H

#include "core/str.h"
#include "lab/agents.h"
#include "lab/git.h"

typedef struct {
    const char *name;   /* "worker" */
    bool writes, reads; /* `reads`: the web, too */
} km_role;

extern const km_role km_roles[];
extern const size_t km_role_count;

/* What an idea may change and what it may not, as this lab has it. */
typedef struct {
    km_arena *arena;
    const km_lab_settings *settings;
    const char *folder; /* of the repository that ideas change */
    const char *prefix; /* of that folder in it */
    km_git_list closed; /* files and folders, below `folder`, that no idea may change */
} km_agents_rules;

int km_agents_rules_find(km_arena *a, const char *root, const km_lab_settings *s,
                         km_agents_rules *out, km_err *err);

/* A role's file for a harness: its prompt with a head. */
void km_agents_claude_role(const km_role *r, const char *description, const char *prompt,
                           km_str *out);
void km_agents_codex_role(const km_role *r, const char *description, const char *prompt,
                          km_str *out);
void km_agents_opencode_role(const km_agents_rules *rules, const km_role *r,
                             const char *description, const char *prompt, km_str *out);

/* The harness's settings for the project. */
int km_agents_claude_settings(const km_agents_rules *rules, km_str *out, km_err *err);
int km_agents_codex_settings(km_str *out, km_err *err);
int km_agents_opencode_settings(const km_agents_rules *rules, km_str *out, km_err *err);

/* [roles], every line a comment. */
void km_agents_commands(unsigned agents, km_str *out);

#endif
