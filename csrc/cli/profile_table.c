#include "cli/profile_table.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/str.h"
#include "formats/json.h"

#define COLUMNS 100

static double percent_of(const json_t *o, const char *key)
{
    return 100 * km_json_number_of(o, key);
}

static long long integer_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *plain(const char *name)
{
    return km_starts_with(name, "aten::") ? name + strlen("aten::") : name;
}

/* A name of the script's, cut to `most` bytes: it must not steer the terminal. Padded to `width`.
 */
static void print_name(const char *name, int width, int most)
{
    char room[128];

    snprintf(room, sizeof room, "%.*s", most, name);
    km_text_clean(room);
    printf("%-*s", width, room);
}

/* A time in microseconds, in 10 characters. */
static void print_us(double us)
{
    printf("%10.*f", us < 9.995 ? 2 : us < 999.5 ? 1 : 0, us);
}

/* ---- what was measured ---- */

static void print_head(const json_t *p)
{
    bool gpu = strcmp(km_json_text_of(p, "device"), "cuda") == 0;
    const json_t *copy = json_object_get(p, "copy");
    double total = km_json_number_of(p, "total_us"), wall = km_json_number_of(p, "wall_us");

    printf("%s\n", km_json_text_of(p, "script"));
    if (gpu)
        printf("  %s, torch %s; times are those of kernels on the GPU\n",
               km_json_text_of(p, "device_name"), km_json_text_of(p, "torch"));
    else
        printf("  %s, %lld threads, torch %s; times are those of the CPU\n",
               km_json_text_of(json_object_get(p, "environment"), "cpu"), integer_of(p, "threads"),
               km_json_text_of(p, "torch"));
    printf("  %s: operators %.3f ms, wall clock %.3f ms; copy: %.4g GB/s%s\n",
           json_is_true(json_object_get(p, "marked")) ? "in the ranges \"kernmill\""
                                                      : "from first to last",
           total / 1e3, wall / 1e3, km_json_number_of(copy, "gbps"),
           json_is_true(json_object_get(copy, "measured")) ? "" : ", as told");
    if (gpu && total < 0.7 * wall)
        printf(
            "  the GPU waits for the host %.0f %% of the time: fewer launches win more than the\n"
            "  kernels' times show\n",
            100 - 100 * total / wall);
}

static void print_ops(const json_t *p, size_t top)
{
    const json_t *rows = json_object_get(p, "ops"), *row;
    double rest = 0;
    size_t i;

    printf("\n  %-50s %-10s %8s %10s %8s\n", "operator", "class", "calls", "us", "share");
    json_array_foreach(rows, i, row)
    {
        if (i >= top) {
            rest += km_json_number_of(row, "time_us");
            continue;
        }
        printf("  ");
        print_name(km_json_text_of(row, "name"), 50, 50);
        printf(" %-10s %8lld ", km_json_text_of(row, "class"), integer_of(row, "calls"));
        print_us(km_json_number_of(row, "time_us"));
        printf(" %6.1f %%\n", percent_of(row, "share"));
    }
    if (i > top) {
        printf("  %-70s ", "(the others)");
        print_us(rest);
        printf(" %6.1f %%\n", 100 * rest / km_json_number_of(p, "total_us"));
    }
    if (km_json_number_of(p, "unattributed_us") > 0) {
        printf("  %-70s ", "(kernels that no operator launched)");
        print_us(km_json_number_of(p, "unattributed_us"));
        printf("\n");
    }
}

/* ---- chains ---- */

/* Words with spaces between, over lines that begin with six of them. */
static void print_words(const json_t *words)
{
    const json_t *word;
    size_t i, column = 0;

    json_array_foreach(words, i, word)
    {
        const char *text = plain(json_string_value(word));
        size_t n = strlen(text);
        if (!column || column + 1 + n > COLUMNS) {
            printf(column ? "\n      " : "      ");
            column = 6;
        }
        printf(column > 6 ? " " : "");
        print_name(text, 0, COLUMNS - 6);
        column += n + (column > 6);
    }
    printf("\n");
}

/* In at most 28 characters. */
static void print_tensor(const json_t *row)
{
    const json_t *size;
    char room[64];
    size_t i, n;

    n = (size_t)snprintf(room, sizeof room, "%.20s[", km_json_text_of(row, "dtype"));
    json_array_foreach(json_object_get(row, "sizes"), i, size)
    {
        if (n < sizeof room)
            n += (size_t)snprintf(room + n, sizeof room - n, i ? ", %lld" : "%lld",
                                  json_integer_value(size));
    }
    if (n > 27)
        memcpy(room + 24, "...", sizeof "...");
    printf("%s]", room);
}

