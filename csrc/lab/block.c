#include "lab/block.h"

#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/str.h"
#include "record/environment.h"

/* The rest of the first line of a file that starts with `key`, without spaces around it. */
static bool read_value(const char *path, const char *key, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    bool found = false;
    char line[512];

    while (f && !found && fgets(line, sizeof line, f)) {
        const char *at = line + strlen(key);
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        at += strspn(at, " \t:=\"");
        snprintf(out, size, "%.*s", (int)strcspn(at, "\n\""), at);
        found = true;
    }
    if (f)
        fclose(f);
    return found;
}

/* Of NVIDIA's driver, which says it in files: nothing is loaded for it. */
static void add_gpu(km_str *s)
{
    glob_t found = { 0 };
    char model[256], driver[512];

    if (glob("/proc/driver/nvidia/gpus/*/information", 0, NULL, &found) == 0 &&
        read_value(found.gl_pathv[0], "Model", model, sizeof model)) {
        km_str_printf(s, ", %zu x %s", found.gl_pathc, model);
        if (read_value("/proc/driver/nvidia/version", "NVRM version", driver, sizeof driver))
            km_str_printf(s, ", %s", driver);
    }
    globfree(&found);
}

const char *km_block(km_arena *a)
{
    json_t *doc = km_environment("", NULL);
    const char *cpu = json_string_value(json_object_get(doc, "cpu"));
    const char *system = json_string_value(json_object_get(doc, "system"));
    char image[256], *kept;
    km_str s = KM_STR_INIT;

    km_str_printf(&s, "%s", cpu ? cpu : "unknown processor");
    add_gpu(&s);
    km_str_printf(&s, ", %s", system ? system : "unknown system");
    if (read_value("/etc/os-release", "PRETTY_NAME", image, sizeof image))
        km_str_printf(&s, ", %s", image);
    kept = km_arena_strdup(a, s.data);
    km_str_release(&s);
    json_decref(doc);
    return kept;
}
