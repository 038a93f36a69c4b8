/* kernmill lab status, watch: a lab on one screen, once or until Ctrl-C. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/lab.h"
#include "cli/lab_screen.h"
#include "core/limits.h"
#include "lab/clock.h"
#include "lab/event.h"
#include "lab/overview.h"

#define COLUMNS         80
#define ROWS            24
#define INTERVAL_S      2
#define EVENTS_ON_START 10

/* --- status --- */

static void find_size(km_lab_screen *s)
{
    struct winsize w;

    s->columns = COLUMNS;
    s->rows = ROWS;
    if (ioctl(1, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20 && w.ws_row >= 5) {
        s->columns = w.ws_col;
        s->rows = w.ws_row;
    }
}

static int print_status(const json_t *o, km_err *err)
{
    km_lab_screen s = { .columns = COLUMNS, .rows = ROWS, .now_us = km_clock_us() };
    km_str text = KM_STR_INIT;
    int rc;

    s.color = km_term_may_color(1);
    if (isatty(1))
        find_size(&s);
    km_lab_screen_add(&text, &s, o, NULL);
    rc = km_str_check(&text, err);
    if (rc == 0)
        fputs(text.data, stdout);
    km_str_release(&text);
    return rc;
}

static int run_status(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *o = NULL;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_overview(&lab, &o, err);
    if (rc == 0 && f->common.json) {
        json_object_set_new(o, "schema", json_integer(KM_JSON_SCHEMA));
        rc = km_print_json(json_incref(o), err);
    } else if (rc == 0) {
        rc = print_status(o, err);
    }
    json_decref(o);
    km_lab_close(&lab);
    return rc;
}

static const km_opt status_options[] = { KM_LAB_OPT_DIR, KM_OPT_END };

extern const km_command km_cmd_lab_status;
const km_command km_cmd_lab_status = {
    .name = "lab status",
    .help = "the champion, ideas and jobs, who is at work, what is spent, alerts",
    .args = "",
    .options = status_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_status,
};

/* --- watch --- */

static volatile sig_atomic_t stopped, resized;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

/* Both only interrupt the sleep. */
static void catch_signals(void)
{
    struct sigaction stop = { .sa_handler = on_stop }, resize = { .sa_handler = on_resize };

    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGWINCH, &resize, NULL);
}

/* Blocked while the screen is drawn, so that no signal falls between the look at the flags and the
 * sleep. */
static void sleep_until_signal(long seconds, const sigset_t *before)
{
    struct timespec t = { .tv_sec = seconds };

    if (!stopped && !resized)
        pselect(0, NULL, NULL, NULL, &t, before);
}

static int write_all(const km_str *text, km_err *err)
{
    for (size_t at = 0; at < text->length;) {
        ssize_t n = write(1, text->data + at, text->length - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "unable to write to the terminal");
        at += (size_t)n;
    }
    return 0;
}

/* One frame over the last: each line ends what was right of it, the end clears what was below; so
 * nothing flickers. */
static int draw(km_lab *lab, km_err *err)
{
    km_lab_screen s = { .color = km_term_may_color(1), .now_us = km_clock_us() };
    km_str text = KM_STR_INIT, frame = KM_STR_INIT;
    json_t *o = NULL, *events = NULL;
    int rc = km_overview(lab, &o, err);

    find_size(&s);
    s.rows--; /* the last line's end must not scroll */
    if (rc == 0)
        rc = km_event_list(&lab->db, NULL, EVENTS_ON_START, &events, err);
    if (rc == 0) {
        km_lab_screen_add(&text, &s, o, events);
        km_str_add(&frame, "\033[H");
        for (const char *c = text.data; *c; c++) {
            if (*c == '\n')
                km_str_add(&frame, "\033[K");
            km_str_add_char(&frame, *c);
        }
        km_str_add(&frame, "\033[J");
        rc = km_str_check(&frame, err);
    }
    if (rc == 0)
        rc = write_all(&frame, err);
    json_decref(o);
    json_decref(events);
    km_str_release(&text);
    km_str_release(&frame);
    return rc;
}

