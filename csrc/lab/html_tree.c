/* The ideas as a tree: the champions are its trunk, and on each hang the ideas that changed its
 * commit, and on these what changed theirs. */
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lab/html_internal.h"

#define COMMIT_CHARS_MIN 7 /* a shortened commit that counts as one */
#define DEPTH_MAX        8 /* of ideas upon ideas; what is deeper stands at the end */

struct idea {
    const json_t *row;
    const char *parent, *commit;
    bool taken; /* it has its place, or is of the trunk */
};

struct tree {
    km_html *h;
    const json_t *chain;
    struct idea *ideas;
    size_t count;
};

/* Whether `name`, maybe shortened, is this commit. */
static bool is_commit(const char *name, const char *commit)
{
    size_t n = strlen(name);

    return n >= COMMIT_CHARS_MIN ? strncmp(commit, name, n) == 0 : n && strcmp(commit, name) == 0;
}

static bool is_promoted(const json_t *chain, int64_t id)
{
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)chain, i, row)
    {
        if (km_html_int(row, "hypothesis") == id)
            return true;
    }
    return false;
}

static bool collect(struct tree *t, const json_t *ideas)
{
    json_t *row;
    size_t i;

    t->ideas = calloc(json_array_size(ideas) + 1, sizeof *t->ideas);
    if (!t->ideas)
        return false;
    json_array_foreach((json_t *)(uintptr_t)ideas, i, row)
        t->ideas[t->count++] = (struct idea){ row, km_json_text_of(row, "parent"),
                                              km_json_text_of(row, "commit"),
                                              is_promoted(t->chain, km_html_int(row, "id")) };
    return true;
}

/* --- ideas --- */

static void add_idea(struct tree *t, const json_t *idea)
{
    km_str *s = &t->h->out;

    km_str_printf(s, "<div class=\"twig\"><span class=\"name\"><span class=\"id\">#%lld</span> ",
                  (long long)km_html_int(idea, "id"));
    km_html_text(s, km_json_text_of(idea, "title"));
    km_str_add(s, "</span><span class=\"n ci-all\">");
    km_html_gain(t->h, idea);
    km_str_add(s, "</span>");
    km_html_state(s, km_json_text_of(idea, "state"));
    km_str_add(s, "</div>");
}

/* Takes those whose parent is `commit`, or `other`; NULL: those that are left. Counts them by
 * state. */
static size_t take(struct tree *t, const char *commit, const char *other, const struct idea **out,
                   json_t *states)
{
    size_t count = 0;

    for (size_t i = 0; i < t->count; i++) {
        struct idea *idea = &t->ideas[i];
        const char *state = km_json_text_of(idea->row, "state");
        if (idea->taken ||
            (commit && !is_commit(idea->parent, commit) && !is_commit(idea->parent, other)))
            continue;
        idea->taken = true;
        out[count++] = idea;
        json_object_set_new(states, state, json_integer(km_html_int(states, state) + 1));
    }
    return count;
}

static size_t left(const struct tree *t)
{
    size_t count = 0;

    for (size_t i = 0; i < t->count; i++)
        count += !t->ideas[i].taken;
    return count;
}

static void add_ideas(struct tree *t, const char *commit, const char *other, int depth);

static void add_list(struct tree *t, const struct idea **ideas, size_t count, int depth)
{
    km_str_add(&t->h->out, "<ul class=\"twigs\">\n");
    for (size_t i = 0; i < count; i++) {
        km_str_add(&t->h->out, "<li>");
        add_idea(t, ideas[i]->row);
        if (*ideas[i]->commit && depth < DEPTH_MAX)
            add_ideas(t, ideas[i]->commit, "", depth + 1);
        km_str_add(&t->h->out, "</li>\n");
    }
    km_str_add(&t->h->out, "</ul>\n");
}

