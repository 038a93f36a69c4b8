/* lab/webhook.h: an alert as the body that a webhook takes, in the forms in which Trackio posts
 * them (trackio/alerts.py, 0.36): Slack's blocks, Discord's embeds, or a plain object
 *
 *     {"level", "title", "text", "project", "run", "step", "timestamp"}
 *
 * Project is the campaign, run is what the alert is about ("job 7"), step is null: a lab has none.
 * Two things differ, for the texts are anybody's: in Slack's form "&", "<" and ">" are escaped, as
 * Slack asks, so that a title cannot call a channel together; and what is longer than the service
 * takes ends in "...".
 */
#ifndef KERNMILL_LAB_WEBHOOK_H
#define KERNMILL_LAB_WEBHOOK_H

#include <jansson.h>

#include "lab/alert.h"

typedef enum { KM_WEBHOOK_PLAIN, KM_WEBHOOK_SLACK, KM_WEBHOOK_DISCORD } km_webhook_form;

/* `name`: "plain", "slack" or "discord"; NULL or "": by the address, as Trackio does. Negative for
 * another name. */
int km_webhook_form_of(const char *name, const char *url);

/* New reference; NULL: out of memory. */
json_t *km_webhook_body(km_webhook_form form, const char *campaign, const km_alert *alert);

#endif
