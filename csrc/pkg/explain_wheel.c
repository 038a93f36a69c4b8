/* A wheel, as pip looks at it: the tags of its name and Requires-Python decide whether it is
 * considered, its version and then its tag whether it is taken. Environment markers and epochs are
 * not read. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/zip.h"
#include "pkg/explain_internal.h"

#define WHEEL_BYTES_MAX (1024u << 20)

/* name-version[-build]-python-abi-platform.whl */
struct wheel {
    char *name, *version, *python, *abi, *platform;
};

static bool split_name(km_arena *a, const char *file, struct wheel *w)
{
    char *text = km_arena_strndup(a, file, strlen(file) - strlen(".whl")), *parts[6];
    size_t n = 0;

    for (char *rest = text, *part; text && (part = strsep(&rest, "-")) != NULL; n++) {
        if (n == 6 || !*part)
            return false;
        parts[n] = part;
    }
    if (n < 5)
        return false;
    *w = (struct wheel){ parts[0], parts[1], parts[n - 3], parts[n - 2], parts[n - 1] };
    return true;
}

/* ---- tags ---- */

#define TIER_ANY 100 /* wheels for any platform come after all others */

/* pip's order of a Python and ABI tag, as its library `packaging` lists them: cp311-cp311,
 * cp311-abi3, cp311-none, cp310-abi3, ..., py311-none, py3-none, py310-none, ...; and for any
 * platform cp311-none, py311-none, py3-none, py310-none, ... 0: not for this Python. */
static int tier_of(const km_system *s, const char *python, const char *abi, bool any)
{
    int minor = strlen(python) > 3 && python[2] == '3' ? atoi(python + 3) : -1;
    int own = s->python.count ? (int)s->python.part[1] : minor;
    int base = any ? TIER_ANY : 50;
    char exact[32];

    if (strcmp(abi, "none") == 0) {
        if (km_starts_with(python, "cp"))
            return minor != own || minor < 0 ? 0 : any ? TIER_ANY : 3;
        if (strcmp(python, "py3") == 0)
            return base + 2;
        if (!km_starts_with(python, "py") || minor < 0 || minor > own)
            return 0;
        return minor == own ? base + 1 : base + 2 + own - minor;
    }
    if (!km_starts_with(python, "cp") || minor < 0 || any)
        return 0;
    snprintf(exact, sizeof exact, "%s%s", python, s->free_threaded ? "t" : "");
    if (strcmp(abi, exact) == 0)
        return minor == own;
    if (strcmp(abi, "abi3") != 0 || s->free_threaded || minor > own)
        return 0;
    return minor == own ? 2 : 3 + own - minor;
}

/* The glibc 2.<minor> of a platform tag; 0: it is no manylinux. */
static unsigned glibc_of(const char *platform)
{
    unsigned minor = 0;

    if (km_starts_with(platform, "manylinux1_"))
        return 5;
    if (km_starts_with(platform, "manylinux2010_"))
        return 12;
    if (km_starts_with(platform, "manylinux2014_"))
        return 17;
    return sscanf(platform, "manylinux_2_%3u_", &minor) == 1 ? minor : 0;
}

static const char *os_of(const char *platform)
{
    return km_starts_with(platform, "win")      ? "windows"
           : km_starts_with(platform, "macosx") ? "darwin"
                                                : "linux";
}

static const char *cpu_of(const char *platform)
{
    return km_ends_with(platform, "aarch64") || km_ends_with(platform, "arm64")  ? "aarch64"
           : km_ends_with(platform, "universal2")                                ? "universal2"
           : km_ends_with(platform, "x86_64") || km_ends_with(platform, "amd64") ? "x86_64"
                                                                                 : platform;
}

