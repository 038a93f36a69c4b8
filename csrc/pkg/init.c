#include "pkg/init.h"

#include <ctype.h>
#include <string.h>

#include "core/path.h"
#include "core/str.h"
#include "core/template.h"
#include "pkg/manifest.h"

static int check_name(const char *name, km_err *err)
{
    size_t n = strlen(name);
    bool good = n >= 2 && n <= 64 && islower((unsigned char)name[0]) && name[n - 1] != '-';

    for (size_t i = 0; i < n && good; i++)
        good = islower((unsigned char)name[i]) || isdigit((unsigned char)name[i]) || name[i] == '-';
    if (good && !km_name_is_taken(name))
        return 0;
    km_fail(err, KM_EUSAGE, "a kernel cannot be called '%s'", name);
    if (good)
        return km_hint(err, "that is the name of another Python package or module");
    if (strchr(name, '/'))
        return km_hint(err, "NAME is the kernel's; -d DIR says where it is made");
    if (strchr(name, '_'))
        return km_hint(err, "write '-' for '_': the Python package has '_' by itself");
    return km_hint(err,
                   "use 2 to 64 lower-case letters, digits and '-', starting with a letter and "
                   "not ending with '-'");
}

/* A template's file name, with IMPORT_NAME replaced and a last ".in" dropped. */
static char *target_name(km_arena *a, const char *name, const char *import_name)
{
    const char *mark = strstr(name, "IMPORT_NAME");
    char *out = mark ? km_arena_printf(a, "%.*s%s%s", (int)(mark - name), name, import_name,
                                       mark + strlen("IMPORT_NAME"))
                     : km_arena_strdup(a, name);

    if (out && km_ends_with(out, ".in"))
        out[strlen(out) - 3] = '\0';
    return out;
}

static int write_one(km_arena *a, const char *from, const char *to, const km_template_value *values,
                     km_err *err)
{
    km_str text = KM_STR_INIT;
    int rc = from && to ? km_template_expand_file(from, values, &text, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_dir_make(km_path_dir(a, to), err);
    if (rc == 0)
        rc = km_file_write(to, text.data, text.length, 0666, err);
    km_str_release(&text);
    return rc;
}

static int check_empty(km_arena *a, const char *dir, km_err *err)
{
    km_names names;
    int rc;

    if (!*dir)
        return km_fail(err, KM_EUSAGE, "the name of a folder is empty");
    rc = km_dir_list(a, dir, &names, err);
    if (rc < 0)
        return rc == KM_ENOENT ? 0 : rc;
    if (!names.count)
        return 0;
    return km_fail(err, KM_EIO, "the folder '%s' is there and not empty", dir);
}

int km_init(km_arena *a, const km_home *home, const char *dir, const char *name, km_names *files,
            km_err *err)
{
    const char *root = km_path_join(a, home->templates, "kernel");
    char *import_name = km_arena_strdup(a, name);
    const km_template_value values[] = { { "name", name },
                                         { "import_name", import_name },
                                         { "kernmill_version", KM_VERSION },
                                         { NULL, NULL } };
    int rc = root && import_name ? check_name(name, err) : km_fail_nomem(err);

    for (char *c = import_name; rc == 0 && c && *c; c++)
        if (*c == '-')
            *c = '_';
    if (rc == 0)
        rc = check_empty(a, dir, err);
    if (rc == 0)
        rc = km_dir_walk(a, root, files, err);
    for (size_t i = 0; rc == 0 && i < files->count; i++) {
        const char *from = km_path_join(a, root, files->names[i]);
        files->names[i] = target_name(a, files->names[i], import_name);
        rc = files->names[i]
                 ? write_one(a, from, km_path_join(a, dir, files->names[i]), values, err)
                 : km_fail_nomem(err);
    }
    return rc;
}
