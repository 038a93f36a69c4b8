/* cli/findings.h: what `check` and whoever asks it found, as text and as JSON. */
#ifndef KERNMILL_CLI_FINDINGS_H
#define KERNMILL_CLI_FINDINGS_H

#include <stdio.h>

#include <jansson.h>

#include "pkg/check.h"

/* A line each, and a hint under it. */
void km_findings_print(const km_findings *f, FILE *to);

/* [{"severity":..., "code":..., "place":..., "message":..., "hint":...}]. New reference. */
json_t *km_findings_json(const km_findings *f);

#endif
