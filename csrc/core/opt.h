/* core/opt.h: a command's options as a table: the parser, the help and its JSON read the same rows.
 *
 *     struct build_args { bool debug; long jobs; const char *arch; };
 *     static const km_opt build_options[] = {
 *         KM_OPT_FLAG("debug", 'g', struct build_args, debug, "add line information"),
 *         KM_OPT_INT("jobs", 'j', "N", struct build_args, jobs, "how many compilers at once"),
 *         KM_OPT_END,
 *     };
 *
 * Long options are written --name, --name=VALUE or --name VALUE, short ones -x or -xVALUE; "--"
 * ends them; positional arguments may stand between options.
 */
#ifndef KERNMILL_CORE_OPT_H
#define KERNMILL_CORE_OPT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

typedef enum { KM_OPT_KIND_FLAG, KM_OPT_KIND_TEXT, KM_OPT_KIND_INT } km_opt_kind;

typedef struct {
    const char *name; /* without the dashes; NULL ends the table */
    char letter;      /* or 0 */
    km_opt_kind kind;
    const char *value; /* what the help calls the value; NULL for a flag */
    size_t offset;     /* of the field in the command's struct: bool, const char * or long */
    const char *help;
} km_opt;

#define KM_OPT_FLAG(name, letter, type, field, help)                                               \
    { name, letter, KM_OPT_KIND_FLAG, NULL, offsetof(type, field), help }
#define KM_OPT_TEXT(name, letter, value, type, field, help)                                        \
    { name, letter, KM_OPT_KIND_TEXT, value, offsetof(type, field), help }
#define KM_OPT_INT(name, letter, value, type, field, help)                                         \
    { name, letter, KM_OPT_KIND_INT, value, offsetof(type, field), help }
#define KM_OPT_END { NULL, 0, KM_OPT_KIND_FLAG, NULL, 0, NULL }

/* Fills the struct at `fields` from argv[1..argc-1] and collects the positional arguments, in their
 * order, in `args` (at least argc entries). Texts are borrowed from argv.
 * Errors: KM_EUSAGE naming the option, with the nearest known one as hint. */
int km_opt_parse(const km_opt *options, void *fields, int argc, char **argv, const char **args,
                 size_t *arg_count, km_err *err);

#endif