static void add_summary(struct tree *t, size_t count, const json_t *states)
{
    km_str *s = &t->h->out;
    const char *state;
    bool any = false;
    json_t *n;

    km_str_printf(s, "<summary>%zu idea%s: ", count, count == 1 ? "" : "s");
    json_object_foreach((json_t *)(uintptr_t)states, state, n)
    {
        km_str_printf(s, "%s%lld ", any ? ", " : "", (long long)json_integer_value(n));
        km_html_text(s, state);
        any = true;
    }
    km_str_add(s, "</summary>\n");
}

/* Those on a commit, if there are any; of the trunk's with a line that counts them. */
static void add_ideas(struct tree *t, const char *commit, const char *other, int depth)
{
    const struct idea **ideas = calloc(left(t) + 1, sizeof *ideas);
    json_t *states = json_object();
    size_t count = ideas ? take(t, commit, other, ideas, states) : 0;

    if (!ideas)
        t->h->out.failed = t->h->out.failed ? t->h->out.failed : KM_ENOMEM;
    if (count && depth == 0) {
        km_str_add(&t->h->out, "<details open>");
        add_summary(t, count, states);
    }
    if (count)
        add_list(t, ideas, count, depth);
    if (count && depth == 0)
        km_str_add(&t->h->out, "</details>\n");
    json_decref(states);
    free(ideas);
}

/* --- the trunk --- */

static void add_champion(struct tree *t, const json_t *row)
{
    km_str *s = &t->h->out;

    km_str_add(s, "<div class=\"champion twig\"><span class=\"name\">");
    if (km_html_int(row, "hypothesis"))
        km_str_printf(s, "<span class=\"id\">#%lld</span> ",
                      (long long)km_html_int(row, "hypothesis"));
    km_html_text(s, !km_html_int(row, "hypothesis") && row != json_array_get(t->chain, 0)
                        ? "another baseline"
                        : km_json_text_of(row, "title"));
    km_str_add(s, " <code>");
    km_html_cut(s, km_json_text_of(row, "commit"), 10);
    km_str_add(s, "</code></span><span class=\"n ci-all\">");
    km_html_gain(t->h, row);
    km_str_add(s, "</span>");
    if (km_html_int(row, "hypothesis"))
        km_html_state(s, "promoted");
    km_str_add(s, "</div>\n");
}

static void add_trunk(struct tree *t)
{
    km_str *s = &t->h->out;
    size_t champions = json_array_size(t->chain), i;
    json_t *row;

    km_str_add(s, "<ul class=\"tree\">\n");
    json_array_foreach((json_t *)(uintptr_t)t->chain, i, row)
    {
        km_str_printf(s, "<li%s>", i + 1 == champions ? " class=\"last\"" : "");
        add_champion(t, row);
        add_ideas(t, km_json_text_of(row, "commit"), km_json_text_of(row, "idea_commit"), 0);
        km_str_add(s, "</li>\n");
    }
    if (left(t)) {
        km_str_printf(s, "<li class=\"last loose\"><div class=\"champion\">%s</div>",
                      champions ? "on none of these commits" : "ideas");
        add_ideas(t, NULL, "", 0);
        km_str_add(s, "</li>\n");
    }
    km_str_add(s, "</ul>\n");
}

void km_html_tree(km_html *h)
{
    const json_t *overview = json_object_get(h->data, "overview");
    const json_t *ideas = json_object_get(h->data, "ideas");
    struct tree t = {
        .h = h,
        .chain = json_object_get(json_object_get(overview, "standing"), "chain"),
    };

    km_html_begin(h, "tree", "Ideas",
                  "The champions, one upon the other, and on each the ideas that changed its "
                  "commit, with their gain over it where it was measured.");
    if (!collect(&t, ideas))
        h->out.failed = h->out.failed ? h->out.failed : KM_ENOMEM;
    else if (!t.count && !json_array_size(t.chain))
        km_str_add(&h->out, "<p class=\"none\">Nobody proposed anything yet.</p>\n");
    else
        add_trunk(&t);
    km_html_newest(h, t.count, km_html_sum(json_object_get(overview, "hypotheses")), "ideas");
    free(t.ideas);
    km_html_end(h);
}
