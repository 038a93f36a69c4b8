/* The page's tables: costs, what was not taken, alerts, the holdout, the job board. */
#include <string.h>

#include "core/limits.h"
#include "formats/json.h"
#include "lab/html_internal.h"

static void cell(km_html *h, const char *class, const char *text)
{
    km_str_printf(&h->out, "<td class=\"%s\">", class);
    km_html_text(&h->out, text);
}

static void time_cell(km_html *h, const json_t *row, const char *key)
{
    km_str_add(&h->out, "<td class=\"k\">");
    if (km_html_int(row, key))
        km_html_time(&h->out, km_html_int(row, key));
}

/* "#12 title" */
static void idea_cell(km_html *h, const json_t *row, const char *id)
{
    km_str_add(&h->out, "<td class=\"what\">");
    if (km_html_int(row, id))
        km_str_printf(&h->out, "<span class=\"id\">#%lld</span> ", (long long)km_html_int(row, id));
    km_html_text(&h->out, km_json_text_of(row, "title"));
}

/* --- costs --- */

static void add_budget(km_html *h, const char *kind, const json_t *row)
{
    double used = km_json_number_of(row, "used"), allowed = km_json_number_of(row, "allowed");
    double share = allowed > 0 ? used / allowed : 1;
    bool limited = km_html_is_number(row, "allowed");

    km_str_add(&h->out, "<div class=\"budget\"><span>");
    km_html_text(&h->out, kind);
    km_str_add(&h->out, "</span>");
    if (limited)
        km_str_printf(&h->out,
                      "<span class=\"meter\"><i class=\"%s\" style=\"width:%.1f%%\"></i></span>",
                      share >= 1                                  ? "bad"
                      : share * 100 >= KM_LAB_BUDGET_WARN_PERCENT ? "warn"
                                                                  : "",
                      share > 1 ? 100 : share * 100);
    km_str_add(&h->out, "<span class=\"n\">");
    km_html_amount(&h->out, used);
    if (limited) {
        km_str_add(&h->out, " of ");
        km_html_amount(&h->out, allowed);
        km_str_printf(&h->out, " (%.0f&thinsp;%%)", share * 100);
    } else {
        km_str_add(&h->out, ", no limit");
    }
    km_str_add(&h->out, "</span></div>\n");
}

static const char *const cost_keys[] = { "gpu_seconds", "money", "tokens" };

static void add_cost_row(km_html *h, const json_t *row)
{
    km_str_printf(&h->out, "<td class=\"n\">%lld<td class=\"n\">%lld<td class=\"n\">",
                  (long long)km_html_int(row, "leases"), (long long)km_html_int(row, "done"));
    km_html_span(&h->out, (int64_t)(km_json_number_of(row, "seconds") * 1e6));
    for (size_t i = 0; i < sizeof cost_keys / sizeof *cost_keys; i++) {
        km_str_add(&h->out, "<td class=\"n\">");
        km_html_amount(&h->out, km_json_number_of(row, cost_keys[i]));
    }
    km_str_add(&h->out, "\n");
}

/* A row like the others, of all of them. New reference. */
static json_t *total(const json_t *costs)
{
    static const char *const keys[] = { "seconds", "gpu_seconds", "money", "tokens" };
    json_int_t leases = 0, done = 0;
    json_t *out = json_object(), *row;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)costs, i, row)
    {
        leases += km_html_int(row, "leases");
        done += km_html_int(row, "done");
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            json_object_set_new(
                out, keys[k],
                json_real(km_json_number_of(out, keys[k]) + km_json_number_of(row, keys[k])));
    }
    json_object_set_new(out, "leases", json_integer(leases));
    json_object_set_new(out, "done", json_integer(done));
    return out;
}

