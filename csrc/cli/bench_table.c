#include "cli/bench_table.h"
#include "formats/json.h"
#include "record/record.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static const json_t *column_of(const json_t *call, const char *name)
{
    return json_object_get(json_object_get(call, "columns"), name);
}

static double median_of(const json_t *call, const char *column)
{
    return km_json_number_of(column_of(call, column), "median_us");
}

/* A time in microseconds, in `width` characters. */
static void print_us(double us, int width)
{
    if (us == 0)
        printf("%*s", width, "-");
    else
        printf("%*.*f", width, us < 9.995 ? 2 : us < 99.95 ? 1 : 0, us);
}

static void print_ratio(const json_t *column)
{
    const json_t *ratio = json_object_get(column, "ratio");

    if (ratio)
        printf("  %5.3f [%5.3f, %5.3f] %-9s", km_json_number_of(ratio, "median"),
               km_json_number_of(ratio, "low"), km_json_number_of(ratio, "high"),
               km_json_text_of(column, "verdict"));
    else
        printf("%33s", "");
}

static void print_faults(const json_t *call)
{
    if (!km_record_is_right(call))
        printf("  %-12.12s %s: %s\n", "", km_json_text_of(call, "state"),
               km_json_text_of(call, "why"));
    if (*km_json_text_of(call, "note"))
        printf("  %-12.12s note: %s\n", "", km_json_text_of(call, "note"));
}

static void print_error(const json_t *call)
{
    const json_t *ulp = json_object_get(call, "error_ulp");

    if (!json_object_size(json_object_get(call, "columns")))
        printf("%6s\n", "-"); /* never timed, never compared */
    else if (json_is_string(ulp))
        printf("%6s\n", json_string_value(ulp));
    else
        printf("%6.2f\n", json_number_value(ulp));
}

static void print_on_gpu(const json_t *cell)
{
    static const char *const others[] = { "chained", "hot", "stream", "host", "latency" };
    const json_t *calls = json_object_get(cell, "calls"), *call;
    double best = km_record_best_us(cell);
    size_t i;

    printf("  %-12s %7s  %4s  %-32s%8s%7s%7s%7s%8s%6s\n", "us", "cold", "SOL", "ratio, 95 %",
           others[0], others[1], others[2], others[3], others[4], "ulp");
    json_array_foreach(calls, i, call)
    {
        double us = median_of(call, "cold"), share = km_json_number_of(call, "share_of_light");
        printf("  %-12.12s ", km_json_text_of(call, "name"));
        print_us(us, 7);
        printf(us > 0 && us == best ? "* " : "  ");
        if (share > 0)
            printf("%4.2f", share);
        else
            printf("%4s", "-");
        print_ratio(column_of(call, "cold"));
        for (size_t k = 0; k < 5; k++)
            print_us(median_of(call, others[k]), k == 0 || k == 4 ? 8 : 7);
        print_error(call);
        print_faults(call);
    }
}

static void print_on_cpu(const json_t *cell)
{
    const json_t *calls = json_object_get(cell, "calls"), *call;
    double best = km_record_best_us(cell), bytes = km_json_number_of(cell, "bytes");
    size_t i;

    printf("  %-16s %10s  %8s  %-32s%6s\n", "", "us", "GB/s", "ratio, 95 %", "ulp");
    json_array_foreach(calls, i, call)
    {
        double us = median_of(call, "call");
        printf("  %-16.16s ", km_json_text_of(call, "name"));
        print_us(us, 10);
        printf(us > 0 && us == best ? "* " : "  ");
        if (us > 0)
            printf("%8.2f", bytes / us / 1e3);
        else
            printf("%8s", "-");
        print_ratio(column_of(call, "call"));
        print_error(call);
        print_faults(call);
    }
}

void km_bench_print(const json_t *cell)
{
    bool gpu = km_record_on_gpu(cell);
    const json_t *yards = json_object_get(cell, "yardsticks"), *size;
    const char *axis;

    printf("%s", km_json_text_of(cell, "op"));
    json_object_foreach((json_t *)(uintptr_t)json_object_get(cell, "shape"), axis, size)
        printf(" %s=%lld", axis, json_integer_value(size));
    printf(" %s  (%lld rounds, %lld sets", km_json_text_of(cell, "dtype"),
           json_integer_value(json_object_get(cell, "rounds")),
           json_integer_value(json_object_get(cell, "sets")));
    if (gpu)
        printf("; copy %.2f us, empty kernel %.2f us",
               km_json_number_of(json_object_get(yards, "copy"), "median_us"),
               km_json_number_of(json_object_get(yards, "empty_early"), "median_us"));
    printf(")\n");
    if (*km_json_text_of(cell, "audit"))
        printf("  not audited: %s\n", km_json_text_of(cell, "audit"));
    if (gpu)
        print_on_gpu(cell);
    else
        print_on_cpu(cell);
    fflush(stdout);
}