/* On a screen of its own, so that what was there comes back. */
static int watch_screen(km_lab *lab, long interval_s, const sigset_t *before, km_err *err)
{
    static const char enter[] = "\033[?1049h\033[?25l", leave[] = "\033[?25h\033[?1049l";
    km_str text = KM_STR_INIT;
    int rc;

    km_str_add(&text, enter);
    rc = write_all(&text, err);
    while (rc == 0 && !stopped) {
        resized = 0;
        rc = draw(lab, err);
        if (rc == 0)
            sleep_until_signal(interval_s, before);
    }
    km_str_clear(&text);
    km_str_add(&text, leave);
    write_all(&text, NULL);
    km_str_release(&text);
    return rc;
}

/* The events after `*last`, each a line; first the last few. */
static int print_new(km_lab *lab, int64_t *last, km_err *err)
{
    km_str line = KM_STR_INIT;
    json_t *events = NULL, *event;
    int64_t newest;
    size_t i;
    int rc = km_db_int(&lab->db, &newest, 0, err, "SELECT max(id) FROM events", "");

    if (rc == 0)
        rc = km_event_list(&lab->db, NULL, *last < 0 ? EVENTS_ON_START : newest - *last, &events,
                           err);
    json_array_foreach(events, i, event)
    {
        if (rc < 0 || json_integer_value(json_object_get(event, "id")) <= *last)
            continue;
        *last = json_integer_value(json_object_get(event, "id"));
        km_str_clear(&line);
        km_lab_screen_event(&line, event, true);
        km_str_add_char(&line, '\n');
        rc = km_str_check(&line, err);
        if (rc == 0)
            rc = write_all(&line, err);
    }
    json_decref(events);
    km_str_release(&line);
    return rc;
}

static int watch_lines(km_lab *lab, long interval_s, const sigset_t *before, km_err *err)
{
    int64_t last = -1;
    int rc = 0;

    while (rc == 0 && !stopped) {
        rc = print_new(lab, &last, err);
        resized = 0;
        if (rc == 0)
            sleep_until_signal(interval_s, before);
    }
    return rc;
}

static int run_watch(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_lab_fields *f = fields;
    long interval_s = f->interval ? f->interval : INTERVAL_S;
    const char *term = getenv("TERM");
    bool smart = isatty(1) && term && strcmp(term, "dumb") != 0;
    km_lab lab = KM_LAB_INIT;
    sigset_t ours, before;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0 && (interval_s < 1 || interval_s > 3600))
        rc = km_fail(err, KM_EUSAGE, "--interval takes 1 to 3600 seconds");
    if (rc == 0 && f->common.json)
        rc = km_fail(err, KM_EUSAGE,
                     "watch is for eyes; `kernmill lab status --json` is for programs");
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0) {
        catch_signals();
        sigemptyset(&ours);
        sigaddset(&ours, SIGINT);
        sigaddset(&ours, SIGTERM);
        sigaddset(&ours, SIGHUP);
        sigaddset(&ours, SIGWINCH);
        sigprocmask(SIG_BLOCK, &ours, &before);
        rc = smart ? watch_screen(&lab, interval_s, &before, err)
                   : watch_lines(&lab, interval_s, &before, err);
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    km_lab_close(&lab);
    return rc;
}

static const km_opt watch_options[] = {
    KM_OPT_INT("interval", 'n', "S", km_lab_fields, interval, "seconds between looks (default: 2)"),
    KM_LAB_OPT_DIR,
    KM_OPT_END,
};

extern const km_command km_cmd_lab_watch;
const km_command km_cmd_lab_watch = {
    .name = "lab watch",
    .help = "the same, drawn again and again until Ctrl-C",
    .args = "",
    .more = "Where standard output is no terminal, each event is a line when it happens.",
    .options = watch_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_watch,
};
