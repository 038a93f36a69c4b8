/* cli/profile_table.h: a profile for people, within 100 columns. */
#ifndef KERNMILL_CLI_PROFILE_TABLE_H
#define KERNMILL_CLI_PROFILE_TABLE_H

#include <jansson.h>

/* Prints the document of a profile (profile/profile.h, with the environment) to stdout: `top` rows
 * of operators and as many of chains. */
void km_profile_print(const json_t *profile, size_t top);

#endif
