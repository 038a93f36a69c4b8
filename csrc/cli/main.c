/* The program: finds the row, parses its options, runs it, and turns what it returns into an exit
 * code. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "core/hash.h"
#include "core/proc.h"
#include "core/str.h"
#include "core/token.h"

#define OPTIONS_MAX 48

static const km_opt common_options[] = {
    KM_OPT_FLAG("json", 0, km_common, json, "print the result as JSON"),
    KM_OPT_FLAG("quiet", 'q', km_common, quiet, "say nothing while running"),
    KM_OPT_FLAG("help", 'h', km_common, help, "print this help"),
    KM_OPT_END,
};

static const struct {
    int code;
    const char *meaning;
} exit_codes[] = {
    { 0, "done" },
    { 1, "an honest no: a finding, a failed test, a wrong result, nothing that fits" },
    { 2, "usage" },
    { 3, "the environment lacks something" },
    { 4, "invalid input" },
    { 5, "I/O or the network" },
    { 70, "a bug in kernmill" },
};

static int exit_code(int code)
{
    switch (code) {
    case KM_ENOFIT:
        return KM_EXIT_NO;
    case KM_EUSAGE:
        return 2;
    case KM_EENV:
        return 3;
    case KM_EFORMAT:
    case KM_ELIMIT:
    case KM_ECHILD:
        return 4;
    case KM_EIO:
    case KM_ENOENT:
    case KM_ETIME:
        return 5;
    default:
        return code < 0 ? 70 : code;
    }
}

static const char *code_name(int code)
{
    static const char *const names[] = {
        "ok",     "usage",  "environment", "format", "limit", "io",
        "absent", "memory", "timeout",     "child",  "bug",   "fit"
    };

    return code <= 0 && code >= KM_ENOFIT ? names[-code] : "bug";
}

int km_print_json(json_t *root, km_err *err)
{
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    int rc = text ? 0 : km_fail_nomem(err);

    if (!root) /* jansson gives no reason; this one is likelier than a want of memory */
        rc = km_fail(err, KM_EFORMAT, "a name in the result is not UTF-8, and JSON cannot hold it");
    if (text && puts(text) < 0)
        rc = km_fail_errno(err, errno, "unable to write the result");
    free(text);
    json_decref(root);
    return rc;
}

int km_check_args(size_t count, size_t least, size_t most, km_err *err)
{
    if (count < least)
        return km_fail(err, KM_EUSAGE, "an argument is missing");
    if (count > most)
        return km_fail(err, KM_EUSAGE, "too many arguments");
    return 0;
}

static void print_error(const km_err *err, bool json)
{
    bool color = km_term_may_color(2);

    if (json) {
        json_t *e = json_pack("{s:i,s:{s:s,s:s,s:s,s:s}}", "schema", KM_JSON_SCHEMA, "error",
                              "code", code_name(err->code), "place", err->place, "message",
                              err->message, "hint", err->hint);
        km_print_json(e, NULL);
    }
    fprintf(stderr, "%s%s: %serror:%s %s\n", err->place, *err->place ? "" : "kernmill",
            color ? "\033[31m" : "", color ? "\033[0m" : "", err->message);
    if (*err->hint)
        fprintf(stderr, "  %s\n", err->hint);
}

static void print_options(const km_opt *options)
{
    for (; options && options->name; options++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%s--%s%s%s", options->letter ? '-' : ' ',
                 options->letter ? options->letter : ' ', options->letter ? ", " : "  ",
                 options->name, options->value ? " " : "", options->value ? options->value : "");
        printf("  %-26s %s\n", left, options->help);
    }
}

static void print_rows(const km_command *const *c)
{
    for (; *c; c++)
        if (!(*c)->hidden)
            printf("  %-10s %s\n", (*c)->name, (*c)->help);
}

static void print_subs(const km_command *c)
{
    printf("usage: kernmill %s COMMAND [options] [arguments]\n\n  %s\n\n%s%scommands:\n", c->name,
           c->help, c->more ? c->more : "", c->more ? "\n\n" : "");
    for (const km_command *const *sub = c->subs; *sub; sub++)
        printf("  %-16s %s\n", (*sub)->name, (*sub)->help);
    printf("\n'kernmill help %s COMMAND' describes one.\n", c->name);
}

