#include "pkg/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool parse_one(const char *text, size_t length, km_arch *out)
{
    char word[16], *rest;
    unsigned long sm;

    if (!length || length >= sizeof word)
        return false;
    memcpy(word, text, length);
    word[length] = '\0';
    if (strncmp(word, "sm_", 3) == 0)
        memmove(word, word + 3, strlen(word + 3) + 1);
    sm = strtoul(word, &rest, 10);
    if (word[0] < '0' || word[0] > '9' || sm < 50 || sm > 999)
        return false;
    *out = (km_arch){ .sm = (unsigned)sm, .cubin = true };
    if (*rest == 'a' || *rest == 'f')
        out->suffix = *rest++;
    if (strcasecmp(rest, "+PTX") == 0)
        out->ptx = true;
    else if (strcasecmp(rest, "ptx") == 0)
        *out = (km_arch){ .sm = out->sm, .suffix = out->suffix, .ptx = true };
    else if (*rest)
        return false;
    return true;
}

static int order(const km_arch *a, const km_arch *b)
{
    return a->sm != b->sm ? (a->sm < b->sm ? -1 : 1) : a->suffix - b->suffix;
}

int km_archs_add(km_archs *list, km_arch arch, km_err *err)
{
    size_t i = 0;

    while (i < list->count && order(&list->items[i], &arch) < 0)
        i++;
    if (i < list->count && order(&list->items[i], &arch) == 0) {
        list->items[i].cubin |= arch.cubin;
        list->items[i].ptx |= arch.ptx;
        return 0;
    }
    if (list->count == KM_ARCHS_MAX)
        return km_fail(err, KM_ELIMIT, "more than %d architectures", KM_ARCHS_MAX);
    memmove(&list->items[i + 1], &list->items[i], (list->count - i) * sizeof arch);
    list->items[i] = arch;
    list->count++;
    return 0;
}

int km_archs_parse(const char *text, km_archs *out, km_err *err)
{
    out->count = 0;
    for (;;) {
        size_t n = strcspn(text, ",");
        km_arch arch;
        if (!parse_one(text, n, &arch)) {
            km_fail(err, KM_EUSAGE, "'%.*s' is no architecture", (int)n, text);
            return km_hint(err, "write for example 80,90a,75+PTX");
        }
        if (km_archs_add(out, arch, err) < 0)
            return KM_ELIMIT;
        if (!text[n])
            return 0;
        text += n + 1;
    }
}

int km_archs_from_capabilities(const km_list *capabilities, km_archs *out, km_err *err)
{
    out->count = 0;
    for (size_t i = 0; i < capabilities->count; i++) {
        const char *text = capabilities->items[i], *dot = strchr(text, '.');
        km_arch arch = { .sm = (unsigned)(atoi(text) * 10 + dot[1] - '0'),
                         .suffix = dot[2] == 'a' || dot[2] == 'f' ? dot[2] : '\0',
                         .cubin = true,
                         .ptx = strchr(dot, '+') != NULL };
        if (km_archs_add(out, arch, err) < 0)
            return KM_ELIMIT;
    }
    return 0;
}

void km_arch_name(const km_arch *arch, char out[8])
{
    snprintf(out, 8, "%u%s", arch->sm % 1000,
             arch->suffix == 'a'   ? "a"
             : arch->suffix == 'f' ? "f"
                                   : "");
}
