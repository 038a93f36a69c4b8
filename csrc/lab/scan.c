#include "lab/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const timer[] = { "perf_counter",
                                     "monotonic",
                                     "time.time",
                                     "time_ns",
                                     "process_time",
                                     "clock_gettime",
                                     "elapsed_time",
                                     "time_budget",
                                     "cudaEvent",
                                     "timeit",
                                     NULL };
static const char *const seed[] = { "seed", "random_state", NULL };
static const char *const evaluator[] = { "evaluat", "holdout", NULL };
static const char *const metric[] = { "kernmill_metrics", "kernmill_run_dir", "metrics.json",
                                      "result.json", NULL };

static const struct {
    const char *name;
    const char *const *words;
} kinds[] = {
    { "timer", timer },
    { "seed", seed },
    { "evaluator", evaluator },
    { "metric", metric },
};

#define KINDS (sizeof kinds / sizeof *kinds)

/* Where a diff stands; [0] is the old file, [1] the new one. */
struct place {
    const char *file;
    long line[2];
    long left[2]; /* lines of the hunk: as long as there are some, a line is content */
};

static bool is_allowed(const km_list *allow, const char *name)
{
    for (size_t i = 0; i < allow->count; i++)
        if (strcmp(allow->items[i], name) == 0)
            return true;
    return false;
}

/* The metric's own name counts as a whole word only: it may be "loss". */
static bool names_metric(const char *text, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = text; (at = strcasestr(at, name)); at++) {
        bool before = at > text && (strchr("_", at[-1]) || (at[-1] | 32) >= 'a');
        bool after = at[n] == '_' || (at[n] >= '0' && at[n] <= '9') || (at[n] | 32) >= 'a';
        if (!before && !after)
            return true;
    }
    return false;
}

static const char *kind_of(const km_lab_settings *s, const char *text)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (is_allowed(&s->workspace.allow, kinds[i].name))
            continue;
        for (size_t k = 0; kinds[i].words[k]; k++)
            if (strcasestr(text, kinds[i].words[k]))
                return kinds[i].name;
        if (kinds[i].words == metric && names_metric(text, s->metric))
            return kinds[i].name;
    }
    return NULL;
}

static void look_at(const km_lab_settings *s, const struct place *at, const char *line,
                    km_scan *out)
{
    const char *kind = kind_of(s, line + 1);

    if (!kind || out->count++)
        return;
    snprintf(out->what, sizeof out->what, "the %s: %.100s:%ld: %.150s", kind, at->file,
             at->line[*line == '+'], line);
}

/* "@@ -3,2 +3 @@ ..." */
static void read_hunk(struct place *at, const char *line)
{
    for (int i = 0; i < 2; i++) {
        const char *from = strchr(line, "-+"[i]);
        char *end = NULL;
        at->line[i] = from ? strtol(from + 1, &end, 10) : 0;
        at->left[i] = end && *end == ',' ? strtol(end + 1, NULL, 10) : 1;
    }
}

static void read_line(const km_lab_settings *s, struct place *at, char *line, km_scan *out)
{
    int side = *line == '+';

    if ((*line == '+' || *line == '-') && at->left[side] > 0) {
        look_at(s, at, line, out);
        at->line[side]++;
        at->left[side]--;
    } else if (strncmp(line, "@@ ", 3) == 0) {
        read_hunk(at, line);
    } else if ((strncmp(line, "+++ ", 4) == 0 || strncmp(line, "--- ", 4) == 0) &&
               strcmp(line + 4, "/dev/null") != 0) {
        at->file = line + 6;
    }
}

int km_scan_change(const km_git *g, const km_lab_settings *s, const char *parent,
                   const char *commit, km_scan *out, km_err *err)
{
    struct place at = { "", { 0, 0 }, { 0, 0 } };
    char *diff, *line, *rest = NULL;
    int rc = km_git_text(g, &diff, err,
                         KM_GIT("diff-tree", "-p", "-r", "-U0", "--no-color", "--no-ext-diff",
                                "--no-textconv", "--no-renames", "--text", parent, commit));

    *out = (km_scan){ 0, "" };
    if (rc < 0)
        return rc;
    for (line = strtok_r(diff, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        read_line(s, &at, line, out);
    return 0;
}

int km_scan_check_names(const km_list *allow, km_err *err)
{
    for (size_t i = 0; i < allow->count; i++) {
        bool known = false;
        for (size_t k = 0; k < KINDS; k++)
            known = known || strcmp(kinds[k].name, allow->items[i]) == 0;
        if (!known)
            return km_fail(err, KM_EFORMAT,
                           "[workspace] allow: '%s' is none of timer, seed, evaluator, metric",
                           allow->items[i]);
    }
    return 0;
}
