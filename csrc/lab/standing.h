/* lab/standing.h: where a campaign stands: its champion, what is known of it, and how far the
 * promotions have come from the baseline.
 *
 * A champion is known by all its runs, as a candidate and as a parent: how many, their mean, and
 * the SD of a single run within a block (the blocks' squares pooled). Never by its best run. The
 * gain over the baseline is the sum of the gains by which each was accepted, each measured beside
 * its own parent; the interval is the sum of their ends. Each end holds with the judge's rate
 * (lab/judge.h), so that all k intervals hold together with 1 - 2 k alpha or more. When people put
 * another baseline on top of a champion, the sum begins again.
 */
#ifndef KERNMILL_LAB_STANDING_H
#define KERNMILL_LAB_STANDING_H

#include <jansson.h>

#include "lab/lab.h"

/* {"metric", "direction", "effect", "champion", "chain", "promotions" (since the newest baseline),
 * "gain", "low", "high"}; null is what is not known. "chain": from the first baseline on, of each
 * {"id", "hypothesis" (null: a baseline), "title", "commit", "idea_commit" (before what a promotion
 * adds), "created_us", "pairs", "gain", "low", "high"}. "champion": the last of these, or null, and
 * of its runs {"n", "mean", "sd", "blocks": [{"block", "n", "mean", "sd"}]}. New reference. */
int km_standing(km_lab *lab, json_t **out, km_err *err);

#endif
