/* cli/cmd_skill.c: kernmill skill add NAME, skill list: what agents read to use the program, put
 * where they look for it. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "core/str.h"
#include "pkg/home.h"
#include "skill/install.h"

typedef struct {
    km_common common;
    bool of[KM_HARNESSES];
    bool user, force;
    const char *dest;
} skill_fields;

static const km_opt options[] = {
    KM_OPT_FLAG("claude", 0, skill_fields, of[KM_CLAUDE], "Claude Code: .claude/skills"),
    KM_OPT_FLAG("codex", 0, skill_fields, of[KM_CODEX], "Codex: .agents/skills"),
    KM_OPT_FLAG("opencode", 0, skill_fields, of[KM_OPENCODE], "OpenCode: .opencode/skills"),
    KM_OPT_TEXT("dest", 0, "DIR", skill_fields, dest, "a folder of skills, by its name"),
    KM_OPT_FLAG("user", 'u', skill_fields, user, "the user's folder, not the project's"),
    KM_OPT_FLAG("force", 'f', skill_fields, force, "also where your edits would be lost"),
    KM_OPT_END,
};

enum { PLACES_MAX = 2 * KM_HARNESSES + 1, SUMMARY_BYTES = 78 };

typedef struct {
    km_place places[PLACES_MAX];
    size_t count;
} km_places;

static bool names_a_place(const skill_fields *f)
{
    bool any = f->dest != NULL;

    for (int h = 0; h < KM_HARNESSES; h++)
        any |= f->of[h];
    return any;
}

static int add_places(km_arena *a, const skill_fields *f, bool all, bool user, km_places *out,
                      km_err *err)
{
    for (int h = 0; h < KM_HARNESSES; h++) {
        if (!all && !f->of[h])
            continue;
        if (km_place_of(a, (km_harness)h, user, &out->places[out->count], err) < 0)
            return KM_EENV;
        out->count++;
    }
    return 0;
}

/* `all`: those of every agent, in the project and of the user, when none is named. */
static int choose_places(km_arena *a, const skill_fields *f, bool all, km_places *out, km_err *err)
{
    int rc = 0;

    all = all && !names_a_place(f);
    if (!f->user)
        rc = add_places(a, f, all, false, out, err);
    if (rc == 0 && f->user)
        rc = add_places(a, f, all, true, out, err);
    else if (rc == 0 && all)
        add_places(a, f, all, true, out, NULL); /* who has no home has no skills there */
    if (rc == 0 && f->dest)
        rc = km_place_named(f->dest, &out->places[out->count++], err);
    return rc;
}

/* --- add --- */

static const char *const state_names[] = { "installed", "updated", "current", "kept" };

static json_t *edit_rows(const km_edits *edits)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < edits->count; i++)
        json_array_append_new(rows, json_pack("{s:s,s:s}", "path", edits->edits[i].path, "how",
                                              km_edit_names[edits->edits[i].kind]));
    return rows;
}

static int print_add_json(const km_skill *s, const km_install *installs, size_t count, km_err *err)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s?,s:o}", "path", installs[i].path,
                                              "state", state_names[installs[i].state], "before",
                                              installs[i].before.version, "edits",
                                              edit_rows(&installs[i].edits)));
    return km_print_json(json_pack("{s:i,s:s,s:s,s:I,s:o}", "schema", KM_JSON_SCHEMA, "name",
                                   s->name, "version", KM_VERSION, "files",
                                   (json_int_t)s->files.count, "places", rows),
                         err);
}

static void print_install(const km_skill *s, const km_install *i)
{
    const char *before = i->before.version;

    if (i->state == KM_SKILL_CURRENT)
        printf("%s: up to date, %s\n", i->path, KM_VERSION);
    else if (i->state == KM_SKILL_KEEP && i->newer)
        printf("%s: kept: it is of kernmill %s, newer than this one, %s\n", i->path, before,
               KM_VERSION);
    else if (i->state == KM_SKILL_KEEP)
        printf("%s: kept: it has files that are not as kernmill wrote them\n", i->path);
    else if (before && strcmp(before, KM_VERSION) != 0)
        printf("%s: updated from %s to %s, %zu files\n", i->path, before, KM_VERSION,
               s->files.count);
    else
        printf("%s: %s, %s, %zu files\n", i->path, state_names[i->state], KM_VERSION,
               s->files.count);
    for (size_t e = 0; e < i->edits.count; e++)
        printf("  %s: %s%s\n", i->edits.edits[e].path, km_edit_names[i->edits.edits[e].kind],
               i->state == KM_SKILL_KEEP ? "" : "; as kernmill has it again");
}

static int print_add(skill_fields *f, const km_skill *s, const km_install *installs, size_t count,
                     bool kept, km_err *err)
{
    if (f->common.json)
        return print_add_json(s, installs, count, err);
    for (size_t i = 0; i < count; i++)
        if (!kept || installs[i].state == KM_SKILL_KEEP)
            print_install(s, &installs[i]);
    if (kept)
        km_term_note(&f->common.term,
                     "nothing was written; keep a copy of what you need, then add --force");
    return 0;
}