/* pip's order of platforms; -1: not for this one. musl is another C library than torch's. */
static int rank_platform(const km_system *s, const char *platform)
{
    unsigned minor = glibc_of(platform);
    const char *cpu = cpu_of(platform);

    if (strcmp(platform, "any") == 0)
        return 0;
    if (strcmp(os_of(platform), s->os) != 0 || km_starts_with(platform, "musllinux"))
        return -1;
    if (strcmp(cpu, "universal2") != 0 && strcmp(cpu, s->cpu) != 0)
        return -1;
    if (!minor)
        return 1;
    return s->glibc.count && minor > s->glibc.part[1] ? -1 : (int)minor + 2;
}

/* The best of a wheel's tags: each part may name alternatives, with dots between them. */
struct best {
    int order;    /* of the whole tag: smaller is preferred; 0: none is for this machine */
    bool python;  /* one is for this Python, the platform aside */
    int platform; /* the best rank of a platform; -1: none is for this one */
};

static void weigh(struct judge *j, const char *python, const char *abi, const struct wheel *w,
                  struct best *out)
{
    char *rest = km_arena_strdup(j->a, w->platform), *platform;

    while ((platform = strsep(&rest, ".")) != NULL) {
        int rank = rank_platform(j->s, platform);
        int tier = tier_of(j->s, python, abi, rank == 0), order = tier * 1000 + 500 - rank;
        out->python |= tier > 0 || tier_of(j->s, python, abi, false) > 0;
        out->platform = rank > out->platform ? rank : out->platform;
        if (tier > 0 && rank >= 0 && (!out->order || order < out->order))
            out->order = order;
    }
}

static struct best weigh_all(struct judge *j, const struct wheel *w)
{
    struct best best = { 0, false, -1 };
    char *p = km_arena_strdup(j->a, w->python), *python, *q, *abi;

    while ((python = strsep(&p, ".")) != NULL)
        for (q = km_arena_strdup(j->a, w->abi); (abi = strsep(&q, ".")) != NULL;)
            weigh(j, python, abi, w, &best);
    return best;
}

static const char *platform_here(struct judge *j)
{
    const km_system *s = j->s;

    return s->glibc.count ? km_arena_printf(j->a, "%s %s with glibc %s", s->os, s->cpu,
                                            km_version_text(j->a, &s->glibc))
                          : km_arena_printf(j->a, "%s %s", s->os, s->cpu);
}

static void judge_tags(struct judge *j, const struct wheel *w)
{
    struct best best = weigh_all(j, w);
    bool place = strcmp(os_of(w->platform), j->s->os) == 0 &&
                 strcmp(cpu_of(w->platform), j->s->cpu) == 0;
    const char *here = km_version_text(j->a, &j->s->python);

    if (best.python) {
        km_judge_say(j, KM_REASON_FOR, "python", "the tag %s-%s is for Python %s", w->python,
                     w->abi, j->s->python.count ? here : "3");
    } else {
        km_judge_say(j, KM_REASON_AGAINST, "python", "the tag %s-%s is not for Python %s%s",
                     w->python, w->abi, here, j->s->free_threaded ? " without the GIL" : "");
        if (strlen(w->python) > 3 && w->python[2] == '3')
            km_judge_fix(j, KM_COST_PYTHON, "python3.%d -m venv .venv", atoi(w->python + 3));
        else
            km_judge_impossible(j);
    }
    if (best.platform >= 0) {
        km_judge_say(j, KM_REASON_FOR, "platform", "the tag %s is for %s", w->platform,
                     platform_here(j));
    } else if (place && glibc_of(w->platform)) {
        km_judge_say(j, KM_REASON_AGAINST, "glibc", "the tag %s wants glibc 2.%u; here it is %s",
                     w->platform, glibc_of(w->platform), km_version_text(j->a, &j->s->glibc));
        km_judge_rebuild(j, "SOURCE");
    } else {
        km_judge_say(j, KM_REASON_AGAINST, "platform", "the tag %s is not for %s", w->platform,
                     platform_here(j));
        km_judge_impossible(j);
    }
    if (best.python && best.platform >= 0 && !best.order) {
        km_judge_say(j, KM_REASON_AGAINST, "tag", "pip knows no tag %s-%s-%s", w->python, w->abi,
                     w->platform);
        km_judge_impossible(j);
    }
    j->c->key[7] = best.order;
}