/* The end of a path says most. */
static void print_path(const char *path)
{
    size_t n = strlen(path);

    if (n > 52)
        printf("...");
    print_name(n > 52 ? path + n - 49 : path, 0, 52);
}

static void print_fit(const json_t *row)
{
    const char *pattern = km_json_text_of(row, "pattern"), *why = km_json_text_of(row, "why");

    if (*km_json_text_of(row, "kernel"))
        printf("      %s: %s fits, for %lld of %zu operators\n", pattern,
               km_json_text_of(row, "function"), integer_of(row, "covers"),
               json_array_size(json_object_get(row, "ops")));
    else if (*why)
        printf("      %s: %s\n", pattern, why);
    else if (*pattern)
        printf("      %s: no kernel of ours fits\n", pattern);
}

static void print_chain(const json_t *row)
{
    const json_t *paths = json_object_get(row, "paths");
    const char *module = km_json_text_of(row, "module");
    size_t more = json_array_size(paths);

    printf("  ");
    print_us(km_json_number_of(row, "win_us"));
    printf(" %6.1f %% %7lld ", percent_of(row, "win_share"), integer_of(row, "count"));
    print_us(km_json_number_of(row, "time_us"));
    printf(" ");
    print_us(km_json_number_of(row, "floor_us"));
    printf("  ");
    print_name(*module ? module : "(no module)", 0, 34);
    printf(json_is_true(json_object_get(row, "backward")) ? ", backward\n" : "\n");
    printf("      ");
    print_tensor(row);
    if (more) {
        printf("  ");
        print_path(json_string_value(json_array_get(paths, 0)));
    }
    if (more > 1)
        printf(" and %zu more", more - 1);
    printf("\n");
    print_words(json_object_get(row, "ops"));
    print_fit(row);
}

static void print_chains(const json_t *p, size_t top)
{
    const json_t *rows = json_object_get(p, "chains"), *total = json_object_get(p, "chains_total");
    const json_t *row;
    size_t i;

    if (!json_array_size(rows)) {
        printf("\nno operator is bound by memory\n");
        return;
    }
    printf("\nchains of operators that are bound by memory, by the most that a kernel could win\n");
    printf("  %10s %8s %7s %10s %10s  %s\n", "win us", "of all", "chains", "us", "copy us",
           "module");
    json_array_foreach(rows, i, row) if (i < top) print_chain(row);
    if (json_array_size(rows) > top)
        printf("  (%zu more rows; --top N shows more, --json all)\n", json_array_size(rows) - top);
    printf("every chain at the speed of a copy: %.1f us less, %.1f %% of all\n",
           km_json_number_of(total, "win_us"), percent_of(total, "win_share"));
}

static void print_kernel(const json_t *row)
{
    const char *name = km_json_text_of(row, "name");

    printf("\n%s fits %lld chains, %.1f us; it could win %.1f us at most, %.1f %% of all\n", name,
           integer_of(row, "count"), km_json_number_of(row, "time_us"),
           km_json_number_of(row, "win_us"), percent_of(row, "win_share"));
    if (km_json_number_of(row, "backward_us") > 0)
        printf("  and the gradient, of which these modules spend %.1f us more in chains\n",
               km_json_number_of(row, "backward_us"));
    if (km_json_number_of(row, "by_use_us") > 0)
        printf("  pip install %s; the family \"%s\" of kernmill.transformers\n", name,
               km_json_text_of(row, "family"));
    else
        printf("  pip install %s; the functions named above, called by hand\n", name);
}

static void print_kernels(const json_t *p)
{
    const json_t *row;
    bool by_use = false;
    size_t i;

    json_array_foreach(json_object_get(p, "kernels"), i, row)
    {
        print_kernel(row);
        by_use |= km_json_number_of(row, "by_use_us") > 0;
    }
    if (by_use)
        printf(
            "\n  import kernmill.transformers; print(kernmill.transformers.use(model))\n"
            "  puts what is installed into the modules whose formula is a kernel's, and says "
            "which;\n"
            "  an add before a norm is fused only by the function named above, called by hand\n");
}

void km_profile_print(const json_t *profile, size_t top)
{
    print_head(profile);
    print_ops(profile, top);
    print_chains(profile, top);
    print_kernels(profile);
}