void km_html_costs(km_html *h)
{
    json_t *budget = json_object_get(json_object_get(h->data, "overview"), "budget"), *row, *all;
    const json_t *costs = json_object_get(h->data, "costs");
    const char *kind;
    size_t i;

    km_html_begin(h, "costs", "Costs",
                  "When a budget is spent nothing more is handed out. Every lease counts, "
                  "also those that came to nothing.");
    km_str_add(&h->out, "<div class=\"budgets\">\n");
    json_object_foreach(budget, kind, row) add_budget(h, kind, row);
    km_str_add(&h->out, "</div>\n");
    if (json_array_size(costs)) {
        km_str_add(&h->out,
                   "<div class=\"wide\"><table><thead><tr><th>kind of work<th>where<th class=\"n\">"
                   "leases<th class=\"n\">done<th class=\"n\">time<th class=\"n\">GPU seconds"
                   "<th class=\"n\">money<th class=\"n\">tokens</thead><tbody>\n");
        json_array_foreach((json_t *)(uintptr_t)costs, i, row)
        {
            km_str_add(&h->out, "<tr>");
            cell(h, "k", km_json_text_of(row, "kind"));
            cell(h, "k",
                 *km_json_text_of(row, "executor") ? km_json_text_of(row, "executor")
                                                   : "this machine");
            add_cost_row(h, row);
        }
        all = total(costs);
        km_str_add(&h->out, "</tbody><tfoot><tr><td>all<td>");
        add_cost_row(h, all);
        km_str_add(&h->out, "</tfoot></table></div>\n");
        json_decref(all);
    }
    km_html_end(h);
}

/* --- what was not taken --- */

/* Those that a person should look at come first. */
static const char *const lost[] = { "invalid",  "crashed",   "failed", "timed_out",
                                    "rejected", "duplicate", "stale",  "cancelled" };

static bool is_lost(const json_t *idea)
{
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++)
        if (strcmp(km_json_text_of(idea, "state"), lost[i]) == 0)
            return true;
    return false;
}

static void add_lost(km_html *h, const json_t *idea)
{
    const char *reason = km_json_text_of(idea, "reason");

    km_str_add(&h->out, "<tr>");
    idea_cell(h, idea, "id");
    if (*km_json_text_of(idea, "text")) {
        km_str_add(&h->out, "<div class=\"text\">");
        km_html_cut(&h->out, km_json_text_of(idea, "text"), 200);
        km_str_add(&h->out, "</div>");
    }
    cell(h, "k", km_json_text_of(idea, "author"));
    km_str_add(&h->out, "<td>");
    km_html_state(&h->out, km_json_text_of(idea, "state"));
    km_str_add(&h->out, "<td class=\"reason\">");
    if (*reason)
        km_html_text(&h->out, reason);
    else
        km_str_add(&h->out, "<span class=\"none\">no reason was given</span>");
    time_cell(h, idea, "updated_us");
    km_str_add(&h->out, "\n");
}

void km_html_not_taken(km_html *h)
{
    const json_t *ideas = json_object_get(h->data, "ideas");
    size_t count = 0, i;
    json_t *idea;

    km_html_begin(h, "not-taken", "Not taken",
                  "Every idea that was rejected, invalid, a duplicate, out of date, failed or "
                  "cancelled, with the reason that was given.");
    json_array_foreach((json_t *)(uintptr_t)ideas, i, idea) count += is_lost(idea);
    if (!count)
        km_str_add(&h->out, "<p class=\"none\">None.</p>\n");
    else
        km_str_add(&h->out, "<div class=\"wide\"><table class=\"stack\"><thead><tr><th>idea"
                            "<th>author<th>became<th>reason<th>when</thead><tbody>\n");
    for (size_t k = 0; count && k < sizeof lost / sizeof *lost; k++)
        json_array_foreach((json_t *)(uintptr_t)ideas, i, idea)
        {
            if (strcmp(km_json_text_of(idea, "state"), lost[k]) == 0)
                add_lost(h, idea);
        }
    if (count)
        km_str_add(&h->out, "</tbody></table></div>\n");
    km_html_end(h);
}

/* --- alerts, the holdout --- */

