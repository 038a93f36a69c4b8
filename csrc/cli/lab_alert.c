/* kernmill lab alert, notify: what somebody should know, and telling them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/lab.h"
#include "cli/net.h"
#include "core/limits.h"
#include "formats/json.h"
#include "lab/alert.h"
#include "lab/clock.h"

/* --- alert --- */

static int read_alert(km_lab *lab, const json_t *doc, const char *name, const char **key,
                      km_alert *out, km_err *err)
{
    *out = (km_alert){ .text = "", .level = "warn" };
    *key = NULL;
    if (km_json_text_optional(doc, "level", &out->level, name, err) < 0 ||
        km_json_text(doc, "title", &out->title, name, err) < 0 ||
        km_json_text_optional(doc, "text", &out->text, name, err) < 0 ||
        km_json_text_optional(doc, "key", key, name, err) < 0 ||
        km_json_text_optional(doc, "subject", &out->subject, name, err) < 0)
        return KM_EFORMAT;
    if (!*key) /* said once more is a second alert */
        *key = km_arena_printf(&lab->arena, "said at %lld by %ld", (long long)km_clock_us(),
                               (long)getpid());
    if (!out->subject)
        out->subject = km_arena_printf(&lab->arena, "campaign %lld", (long long)lab->campaign);
    if (!*key || !out->subject)
        return km_fail_nomem(err);
    if (!**key || strlen(*key) > KM_LAB_NAME_BYTES_MAX ||
        strlen(out->subject) > KM_LAB_NAME_BYTES_MAX)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "'key' and 'subject' have 1 to %d bytes",
                          KM_LAB_NAME_BYTES_MAX);
    if (strlen(out->title) + strlen(out->text) > KM_LAB_TEXT_BYTES_MAX)
        return km_fail_at(err, KM_ELIMIT, name, 0, 0, "'title' and 'text' are longer than %u KiB",
                          KM_LAB_TEXT_BYTES_MAX >> 10);
    if (km_alert_level(out->level) < 0)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0,
                          "'level' is \"info\", \"warn\" or \"error\", not \"%s\"", out->level);
    return 0;
}

/* *made: it was not there. */
static int add_alert(km_lab *lab, const char *key, km_alert *alert, bool *made, km_err *err)
{
    static const char find[] = "SELECT id FROM alerts WHERE campaign = ? AND key = ?";
    int64_t before = 0;
    int rc = km_db_begin(&lab->db, err);

    if (rc == 0)
        rc = km_db_int(&lab->db, &before, 0, err, find, "it", lab->campaign, key);
    if (rc == 0)
        rc = km_alert_add(&lab->db, lab->campaign, key, alert->level, alert->title, alert->text,
                          alert->subject, err);
    if (rc == 0)
        rc = km_db_int(&lab->db, &alert->id, 0, err, find, "it", lab->campaign, key);
    *made = !before;
    return rc == 0 ? km_db_commit(&lab->db, err) : rc;
}

static int run_alert(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *doc = NULL;
    const char *key;
    km_alert alert;
    bool made;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_lab_read(f, &doc, err);
    if (rc == 0)
        rc = read_alert(&lab, doc, km_lab_source(f), &key, &alert, err);
    if (rc == 0)
        rc = add_alert(&lab, key, &alert, &made, err);
    if (rc == 0)
        rc = km_print_json(json_pack("{s:i,s:I,s:b}", "schema", KM_JSON_SCHEMA, "alert",
                                     (json_int_t)alert.id, "made", made),
                           err);
    json_decref(doc);
    km_lab_close(&lab);
    return rc;
}

static const km_opt alert_options[] = { KM_LAB_OPT_IN, KM_LAB_OPT_DIR, KM_OPT_END };

extern const km_command km_cmd_lab_alert;
const km_command km_cmd_lab_alert = {
    .name = "lab alert",
    .help = "any role: say what somebody should know",
    .args = "",
    .more =
        "In: {\"title\"} and, if wanted, \"text\", \"level\" (info, warn, error; default warn), "
        "\"subject\" (\"job\n"
        "7\"), \"key\": what has it already is told no second time. Out: {\"alert\", \"made\"}. "
        "The lab itself\n"
        "tells of jobs that are dead after their last attempt, of ideas that are invalid, and of "
        "budgets at\n"
        "80 % and at their end.",
    .options = alert_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_alert,
};

/* --- notify --- */

static const km_opt notify_options[] = { KM_LAB_OPT_DIR, KM_OPT_END };

extern const km_command km_cmd_lab_notify;
const km_command km_cmd_lab_notify = {
    .name = "lab notify",
    .help = "send the alerts that were not sent yet to the webhook",
    .args = "",
    .more =
        "The address is KERNMILL_WEBHOOK_URL, or webhook in lab.toml's [alerts], with level (the "
        "least that\n"
        "is sent; default warn) and form: slack, discord or plain (default: by the address). It is "
        "a\n"
        "secret, and never shown. An alert counts as sent after an answer of 200 to 299; when that "
        "is lost\n"
        "it is sent again.",
    .options = notify_options,
    .fields_size = sizeof(km_lab_fields),
    .run = KM_NET_RUN(km_run_lab_notify),
};