/* ---- versions ---- */

/* "1.2.0rc1.post2+cpu": smaller keys come first. Of a local part, three characters count. */
static void judge_version(struct judge *j, const char *version)
{
    int *key = j->c->key;
    const char *at = version, *post = strstr(version, "post"), *local = strchr(version, '+');

    for (int i = 0; i < 4 && isdigit((unsigned char)*at); i++) {
        long part = strtol(at, NULL, 10);
        key[i] = part > INT_MAX ? -INT_MAX : -(int)part;
        at += strspn(at, "0123456789");
        at += *at == '.' && isdigit((unsigned char)at[1]);
    }
    if (post && (!local || post < local))
        key[5] = -1 - (int)(strtoul(post + strlen("post"), NULL, 10) % 1000000);
    for (int i = 1; local && i < 4; i++)
        key[6] = key[6] * 256 - (local[0] && local[i] ? (unsigned char)local[i] : 0);
    if (isalpha((unsigned char)*at) || km_starts_with(at, ".dev")) {
        key[4] = 1;
        km_judge_say(j, KM_REASON_AGAINST, "pre-release",
                     "%s is a pre-release, which pip takes only when asked", version);
        km_judge_fix(j, KM_COST_ARGUMENT, "pip install --pre %s",
                     km_explain_quote(j->a, j->c->path));
    }
    j->c->version = version;
}

/* ---- METADATA ---- */

/* One clause, ">=3.10", of a version here. Clauses that are not understood hold. */
static bool holds(const char *clause, const km_version *here)
{
    char text[32];
    size_t relation = strspn(clause, "<>=!~ ");
    km_version v;
    int order;

    snprintf(text, sizeof text, "%.*s", (int)strspn(clause + relation, "0123456789."),
             clause + relation);
    for (size_t n = strlen(text); n && text[n - 1] == '.'; n--)
        text[n - 1] = '\0'; /* "2.9.*" */
    if (!km_version_parse(text, &v))
        return true;
    for (unsigned i = here->count; i < 4; i++)
        v.part[i] = 0;
    order = km_version_compare(here, &v);
    if (km_starts_with(clause, ">=") || km_starts_with(clause, "~="))
        return order >= 0;
    if (km_starts_with(clause, "<="))
        return order <= 0;
    if (km_starts_with(clause, "=="))
        return order == 0;
    if (km_starts_with(clause, "!="))
        return order != 0 || v.count > here->count;
    return *clause == '>' ? order > 0 : *clause == '<' ? order < 0 : true;
}

static bool all_hold(km_arena *a, const char *clauses, const km_version *here)
{
    char *copy = km_arena_strdup(a, clauses), *one;

    while (copy && (one = strsep(&copy, ",")) != NULL) {
        one += strspn(one, " (");
        if (!holds(one, here))
            return false;
    }
    return true;
}

static void judge_python(struct judge *j, const char *wanted)
{
    bool fits = !j->s->python.count || all_hold(j->a, wanted, &j->s->python);

    km_judge_say(j, fits ? KM_REASON_FOR : KM_REASON_AGAINST, "requires-python",
                 "needs Python %s; here it is %s", wanted, km_version_text(j->a, &j->s->python));
    if (!fits && km_starts_with(wanted, ">="))
        km_judge_fix(j, KM_COST_PYTHON, "python%.*s -m venv .venv",
                     (int)strspn(wanted + 2, "0123456789."), wanted + 2);
    else if (!fits)
        km_judge_impossible(j);
}

