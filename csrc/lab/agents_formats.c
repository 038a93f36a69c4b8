/* lab/agents_formats.c: what each harness wants to read. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/path.h"
#include "formats/toml_write.h"
#include "lab/agents_internal.h"
#include "lab/manifest.h"

/* --- what no idea may change --- */

/* Whether something open lies below the first `n` bytes of a path, which are a folder's. */
static bool has_open(const km_list *change, const char *path, size_t n)
{
    for (size_t i = 0; i < change->count; i++)
        if (strncmp(change->items[i], path, n) == 0)
            return true;
    return false;
}

/* The widest folder around a closed path with nothing open in it, or the path. */
static int add_closed(km_agents_rules *r, const char *path, km_err *err)
{
    const km_list *change = &r->settings->workspace.change;
    char *name = km_arena_strdup(r->arena, path);

    if (!name)
        return km_fail_nomem(err);
    for (char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/'))
        if (!has_open(change, name, (size_t)(slash + 1 - name))) {
            slash[1] = '\0';
            break;
        }
    for (size_t i = 0; i < r->closed.count; i++)
        if (strcmp(r->closed.items[i], name) == 0)
            return 0;
    r->closed.items[r->closed.count++] = name;
    return 0;
}

int km_agents_rules_find(km_arena *a, const char *root, const km_lab_settings *s,
                         km_agents_rules *out, km_err *err)
{
    static const char *const ours[] = { "lab.toml", "roles/x",     ".claude/x",
                                        ".codex/x", ".opencode/x", "opencode.json" };
    const km_list *change = &s->workspace.change;
    km_git_list tracked = { NULL, 0 };
    char *prefix = NULL;
    km_git g = { a, NULL, NULL };
    int rc = 0;

    *out = (km_agents_rules){ .arena = a, .settings = s, .prefix = "" };
    out->folder = root;
    if (s->workspace.given && strcmp(s->workspace.repository, ".") != 0)
        out->folder = km_path_join(a, root, s->workspace.repository);
    if (!out->folder)
        return km_fail_nomem(err);
    g.dir = out->folder;
    if (s->workspace.given)
        rc = km_git_text(&g, &prefix, err, KM_GIT("rev-parse", "--show-prefix"));
    if (rc == 0 && s->workspace.given)
        rc = km_git_names(&g, &tracked, err, KM_GIT("ls-files", "-z"));
    out->prefix = prefix ? prefix : "";
    out->closed.items = km_arena_array(a, tracked.count + 8, sizeof(char *));
    if (rc == 0 && !out->closed.items)
        rc = km_fail_nomem(err);
    for (size_t i = 0; rc == 0 && i < sizeof ours / sizeof *ours; i++)
        rc = add_closed(out, ours[i], err);
    for (size_t i = 0; rc == 0 && i < tracked.count; i++)
        if (!km_manifest_is_open(tracked.items[i], "", change->items, change->count))
            rc = add_closed(out, tracked.items[i], err);
    return rc;
}

static int add_json(json_t *doc, km_str *out, km_err *err)
{
    char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
    int rc = text ? 0 : km_fail_nomem(err);

    if (text)
        km_str_printf(out, "%s\n", text);
    free(text);
    json_decref(doc);
    return rc;
}

/* --- Claude Code --- */

void km_agents_claude_role(const km_role *r, const char *description, const char *prompt,
                           km_str *out)
{
    km_str_printf(out,
                  "---\nname: %s\ndescription: %s\ntools: Read, Grep, Glob%s\n"
                  "permissionMode: %s\n---\n\n%s\n",
                  r->name, description,
                  r->writes  ? ", Edit, Write, Bash"
                  : r->reads ? ", WebSearch, WebFetch"
                             : "",
                  r->writes ? "acceptEdits" : "dontAsk", prompt);
}

/* "Edit(/cpu/..)": a path from the project's folder; it is for every tool that writes. */
static void add_rule(json_t *list, const char *path)
{
    bool folder = *path && path[strlen(path) - 1] == '/';

    json_array_append_new(list, json_sprintf("Edit(/%s%s)", path, folder ? "**" : ""));
}

/* Shell commands run in the sandbox, which keeps the same rules: else a shell would write what Edit
 * may not. */
int km_agents_claude_settings(const km_agents_rules *rules, km_str *out, km_err *err)
{
    const km_list *change = &rules->settings->workspace.change;
    json_t *allow = json_array(), *deny = json_array();

    for (size_t i = 0; i < change->count; i++) {
        json_array_append_new(allow, json_sprintf("Edit(/%s)", change->items[i]));
        json_array_append_new(allow, json_sprintf("Edit(/%s/**)", change->items[i]));
    }
    for (size_t i = 0; i < rules->closed.count; i++)
        add_rule(deny, rules->closed.items[i]);
    return add_json(json_pack("{s:{s:o,s:o},s:{s:b,s:b,s:b}}", "permissions", "allow", allow,
                              "deny", deny, "sandbox", "enabled", 1, "autoAllowBashIfSandboxed", 1,
                              "allowUnsandboxedCommands", 0),
                    out, err);
}

/* --- Codex --- */

void km_agents_codex_role(const km_role *r, const char *description, const char *prompt,
                          km_str *out)
{
    km_str_printf(out, "name = \"%s\"\ndescription = ", r->name);
    km_toml_add_text(out, description);
    km_str_printf(out,
                  "\nsandbox_mode = \"%s\"\n"
                  "developer_instructions = '''\n%s\n'''\n",
                  r->writes ? "workspace-write" : "read-only", prompt);
}

/* Codex has no rules for single paths: an idea that changes what it may not is found invalid. */
int km_agents_codex_settings(km_str *out, km_err *err)
{
    km_str_add(out, "# Of the lab. Roles that only read say so in .codex/agents.\n"
                    "sandbox_mode = \"workspace-write\"\n\n"
                    "[sandbox_workspace_write]\nnetwork_access = false\n\n"
                    "[agents]\nmax_depth = 1\n");
    return km_str_check(out, err);
}

/* --- OpenCode --- */

/* Paths from the top of the repository; '*' is any text, and the last rule that fits counts. */
static json_t *edit_rules(const km_agents_rules *rules)
{
    const km_list *change = &rules->settings->workspace.change;
    json_t *edit = json_pack("{s:s}", "*", "deny");
    char *name;

    for (size_t i = 0; i < change->count; i++) {
        name = km_arena_printf(rules->arena, "%s%s", rules->prefix, change->items[i]);
        json_object_set_new(edit, name ? name : "", json_string("allow"));
        name = km_arena_printf(rules->arena, "%s%s/*", rules->prefix, change->items[i]);
        json_object_set_new(edit, name ? name : "", json_string("allow"));
    }
    return edit;
}

static void add_map(const json_t *map, km_str *out)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)map, key, value)
        km_str_printf(out, "    \"%s\": %s\n", key, json_string_value(value));
}

