/* lab/overview.h: what is in a lab, as JSON: for `status`, the report and whoever asks. */
#ifndef KERNMILL_LAB_OVERVIEW_H
#define KERNMILL_LAB_OVERVIEW_H

#include <jansson.h>

#include "lab/lab.h"

/* {"name", "hypotheses": {state: how many}, "jobs": {state: how many}, "budget": {kind: {"allowed",
 * "used"}}, "workers": [{"worker", "job", "kind", "since_us", "late", "hypothesis", "title"}],
 * "alerts": {"count": {level: how many}, "unsent", "last": [{"id", "level", "title", "text",
 * "subject", "created_us", "sent_us"}], newest first}, "standing": lab/standing.h}. */
int km_overview(km_lab *lab, json_t **out, km_err *err);

/* Every hypothesis with its reviews, decisions, jobs, leases and results. */
int km_overview_hypotheses(km_lab *lab, json_t **out, km_err *err);

/* Every hypothesis with its reviews and decisions alone. */
int km_overview_summary(km_lab *lab, json_t **out, km_err *err);

#endif
