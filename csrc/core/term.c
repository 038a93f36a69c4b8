#include "core/term.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_WIDTH 20

static bool is_terminal(int fd)
{
    const char *term = getenv("TERM");

    return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

bool km_term_may_color(int fd)
{
    const char *no_color = getenv("NO_COLOR");

    return is_terminal(fd) && !(no_color && no_color[0]);
}

void km_term_init(km_term *t, bool quiet)
{
    *t = (km_term){ .quiet = quiet, .smart = is_terminal(2), .color = km_term_may_color(2) };
}

const char *km_term_style(const km_term *t, km_style style)
{
    static const char *const codes[] = { "\033[0m", "\033[31m", "\033[32m", "\033[33m", "\033[1m" };

    return t->color ? codes[style] : "";
}

void km_term_clear(km_term *t)
{
    if (t->status)
        fputs("\r\033[K", stderr);
    t->status = false;
}

void km_term_note(km_term *t, const char *format, ...)
{
    va_list ap;

    if (t->quiet)
        return;
    km_term_clear(t);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static size_t columns(void)
{
    struct winsize w;

    return ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

void km_term_progress(km_term *t, size_t done, size_t total, long long elapsed_ms, const char *what)
{
    size_t filled = total ? done * BAR_WIDTH / total : 0, room;
    char head[96];
    int n;

    if (t->quiet)
        return;
    if (!t->smart) {
        fprintf(stderr, "[%zu/%zu] %s\n", done, total, what);
        return;
    }
    n = snprintf(head, sizeof head, "[%.*s%*s] %zu/%zu", (int)filled, "####################",
                 (int)(BAR_WIDTH - filled), "", done, total);
    if (done && done < total)
        n += snprintf(head + n, sizeof head - (size_t)n, ", %lld s left",
                      elapsed_ms * (long long)(total - done) / (long long)done / 1000);
    room = columns() > (size_t)n + 2 ? columns() - (size_t)n - 2 : 0;
    fprintf(stderr, "\r\033[K%s %.*s", head, (int)room, what);
    fflush(stderr);
    t->status = true;
}