void km_html_alerts(km_html *h)
{
    const json_t *alerts = json_object_get(h->data, "alerts");
    json_t *row;
    size_t i;

    km_html_begin(h, "alerts", "Alerts", NULL);
    if (!json_array_size(alerts))
        km_str_add(&h->out, "<p class=\"none\">None.</p>\n");
    else
        km_str_add(&h->out, "<div class=\"wide\"><table class=\"stack\"><thead><tr><th>when"
                            "<th>level<th>what<th>about<th>sent</thead><tbody>\n");
    json_array_foreach((json_t *)(uintptr_t)alerts, i, row)
    {
        km_str_add(&h->out, "<tr>");
        time_cell(h, row, "created_us");
        km_str_add(&h->out, "<td>");
        km_html_state(&h->out, km_json_text_of(row, "level"));
        cell(h, "reason", km_json_text_of(row, "title"));
        if (*km_json_text_of(row, "text")) {
            km_str_add(&h->out, "<div class=\"text\">");
            km_html_text(&h->out, km_json_text_of(row, "text"));
            km_str_add(&h->out, "</div>");
        }
        cell(h, "k", km_json_text_of(row, "subject"));
        time_cell(h, row, "sent_us");
        km_str_add(&h->out, "\n");
    }
    if (json_array_size(alerts))
        km_str_add(&h->out, "</tbody></table></div>\n");
    km_html_newest(h, json_array_size(alerts),
                   km_html_sum(json_object_get(
                       json_object_get(json_object_get(h->data, "overview"), "alerts"), "count")),
                   "alerts");
    km_html_end(h);
}

static void value_cell(km_html *h, const json_t *row, const char *key)
{
    km_str_add(&h->out, "<td class=\"n\">");
    if (km_html_is_number(row, key))
        km_html_number(&h->out, km_json_number_of(row, key), h->mean_decimals, false);
}

void km_html_holdouts(km_html *h)
{
    const json_t *uses = json_object_get(h->data, "holdouts");
    json_t *row;
    size_t i;

    km_html_begin(h, "holdout", "Holdout",
                  "Data that no decision was made by before: used at a promotion alone, and each "
                  "use is counted.");
    if (!json_array_size(uses))
        km_str_add(&h->out, "<p class=\"none\">It was not used.</p>\n");
    else
        km_str_add(&h->out, "<div class=\"wide\"><table><thead><tr><th class=\"n\">use<th>when"
                            "<th>idea<th class=\"n\">parent<th class=\"n\">candidate<th>result"
                            "</thead><tbody>\n");
    json_array_foreach((json_t *)(uintptr_t)uses, i, row)
    {
        km_str_printf(&h->out, "<tr><td class=\"n\">%zu", i + 1);
        time_cell(h, row, "created_us");
        idea_cell(h, row, "hypothesis");
        value_cell(h, row, "parent");
        value_cell(h, row, "candidate");
        km_str_add(&h->out, "<td>");
        km_html_state(&h->out, km_html_int(row, "passed") ? "passed" : "worse");
        km_str_add(&h->out, "\n");
    }
    if (json_array_size(uses))
        km_str_add(&h->out, "</tbody></table></div>\n");
    km_html_end(h);
}

/* --- the job board --- */

void km_html_board(km_html *h)
{
    const json_t *jobs = json_object_get(h->data, "jobs");
    json_t *row;
    size_t i;

    km_html_begin(h, "board", "Job board", NULL);
    if (!json_array_size(jobs))
        km_str_add(&h->out, "<p class=\"none\">There are no jobs yet.</p>\n");
    else
        km_str_add(&h->out, "<div class=\"wide\"><table><thead><tr><th>wave<th>bead<th class=\"n\">"
                            "job<th>stage<th>mode<th>worker<th>created<th>hypothesis</thead>"
                            "<tbody>\n");
    json_array_foreach((json_t *)(uintptr_t)jobs, i, row)
    {
        km_str_add(&h->out, "<tr>");
        cell(h, "k", km_json_text_of(row, "wave"));
        cell(h, "k", km_json_text_of(row, "bead"));
        km_str_printf(&h->out, "<td class=\"n\">%lld<td>", (long long)km_html_int(row, "job"));
        km_html_state(&h->out, km_json_text_of(row, "stage"));
        cell(h, "k", km_json_text_of(row, "mode"));
        cell(h, "k", km_json_text_of(row, "worker"));
        time_cell(h, row, "created_us");
        idea_cell(h, row, "hypothesis");
        km_str_add(&h->out, "\n");
    }
    if (json_array_size(jobs))
        km_str_add(&h->out, "</tbody></table></div>\n");
    km_html_newest(h, json_array_size(jobs),
                   km_html_sum(json_object_get(json_object_get(h->data, "overview"), "jobs")),
                   "jobs");
    km_html_end(h);
}