/* Looks at all places before it writes to one. */
static int add(km_arena *a, skill_fields *f, const km_catalog *c, const char *name, km_err *err)
{
    const km_skill *s = km_catalog_find(c, name, err);
    km_install installs[PLACES_MAX];
    km_places places = { .count = 0 };
    bool kept = false;
    int rc = s ? 0 : KM_EUSAGE;

    if (rc == 0 && !names_a_place(f)) {
        km_fail(err, KM_EUSAGE, "for which agent?");
        return km_hint(err, "add --claude, --codex or --opencode, or --dest DIR");
    }
    if (rc == 0)
        rc = choose_places(a, f, false, &places, err);
    for (size_t i = 0; rc == 0 && i < places.count; i++) {
        rc = km_install_plan(a, s, &places.places[i], f->force, &installs[i], err);
        kept |= rc == 0 && installs[i].state == KM_SKILL_KEEP;
    }
    for (size_t i = 0; rc == 0 && !kept && i < places.count; i++)
        rc = km_install_apply(a, s, &installs[i], err);
    if (rc == 0)
        rc = print_add(f, s, installs, places.count, kept, err);
    return rc == 0 && kept ? KM_EXIT_NO : rc;
}

/* --- list --- */

/* The description's first sentence, or what fits into a line of it. */
static void print_skill(const km_skill *s)
{
    const char *d = s->description, *end = strstr(d, ". ");
    size_t n = end ? (size_t)(end - d) : strlen(d);
    bool cut = n > SUMMARY_BYTES;

    for (n = cut ? SUMMARY_BYTES : n; cut && n && d[n] != ' ';)
        n--;
    printf("  %-14s %.*s%s\n", s->name, (int)n, d, cut ? " ..." : "");
}

static void print_sighting(const km_sighting *s)
{
    if (s->version)
        printf("  %s: %s, of kernmill %s\n", s->path, s->state, s->version);
    else
        printf("  %s: %s%s%s\n", s->path, s->state, s->why ? ": " : "", s->why ? s->why : "");
    for (size_t e = 0; e < s->edits.count; e++)
        printf("    %s: %s\n", s->edits.edits[e].path, km_edit_names[s->edits.edits[e].kind]);
}

static json_t *sighting_row(const km_place *p, const km_sighting *s)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s?,s:s*,s:o}", "agent", p->harness, "scope", p->scope,
                     "path", s->path, "name", s->name, "state", s->state, "version", s->version,
                     "why", s->why, "edits", edit_rows(&s->edits));
}

static int print_list_json(const km_catalog *c, json_t *installed, km_err *err)
{
    json_t *skills = json_array();

    for (size_t i = 0; i < c->count; i++)
        json_array_append_new(skills, json_pack("{s:s,s:s,s:I}", "name", c->skills[i].name,
                                                "description", c->skills[i].description, "files",
                                                (json_int_t)c->skills[i].files.count));
    return km_print_json(json_pack("{s:i,s:s,s:o,s:O}", "schema", KM_JSON_SCHEMA, "version",
                                   KM_VERSION, "skills", skills, "installed", installed),
                         err);
}

static int list_place(km_arena *a, const skill_fields *f, const km_catalog *c, const km_place *p,
                      json_t *rows, km_err *err)
{
    km_sighting *seen;
    size_t count;
    int rc = km_installed_look(a, c, p, &seen, &count, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (json_array_size(rows) == 0 && !f->common.json)
            printf("installed:\n");
        if (json_array_append_new(rows, sighting_row(p, &seen[i])) < 0)
            return km_fail_nomem(err);
        if (!f->common.json)
            print_sighting(&seen[i]);
    }
    return rc;
}

static int list(km_arena *a, const skill_fields *f, const km_catalog *c, km_err *err)
{
    km_places places = { .count = 0 };
    json_t *rows = json_array();
    int rc = choose_places(a, f, true, &places, err);

    if (rc == 0 && !f->common.json) {
        printf("skills of kernmill %s:\n", KM_VERSION);
        for (size_t i = 0; i < c->count; i++)
            print_skill(&c->skills[i]);
    }
    for (size_t i = 0; rc == 0 && i < places.count; i++)
        rc = list_place(a, f, c, &places.places[i], rows, err);
    if (rc == 0 && f->common.json)
        rc = print_list_json(c, rows, err);
    else if (rc == 0 && json_array_size(rows) == 0)
        puts("none is installed");
    json_decref(rows);
    return rc;
}

/* --- the command --- */

static int check_words(const char **args, size_t count, km_err *err)
{
    static const char *const words[] = { "add", "list", NULL };
    const char *near = count ? km_nearest(args[0], words) : NULL;

    if (count && strcmp(args[0], "add") == 0)
        return km_check_args(count, 2, 2, err);
    if (count && strcmp(args[0], "list") == 0)
        return km_check_args(count, 1, 1, err);
    if (!count)
        return km_check_args(count, 1, 2, err);
    km_fail(err, KM_EUSAGE, "'skill' has no '%s'", args[0]);
    return near ? km_hint(err, "did you mean 'skill %s'?", near)
                : km_hint(err, "there are 'skill add NAME' and 'skill list'");
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_catalog c;
    km_home home;
    int rc = check_words(args, arg_count, err);

    if (rc == 0)
        rc = km_home_find(&a, &home, err);
    if (rc == 0)
        rc = km_catalog_read(&a, home.skills, &c, err);
    if (rc == 0)
        rc = args[0][0] == 'a' ? add(&a, fields, &c, args[1], err) : list(&a, fields, &c, err);
    km_arena_release(&a);
    return rc;
}

extern const km_command km_cmd_skill;
const km_command km_cmd_skill = {
    .name = "skill",
    .help = "install what teaches an agent to use kernmill, or list it",
    .args = "add NAME | list",
    .more = "'add' copies a skill to where an agent looks for it, below the working folder, and\n"
            "exits with 1 when that would lose your edits. 'list' shows the skills and where they\n"
            "are installed. Several agents may be named; for 'list', none means all.",
    .options = options,
    .fields_size = sizeof(skill_fields),
    .run = run,
};