/* pip would replace a torch that is too old, which is hardly meant. */
static void judge_torch(struct judge *j, const char *wanted)
{
    const km_version *here = &j->s->torch;

    if (!here->count) {
        km_judge_say(j, KM_REASON_NOTE, "torch", "needs torch%s, which pip will fetch", wanted);
    } else if (all_hold(j->a, wanted, here)) {
        km_judge_say(j, KM_REASON_FOR, "torch", "needs torch%s; here it is %s", wanted,
                     km_version_text(j->a, here));
    } else {
        km_judge_say(j, KM_REASON_AGAINST, "torch",
                     "needs torch%s; here it is %s, which pip would replace", wanted,
                     km_version_text(j->a, here));
        if (wanted[strspn(wanted, "0123456789.,<>=!~*() abcrdevpost+")])
            km_judge_impossible(j); /* it would become a command */
        j->c->fix.torch = km_arena_printf(j->a, "torch%s", wanted);
        j->c->fix.cost += KM_COST_TORCH;
    }
}

/* What follows `key` on a line of METADATA's head, or NULL. */
static const char *header(const char *line, const char *key)
{
    return km_starts_with(line, key) ? line + strlen(key) : NULL;
}

static void judge_metadata(struct judge *j, char *text)
{
    const char *value;

    if (text)
        km_text_clean(text);
    for (char *line; text && (line = strsep(&text, "\n")) != NULL && *line && *line != '\r';) {
        line[strcspn(line, "\r;")] = '\0';
        if ((value = header(line, "Name: ")) != NULL) {
            j->c->kernel = value;
        } else if ((value = header(line, "Requires-Python: ")) != NULL) {
            j->choosing = true;
            judge_python(j, value);
            j->choosing = false;
        } else if ((value = header(line, "Requires-Dist: torch")) != NULL &&
                   (!*value || strchr(" (<>=!~", *value))) {
            judge_torch(j, value + strspn(value, " "));
        }
    }
}

/* Reads the members that say something. */
static int judge_members(struct judge *j, const km_zip *zip)
{
    km_libraries l = { km_arena_array(j->a, zip->count + 1, sizeof *l.items), 0 };
    int rc = l.items ? 0 : km_fail_nomem(j->err);

    for (size_t i = 0; rc == 0 && i < zip->count; i++) {
        const km_zip_entry *e = &zip->entries[i];
        if (km_ends_with(e->name, ".so"))
            rc = km_library_facts_read(j->a, e->data, e->size, e->name, &l.items[l.count++],
                                       j->err);
        else if (km_ends_with(e->name, ".dist-info/METADATA"))
            judge_metadata(j, km_arena_strndup(j->a, (const char *)e->data, e->size));
    }
    if (rc == 0)
        km_judge_libraries(j, &l, j->s->cuda_major);
    return rc;
}

static void refuse(struct judge *j, const char *code, const char *why)
{
    j->choosing = true;
    km_judge_say(j, KM_REASON_AGAINST, code, "%s", why);
    km_judge_impossible(j);
}

int km_judge_wheel(struct judge *j, const char *path)
{
    static const km_zip_limits limits = { WHEEL_BYTES_MAX, WHEEL_BYTES_MAX };
    km_arena scratch = KM_ARENA_INIT;
    km_err why = KM_ERR_INIT;
    struct wheel w;
    km_zip zip;
    size_t size;
    char *data;
    int rc = 0;

    if (!split_name(j->a, j->c->name, &w)) {
        refuse(j, "name", "is not named name-version-python-abi-platform.whl");
        return 0;
    }
    j->c->kernel = w.name;
    for (char *c = w.name; *c; c++)
        *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    j->choosing = true;
    judge_version(j, w.version);
    judge_tags(j, &w);
    j->choosing = false;
    if (km_file_read(&scratch, path, KM_FILE_BYTES_MAX, &data, &size, &why) < 0 ||
        km_zip_read(&scratch, data, size, path, &limits, &zip, &why) < 0)
        refuse(j, "wheel", why.message);
    else
        rc = judge_members(j, &zip);
    km_arena_release(&scratch);
    return rc;
}
