/* cli/command.h: a subcommand is a row: the parser, `help`, `help --json` and the README's list all
 * read it. stdout carries the result (with --json a document with a schema version), stderr the
 * progress and the errors. */
#ifndef KERNMILL_CLI_COMMAND_H
#define KERNMILL_CLI_COMMAND_H

#include <stdbool.h>

#include <jansson.h>

#include "core/err.h"
#include "core/opt.h"
#include "core/term.h"

typedef struct km_command km_command;

struct km_command {
    const char *name;
    const char *help;      /* one line, lower-case, no full stop */
    const char *args;      /* "[PATH]" */
    const char *more;      /* sentences on the arguments, for its own help; may be NULL */
    const km_opt *options; /* its own; --json, --quiet and --help are everyone's */
    size_t fields_size; /* of the struct that the options fill, whose first member is km_common */
    bool hidden;        /* plumbing: run, not listed */
    /* A command of commands ("lab"): its rows, whose names are whole ("lab claim"); ends with NULL.
     * Nothing but `name`, `help`, `more` and this is read then. */
    const km_command *const *subs;
    /* `fields` is that struct, filled; returns an exit code, or a negative km_code with *err. NULL:
     * needs the network; kernmill-net, whose table has the function, is executed instead. */
    int (*run)(void *fields, const char **args, size_t arg_count, km_err *err);
};

/* A row's function that stands in cli/net_*.c. */
#ifdef KM_WITH_NET
#define KM_NET_RUN(function) function
#else
#define KM_NET_RUN(function) NULL
#endif

/* First member of every command's options. */
typedef struct {
    bool json, quiet, help;
    km_term term;
} km_common;

enum { KM_EXIT_OK = 0, KM_EXIT_NO = 1, KM_EXIT_IO = 5 };

/* From a row's function: this time it needs the network; kernmill-net does all of it. */
#define KM_RUN_NET 1000

/* The commands, in the order of the help; ends with NULL. */
extern const km_command *const km_commands[];

/* Prints a document of `--json` and frees it. 0, or KM_EIO / KM_ENOMEM. */
int km_print_json(json_t *root, km_err *err);

/* KM_EUSAGE unless there are between `least` and `most` positional arguments. */
int km_check_args(size_t count, size_t least, size_t most, km_err *err);

/* Becomes kernmill-net with these arguments; returns only when that cannot be: KM_EENV with the
 * line to type. */
int km_exec_net(char **argv, km_err *err);

/* The version of every --json document. */
#define KM_JSON_SCHEMA 1

#endif
