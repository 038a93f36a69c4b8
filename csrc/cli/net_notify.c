/* Alerts to a webhook. Its address is a secret: no message of the session, which would quote it, is
 * shown as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/lab.h"
#include "cli/net.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/token.h"
#include "lab/settings.h"
#include "lab/webhook.h"
#include "net/http.h"
#include "net/url.h"

#define VARIABLE "KERNMILL_WEBHOOK_URL"
#define WAIT_MS  15000 /* the pauses before an alert is left for the next time */

struct sender {
    km_lab *lab;
    km_http *http;
    km_arena arena;
    km_lab_settings settings;
    km_url url;
    km_webhook_form form;
    int64_t sent, refused;
    long last_status; /* of what was refused */
};

/* --- where to --- */

static int find_address(struct sender *s, km_err *err)
{
    const char *text = km_token_variable(VARIABLE);
    int rc, form;

    if (!text || !*text)
        text = s->settings.alerts.webhook;
    if (!text || !*text) {
        km_fail(err, KM_EUSAGE, "there is no webhook to send to");
        return km_hint(err, "set " VARIABLE ", or webhook in [alerts] of lab.toml");
    }
    rc = km_url_parse(&s->arena, text, &s->url, NULL);
    if (rc < 0 || (strcmp(s->url.scheme, "https") != 0 && !km_url_is_loopback(&s->url))) {
        km_fail(err, KM_EFORMAT,
                "the webhook's address is none, or would cross a network in plain "
                "text");
        return km_hint(err, "it begins with https://");
    }
    form = km_webhook_form_of(s->settings.alerts.form, text);
    s->form = form < 0 ? KM_WEBHOOK_PLAIN : (km_webhook_form)form;
    return 0;
}

static int connect(struct sender *s, km_err *err)
{
    km_http_options o = { .user_agent = "kernmill/" KM_VERSION, .wait_ms = WAIT_MS };

    o.hub = km_arena_printf(&s->arena, "%s://%s", s->url.scheme, s->url.host);
    return o.hub ? km_http_new(&s->http, &o, err) : km_fail_nomem(err);
}

/* --- one alert --- */

/* The message without the address: only the host is named. */
static int fail_without(const struct sender *s, int code, const char *message, km_err *err)
{
    const char *end = strstr(message, s->url.show);

    message = end ? end + strlen(s->url.show) : "";
    message += strspn(message, ": ");
    if (strstr(message, "://")) /* a redirect's target, say */
        message = "";
    km_fail(err, code, "the webhook at %s cannot be reached%s%s", s->url.host, *message ? ": " : "",
            message);
    return km_hint(err, "what was not sent stays, for the next `kernmill lab notify`");
}

/* 1: taken; 0: refused. Errors: there is no answer. */
static int post(struct sender *s, const char *body, km_err *err)
{
    static const char *const headers[] = { "Content-Type: application/json", NULL };
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    km_err problem = KM_ERR_INIT;
    km_http_request request = { .method = KM_HTTP_POST,
                                .url = s->url.text,
                                .headers = headers,
                                .body = body,
                                .body_bytes = strlen(body),
                                .anonymous = true,
                                .answer_bytes_max = KM_HTTP_ERROR_BYTES_MAX };
    int rc = km_http_send(s->http, &request, &answer, &problem);

    if (rc < 0) {
        rc = fail_without(s, rc, problem.message, err);
    } else {
        rc = answer.status >= 200 && answer.status < 300;
        if (rc == 0)
            s->last_status = answer.status;
    }
    km_http_answer_release(&answer);
    return rc;
}

/* An address that is wrong refuses all; a text that is wrong only itself. */
static bool refuses_all(long status)
{
    return status == 401 || status == 403 || status == 404 || status == 410 || status == 429 ||
           status >= 500 || (status >= 300 && status < 400);
}

static int send_one(struct sender *s, const km_alert *alert, km_err *err)
{
    json_t *doc = km_webhook_body(s->form, s->lab->name, alert);
    char *body = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    int rc = body ? post(s, body, err) : km_fail_nomem(err);

    if (rc == 1) {
        rc = km_alert_sent(&s->lab->db, alert->id, err);
        s->sent += rc == 0;
    } else if (rc == 0) {
        s->refused++;
    }
    free(body);
    json_decref(doc);
    return rc;
}

static int send_all(struct sender *s, km_err *err)
{
    km_alert alert = { 0 };
    int rc;

    while ((rc = km_alert_next(&s->lab->db, &s->arena, s->lab->campaign, alert.id,
                               s->settings.alerts.level, &alert, err)) == 1) {
        rc = send_one(s, &alert, err);
        if (rc < 0 || (s->refused && refuses_all(s->last_status)))
            break;
    }
    return rc < 0 ? rc : 0;
}

/* --- the command --- */

static int notify(struct sender *s, km_err *err)
{
    char *path = km_arena_printf(&s->arena, "%s/.lab/notify.lock", s->lab->root);
    int lock = path ? km_file_lock(path, true, err) : km_fail_nomem(err);
    int rc = lock < 0 ? lock : km_lab_settings_read(&s->arena, s->lab->root, &s->settings, err);

    if (rc == 0)
        rc = find_address(s, err);
    if (rc == 0)
        rc = connect(s, err);
    if (rc == 0)
        rc = send_all(s, err);
    if (rc == 0 && s->refused) {
        rc = km_fail(err, KM_EIO, "the webhook at %s answered %ld: %lld of %lld alerts not taken",
                     s->url.host, s->last_status, (long long)s->refused,
                     (long long)s->refused + (long long)s->sent);
        km_hint(err, "what was not sent stays, for the next `kernmill lab notify`");
    }
    if (lock >= 0)
        close(lock);
    return rc;
}

int km_run_lab_notify(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    struct sender s = { .lab = &lab, .arena = KM_ARENA_INIT };
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = notify(&s, err);
    if (rc == 0 && f->common.json)
        rc = km_print_json(
            json_pack("{s:i,s:I}", "schema", KM_JSON_SCHEMA, "sent", (json_int_t)s.sent), err);
    else if (rc == 0)
        printf("%lld alerts sent\n", (long long)s.sent);
    km_http_free(s.http);
    km_arena_release(&s.arena);
    km_lab_close(&lab);
    return rc;
}
