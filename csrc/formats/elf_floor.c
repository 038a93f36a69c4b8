/* The newest version that a library wants of glibc or libstdc++: its floor. */
#include <string.h>

#include "formats/elf.h"

#define NUMBERS_MAX 4 /* in a version such as 3.4.21 */

/* The numbers of "FAMILY_1.2.3", missing ones zero; false for another family or other texts. */
static bool parse_version(const char *text, const char *family, unsigned numbers[NUMBERS_MAX])
{
    size_t n = strlen(family);

    if (strncmp(text, family, n) != 0 || text[n] != '_')
        return false;
    text += n + 1;
    memset(numbers, 0, NUMBERS_MAX * sizeof *numbers);
    for (size_t i = 0; i < NUMBERS_MAX; i++) {
        if (*text < '0' || *text > '9')
            return false;
        for (; *text >= '0' && *text <= '9'; text++)
            if (numbers[i] < 100000000)
                numbers[i] = numbers[i] * 10 + (unsigned)(*text - '0');
        if (!*text)
            return true;
        if (*text++ != '.')
            return false;
    }
    return false;
}

static bool is_newer(const unsigned a[NUMBERS_MAX], const unsigned b[NUMBERS_MAX])
{
    for (size_t i = 0; i < NUMBERS_MAX; i++)
        if (a[i] != b[i])
            return a[i] > b[i];
    return false;
}

const km_elf_version *km_elf_newest_need(const km_elf *elf, const char *family)
{
    unsigned numbers[NUMBERS_MAX], best_numbers[NUMBERS_MAX] = { 0 };
    const km_elf_version *best = NULL;

    for (size_t i = 0; i < elf->version_need_count; i++) {
        const km_elf_version *v = &elf->version_needs[i];
        if (parse_version(v->version, family, numbers) &&
            (!best || is_newer(numbers, best_numbers))) {
            memcpy(best_numbers, numbers, sizeof numbers);
            best = v;
        }
    }
    return best;
}

bool km_elf_newest(const km_elf *elf, const char *family, unsigned *major, unsigned *minor)
{
    const km_elf_version *v = km_elf_newest_need(elf, family);
    unsigned numbers[NUMBERS_MAX];

    if (!v || !parse_version(v->version, family, numbers))
        return false;
    *major = numbers[0];
    *minor = numbers[1];
    return true;
}
