/* cli/wrap.h: sentences on stdout, at most 80 columns wide. */
#ifndef KERNMILL_CLI_WRAP_H
#define KERNMILL_CLI_WRAP_H

/* `text` after `mark`, its lines broken at spaces and set in by as much; a long word stays whole.
 */
void km_print_wrapped(const char *mark, const char *text);

#endif
