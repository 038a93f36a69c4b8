#include "bench/late.h"

#include <string.h>

#include "bench/arguments.h"
#include "bench/verify.h"

#include <kernmill/op.h>

void km_late_look(const km_torch *t, const km_torch_tensor *results, km_random *r, km_late *out)
{
    int count = km_results_count(results);
    km_view views[KM_RETURNS_MAX] = { 0 };

    *out = (km_late){ .places = { NULL } };
    for (int i = 0; i < count; i++)
        views[i] = km_view_of(t, results[i]);
    for (int k = 0; k < KM_LATE_WORDS && count; k++) {
        size_t words = km_view_bytes(&views[k % count]) / sizeof *out->words;
        size_t at = words && k >= count ? (size_t)km_random_below(r, words) : words - 1;
        if (!words || !views[k % count].data)
            continue;
        out->places[k] = (const unsigned char *)views[k % count].data + at * sizeof *out->words;
        memcpy(&out->words[k], out->places[k], sizeof *out->words);
    }
}

bool km_late_changed(const km_late *l)
{
    for (int k = 0; k < KM_LATE_WORDS; k++)
        if (l->places[k] && memcmp(&l->words[k], l->places[k], sizeof *l->words) != 0)
            return true;
    return false;
}
