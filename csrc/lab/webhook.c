#include "lab/webhook.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/str.h"

/* What the services take, in characters. */
#define SLACK_CHARS_MAX         3000
#define DISCORD_TITLE_CHARS_MAX 256
#define DISCORD_TEXT_CHARS_MAX  4096

static const struct {
    const char *sign, *name;
    int color; /* Discord's */
} levels[] = {
    { "\u2139\ufe0f", "INFO", 3447003 },
    { "\u26a0\ufe0f", "WARN", 16776960 },
    { "\U0001f6a8", "ERROR", 15158332 },
};

int km_webhook_form_of(const char *name, const char *url)
{
    static const char *const names[] = { "plain", "slack", "discord" };

    for (int i = 0; name && *name && i < 3; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    if (name && *name)
        return -1;
    if (strstr(url, "hooks.slack.com"))
        return KM_WEBHOOK_SLACK;
    if (strstr(url, "discord.com/api/webhooks") || strstr(url, "discordapp.com/api/webhooks"))
        return KM_WEBHOOK_DISCORD;
    return KM_WEBHOOK_PLAIN;
}

/* At most so many characters of UTF-8. */
static void add_some(km_str *s, const char *text, size_t chars_max)
{
    size_t chars = 0, end = 0;

    for (size_t i = 0; text[i]; i++) {
        if (((unsigned char)text[i] & 0xc0) == 0x80)
            continue;
        if (chars++ + 3 == chars_max)
            end = i;
    }
    if (chars <= chars_max) {
        km_str_add(s, text);
        return;
    }
    km_str_add_bytes(s, text, end);
    km_str_add(s, "...");
}

/* Slack's three characters; an escape is not cut. */
static void add_mrkdwn(km_str *s, const char *text)
{
    km_str some = KM_STR_INIT;

    add_some(&some, text, SLACK_CHARS_MAX / 5); /* "&amp;" has five */
    if (strpbrk(text, "&<>") == NULL) {
        km_str_clear(&some);
        add_some(&some, text, SLACK_CHARS_MAX - 40); /* the rest is the line around it */
    }
    for (const char *c = some.data; *c; c++)
        switch (*c) {
        case '&':
            km_str_add(s, "&amp;");
            break;
        case '<':
            km_str_add(s, "&lt;");
            break;
        case '>':
            km_str_add(s, "&gt;");
            break;
        default:
            km_str_add_char(s, *c);
        }
    s->failed = s->failed ? s->failed : some.failed;
    km_str_release(&some);
}

static json_t *section(const km_str *text)
{
    return json_pack("{s:s,s:{s:s,s:s}}", "type", "section", "text", "type", "mrkdwn", "text",
                     text->data);
}

static json_t *slack(int level, const char *campaign, const km_alert *alert)
{
    km_str head = KM_STR_INIT, text = KM_STR_INIT, where = KM_STR_INIT;
    json_t *blocks = json_array();

    km_str_printf(&head, "%s *[%s] ", levels[level].sign, levels[level].name);
    add_mrkdwn(&head, alert->title);
    km_str_add_char(&head, '*');
    json_array_append_new(blocks, section(&head));
    add_mrkdwn(&text, alert->text);
    if (text.length)
        json_array_append_new(blocks, section(&text));
    km_str_add(&where, "Project: ");
    add_mrkdwn(&where, campaign);
    km_str_add(&where, "  \u2022  Run: ");
    add_mrkdwn(&where, alert->subject);
    json_array_append_new(blocks, json_pack("{s:s,s:[{s:s,s:s}]}", "type", "context", "elements",
                                            "type", "mrkdwn", "text", where.data));
    km_str_release(&head);
    km_str_release(&text);
    km_str_release(&where);
    return json_pack("{s:o}", "blocks", blocks);
}

static json_t *discord(int level, const char *campaign, const km_alert *alert)
{
    km_str head = KM_STR_INIT, text = KM_STR_INIT, where = KM_STR_INIT;
    json_t *embed;

    km_str_printf(&head, "%s [%s] ", levels[level].sign, levels[level].name);
    add_some(&head, alert->title, DISCORD_TITLE_CHARS_MAX - 16);
    add_some(&text, alert->text, DISCORD_TEXT_CHARS_MAX);
    km_str_printf(&where, "Project: %s  \u2022  Run: %s", campaign, alert->subject);
    embed = json_pack("{s:s,s:i,s:{s:s}}", "title", head.data, "color", levels[level].color,
                      "footer", "text", where.data);
    if (text.length)
        json_object_set_new(embed, "description", json_string(text.data));
    km_str_release(&head);
    km_str_release(&text);
    km_str_release(&where);
    return json_pack("{s:[o]}", "embeds", embed);
}

static json_t *plain(const char *campaign, const km_alert *alert)
{
    time_t seconds = (time_t)(alert->created_us / 1000000);
    char at[32], stamp[48];
    struct tm tm;

    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    snprintf(stamp, sizeof stamp, "%s.%06d+00:00", at, (int)(alert->created_us % 1000000));
    return json_pack("{s:s,s:s,s:s*,s:s,s:s,s:n,s:s}", "level", alert->level, "title", alert->title,
                     "text", *alert->text ? alert->text : NULL, "project", campaign, "run",
                     alert->subject, "step", "timestamp", stamp);
}

/* What has no right to stand in JSON, or moves the reader's eye, becomes '?'. */
static const char *clean(km_arena *a, const char *text)
{
    char *copy = km_arena_strdup(a, text);

    if (copy)
        km_text_clean(copy);
    return copy;
}

json_t *km_webhook_body(km_webhook_form form, const char *campaign, const km_alert *alert)
{
    km_arena a = KM_ARENA_INIT;
    km_alert said = *alert;
    const char *name = clean(&a, campaign);
    json_t *body = NULL;
    int level = km_alert_level(alert->level);

    said.title = clean(&a, alert->title);
    said.text = clean(&a, alert->text);
    said.subject = clean(&a, alert->subject);
    if (level < 0 || !name || !said.title || !said.text || !said.subject)
        goto out;
    if (form == KM_WEBHOOK_SLACK)
        body = slack(level, name, &said);
    else if (form == KM_WEBHOOK_DISCORD)
        body = discord(level, name, &said);
    else
        body = plain(name, &said);
out:
    km_arena_release(&a);
    return body;
}