static void print_help(const km_command *c)
{
    if (c->subs) {
        print_subs(c);
        return;
    }
    printf("usage: kernmill %s [options]%s%s\n\n  %s\n\n%s%soptions:\n", c->name,
           *c->args ? " " : "", c->args, c->help, c->more ? c->more : "", c->more ? "\n\n" : "");
    print_options(c->options);
    print_options(common_options);
}

static void unknown_command(const char *name, const km_command *above, const char *near,
                            km_err *err)
{
    km_fail(err, KM_EUSAGE, "unknown command '%s%s%s'", above ? above->name : "", above ? " " : "",
            name);
    if (near)
        km_hint(err, "did you mean '%s'?", near);
    else
        km_hint(err, "'kernmill help%s%s' lists the commands", above ? " " : "",
                above ? above->name : "");
}

/* In the table, or of the rows of `above`, whose names begin with its own. */
static const km_command *find_command(const char *name, const km_command *above, km_err *err)
{
    const char *names[64];
    size_t n = 0, skipped = above ? strlen(above->name) + 1 : 0;

    for (const km_command *const *c = above ? above->subs : km_commands; *c; c++) {
        if (strcmp((*c)->name + skipped, name) == 0)
            return *c;
        if (!(*c)->hidden)
            names[n++] = (*c)->name + skipped;
    }
    names[n] = NULL;
    if (name[0] == '-') {
        km_fail(err, KM_EUSAGE, "the command is missing before '%s'", name);
        km_hint(err, "options follow the command: kernmill%s%s COMMAND %s", above ? " " : "",
                above ? above->name : "", name);
        return NULL;
    }
    unknown_command(name, above, km_nearest(name, names), err);
    return NULL;
}

static int run_command(const km_command *c, int argc, char **argv, km_err *err)
{
    km_opt options[OPTIONS_MAX];
    const char **args = calloc((size_t)argc + 1, sizeof *args);
    km_common *common = calloc(1, c->fields_size);
    size_t n = 0, count = 0;
    int rc;

    for (const km_opt *o = c->options; o && o->name; o++)
        options[n++] = *o;
    memcpy(&options[n], common_options, sizeof common_options);
    rc = args && common ? km_opt_parse(options, common, argc, argv, args, &count, err)
                        : km_fail_nomem(err);
    if (rc == 0) {
        km_term_init(&common->term, common->quiet);
        if (common->help)
            print_help(c);
        else if (!c->run)
            rc = km_exec_net(argv - (strchr(c->name, ' ') ? 2 : 1), err); /* the whole line */
        else
            rc = c->run(common, args, count, err);
        if (rc == KM_RUN_NET)
            rc = km_exec_net(argv - (strchr(c->name, ' ') ? 2 : 1), err);
        km_term_clear(&common->term);
    }
    if (rc == KM_EUSAGE && !*err->hint)
        km_hint(err, "usage: kernmill %s [options]%s%s; see 'kernmill help %s'", c->name,
                *c->args ? " " : "", c->args, c->name);
    free(common);
    free(args);
    return rc;
}

static void on_signal(int signal)
{
    km_proc_interrupt();
    _exit(128 + signal);
}

/* help [COMMAND] */
static int print_overview(void)
{
    printf("usage: kernmill COMMAND [options] [arguments]\n\ncommands:\n");
    print_rows(km_commands);
    printf("\n'kernmill help COMMAND' describes one. Exit codes:\n");
    for (size_t i = 0; i < sizeof exit_codes / sizeof exit_codes[0]; i++)
        printf("  %-10d %s\n", exit_codes[i].code, exit_codes[i].meaning);
    return 0;
}

static json_t *option_rows(const km_opt *options)
{
    json_t *rows = json_array();

    for (; options && options->name; options++)
        json_array_append_new(rows, json_pack("{s:s,s:s%,s:s*,s:s}", "name", options->name,
                                              "letter", options->letter ? &options->letter : "",
                                              (size_t)(options->letter != 0), "value",
                                              options->value, "help", options->help));
    return rows;
}

