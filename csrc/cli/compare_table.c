#include "cli/compare_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_change(const km_change *c)
{
    printf("  %-12.12s %10.2f %10.2f us", c->call, c->old_us, c->new_us);
    if (c->change.rounds)
        printf("  %5.3f [%5.3f, %5.3f] %s", c->change.median, c->change.low, c->change.high,
               km_verdict_names[c->verdict]);
    printf(c->broken ? "  no longer right\n" : "\n");
}

void km_compare_print(const km_comparison *c, double gate)
{
    const char *cell = "";

    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(cell, c->changes[i].cell) != 0)
            printf("%s  (%s)\n", c->changes[i].cell, c->changes[i].column);
        cell = c->changes[i].cell;
        print_change(&c->changes[i]);
    }
    if (c->only_old || c->only_new)
        printf("not compared: %zu cells of the old record alone, %zu of the new one\n", c->only_old,
               c->only_new);
    printf("%zu of %zu are slower by more than %g %%, or no longer right\n",
           km_comparison_regressions(c), c->count, gate * 100);
    for (size_t i = 0; i < c->count; i++)
        if (c->changes[i].broken || c->changes[i].verdict == KM_SLOWER)
            printf("  %s: %s\n", c->changes[i].cell, c->changes[i].call);
}

json_t *km_compare_json(const km_comparison *c, double gate)
{
    json_t *changes = json_array();

    for (size_t i = 0; i < c->count; i++) {
        const km_change *k = &c->changes[i];
        json_t *row = json_pack("{s:s,s:s,s:s,s:f,s:f,s:s,s:b}", "cell", k->cell, "call", k->call,
                                "column", k->column, "old_us", k->old_us, "new_us", k->new_us,
                                "verdict", km_verdict_names[k->verdict], "broken", k->broken);
        if (row && k->change.rounds)
            json_object_set_new(row, "change",
                                json_pack("{s:f,s:f,s:f}", "median", k->change.median, "low",
                                          k->change.low, "high", k->change.high));
        json_array_append_new(changes, row);
    }
    return json_pack("{s:f,s:o,s:I,s:I,s:I}", "gate", gate, "changes", changes, "regressions",
                     (json_int_t)km_comparison_regressions(c), "only_old", (json_int_t)c->only_old,
                     "only_new", (json_int_t)c->only_new);
}

int km_compare_share(const char *text, const char *option, double standard, double *out,
                     km_err *err)
{
    char *end;

    *out = standard;
    if (!text)
        return 0;
    *out = strtod(text, &end) / 100;
    end += *end == '%';
    if (end != text && !*end && *out > 0 && *out < 1)
        return 0;
    return km_fail(err, KM_EUSAGE, "option '--%s' wants a share like 2%%, not '%s'", option, text);
}