void km_agents_opencode_role(const km_agents_rules *rules, const km_role *r,
                             const char *description, const char *prompt, km_str *out)
{
    json_t *edit = edit_rules(rules);

    km_str_printf(out, "---\ndescription: %s\nmode: all\npermission:\n", description);
    if (r->writes) {
        km_str_add(out, "  edit:\n");
        add_map(edit, out);
    } else {
        km_str_add(out, "  edit: deny\n");
    }
    km_str_printf(
        out,
        "  bash: %s\n  webfetch: %s\n  task: deny\n  external_directory:\n    \"*\": deny\n"
        "    \"*/.lab/runs/*\": allow\n---\n\n%s\n",
        r->writes ? "allow" : "deny", r->reads ? "allow" : "deny", prompt);
    json_decref(edit);
}

int km_agents_opencode_settings(const km_agents_rules *rules, km_str *out, km_err *err)
{
    return add_json(json_pack("{s:{s:o}}", "permission", "edit", edit_rules(rules)), out, err);
}

/* --- [roles] --- */

static void add_claude(const km_role *r, km_str *out)
{
    km_str_printf(out,
                  "# %s = 'claude -p --output-format json --permission-mode %s --tools "
                  "Read,Grep,Glob%s%s --add-dir \"$KERNMILL_RUN_DIR\"'\n",
                  r->name, r->writes ? "acceptEdits" : "dontAsk",
                  r->writes  ? ",Edit,Write,Bash"
                  : r->reads ? ",WebSearch,WebFetch"
                             : "",
                  r->reads ? " --allowedTools WebSearch,WebFetch" : "");
}

void km_agents_commands(unsigned agents, km_str *out)
{
    km_str_add(out,
               "# Who fills which role: a command for the shell, which reads the role's prompt "
               "and the job. One line of each.\n"
               "# [roles]\n# limit = 1800       # seconds for one job\n"
               "# output_mb = 64     # what one job may print\n");
    for (size_t i = 0; i < km_role_count; i++) {
        const km_role *r = &km_roles[i];
        if (agents & KM_AGENT_CLAUDE)
            add_claude(r, out);
        if (agents & KM_AGENT_CODEX)
            km_str_printf(out, "# %s = 'codex exec --json --sandbox %s -'\n", r->name,
                          r->writes ? "workspace-write" : "read-only");
        if (agents & KM_AGENT_OPENCODE)
            km_str_printf(out, "# %s = 'opencode run --format json --agent %s'\n", r->name,
                          r->name);
    }
}