/* What can be run: of a command of commands its rows. */
static void add_rows(json_t *rows, const km_command *const *c, const km_command *only)
{
    for (; *c; c++)
        if ((*c)->subs)
            add_rows(rows, (*c)->subs, only);
        else if (only ? *c == only : !(*c)->hidden)
            json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:o}", "name", (*c)->name, "help",
                                                  (*c)->help, "args", (*c)->args, "options",
                                                  option_rows((*c)->options)));
}

/* All commands, or `only` one, with those of it. */
static int print_overview_json(const km_command *only, km_err *err)
{
    json_t *rows = json_array(), *codes = json_array();

    if (only && only->subs)
        add_rows(rows, only->subs, NULL);
    else
        add_rows(rows, km_commands, only);
    for (size_t i = 0; i < sizeof exit_codes / sizeof exit_codes[0]; i++)
        json_array_append_new(codes, json_pack("{s:i,s:s}", "code", exit_codes[i].code, "meaning",
                                               exit_codes[i].meaning));
    return km_print_json(json_pack("{s:i,s:s,s:o,s:o,s:o}", "schema", KM_JSON_SCHEMA, "version",
                                   KM_VERSION, "options", option_rows(common_options), "commands",
                                   rows, "exit_codes", codes),
                         err);
}

static int run_help(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_common *common = fields;
    const km_command *c = NULL;

    if (km_check_args(arg_count, 0, 2, err) < 0)
        return KM_EUSAGE;
    for (size_t i = 0; i < arg_count; i++) {
        if (c && !c->subs)
            return km_check_args(arg_count, 0, 1, err);
        if (!(c = find_command(args[i], c, err)))
            return KM_EUSAGE;
    }
    if (common->json)
        return print_overview_json(c, err);
    if (!c)
        return print_overview();
    print_help(c);
    return 0;
}

extern const km_command km_cmd_help;
const km_command km_cmd_help = {
    .name = "help",
    .help = "list the commands, or describe one",
    .args = "[COMMAND]",
    .fields_size = sizeof(km_common),
    .run = run_help,
};

/* A standard stream that is closed would be the next file we open, and what we print would go into
 * it. /dev/null takes its place, such that writing to it still fails. */
static void hold_standard_streams(void)
{
    for (int fd = open("/dev/null", O_RDONLY); fd >= 0; fd = open("/dev/null", O_RDONLY))
        if (fd > 2) {
            close(fd);
            return;
        }
}

/* Errors come as JSON, too, those of the command line itself included. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

/* kernmill ABOVE COMMAND ... */
static int run_sub(const km_command *above, int argc, char **argv, km_err *err)
{
    const km_command *c;

    if (argc < 3) {
        print_help(above);
        return 2;
    }
    if (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0) {
        print_help(above);
        return 0;
    }
    c = find_command(argv[2], above, err);
    return c ? run_command(c, argc - 2, argv + 2, err) : KM_EUSAGE;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_signal };
    km_err err = KM_ERR_INIT;
    const km_command *c;
    int rc;

    hold_standard_streams();
#ifndef KM_WITH_NET
    km_hash_without_settings();
#endif
    if (km_token_take(&err) < 0)
        return print_error(&err, false), exit_code(err.code);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error of write(2) */
    if (argc < 2)
        return print_overview(), 2;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        argv[1] = (char *)"help";
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = (char *)"version";
    c = find_command(argv[1], NULL, &err);
    rc = c ? (c->subs ? run_sub(c, argc, argv, &err) : run_command(c, argc - 1, argv + 1, &err))
           : KM_EUSAGE;
    if (rc < 0 && !err.code)
        km_fail(&err, KM_EBUG, "'%s' failed (%d) and does not say why", argv[1], rc);
    if (rc < 0)
        print_error(&err, wants_json(argc, argv));
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "kernmill: error: unable to write the result\n");
        return 5;
    }
    return rc < 0 ? exit_code(err.code) : rc;
}
