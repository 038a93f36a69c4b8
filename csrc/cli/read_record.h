/* cli/read_record.h: a record that a command line names. */
#ifndef KERNMILL_CLI_READ_RECORD_H
#define KERNMILL_CLI_READ_RECORD_H

#include <jansson.h>

#include "cli/command.h"

/* km_record_read, with a note on stderr of lines that are no cells. */
int km_read_record(km_common *common, const char *path, json_t **cells, km_err *err);

#endif
