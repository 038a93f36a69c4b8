/* lab/answer.h: the result in what a role printed: the JSON object that its output ends with, on
 * one line or on several, in a fence or not. What a coding agent prints for programs is opened
 * first, and what it says that it cost becomes the result's "cost", whatever the agent says itself:
 *
 *     claude -p --output-format json     {"type": "result", "result", "total_cost_usd", "usage"}
 *     codex exec --json                  {"type": "item.completed", "item": {"type":
 *                                        "agent_message", "text"}}, {"type": "turn.completed",
 *                                        "usage"}
 *     opencode run --format json         {"type": "text", "part": {"text"}}, {"type":
 *                                        "step_finish", "part": {"tokens", "cost"}}
 *
 * Tokens are all of them: read, written, and from a cache.
 */
#ifndef KERNMILL_LAB_ANSWER_H
#define KERNMILL_LAB_ANSWER_H

#include <jansson.h>

#include "core/err.h"

/* *out and *cost are new references, or NULL; *cost is what an agent's program said of it, also on
 * error. Errors: KM_EFORMAT when there is no object, or the agent says that it has failed. */
int km_answer_read(const char *output, json_t **out, json_t **cost, km_err *err);

/* The same of a run's folder: its result.json, or the end of its output.log. */
int km_answer_of_run(const char *dir, json_t **out, json_t **cost, km_err *err);

#endif
