/* lab/agents.h: the roles of a lab for coding agents. One source, templates/lab/roles/<role>.md,
 * whose first line says what the role is for, gives
 *
 *     roles/<role>.md           the prompt, which `lab run` puts before the job
 *     Claude Code               .claude/agents/<role>.md, .claude/settings.json
 *     Codex                     .codex/agents/<role>.toml, .codex/config.toml
 *     OpenCode                  .opencode/agent/<role>.md, opencode.json
 *
 * and, commented, the command lines of [roles] in a lab.toml that says nothing of it. The prompts
 * are the lab's, the others belong to the repository that ideas change: an agent finds them in its
 * tree when they are committed. A file that is there and says something else is kept.
 *
 * Only the worker may write, and only what [workspace] lets an idea change. That is for an agent
 * that does as it is told; what decides is lab/workspace.h, which looks at the commit.
 *
 * Formats as of: Claude Code's sub-agents and settings (a rule Edit(/path) is for every tool that
 * writes, deny wins); Codex's custom agents (name, description, developer_instructions are needed);
 * OpenCode's agents with "permission", which its version 2 still reads.
 */
#ifndef KERNMILL_LAB_AGENTS_H
#define KERNMILL_LAB_AGENTS_H

#include "lab/lab.h"
#include "lab/settings.h"

typedef enum {
    KM_AGENT_CLAUDE = 1,
    KM_AGENT_CODEX = 2,
    KM_AGENT_OPENCODE = 4,
} km_agent; /* to be ored */

/* "claude,codex". Errors: KM_EUSAGE naming the word. */
int km_agents_named(const char *list, unsigned *out, km_err *err);

typedef enum { KM_FILE_MADE, KM_FILE_SAME, KM_FILE_REPLACED, KM_FILE_KEPT } km_file_state;

extern const char *const km_file_state_names[]; /* "made", "the same", "replaced", "kept" */

typedef struct {
    const char *path; /* in the arena, as everything here */
    km_file_state state;
} km_agents_file;

typedef struct {
    km_agents_file files[32];
    size_t count, kept;
} km_agents_written;

/* Writes them; `templates` is the folder that holds lab/roles. With `force` what differs is
 * replaced. Errors: those of the files. */
int km_agents_write(km_lab *lab, const char *templates, unsigned agents, bool force,
                    km_agents_written *out, km_err *err);

#endif
