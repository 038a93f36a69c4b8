#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/str.h"

static void begin(km_err *err, int code)
{
    err->code = code;
    err->place[0] = err->message[0] = err->hint[0] = '\0';
}

int km_fail(km_err *err, int code, const char *format, ...)
{
    va_list ap;

    if (!err)
        return code;
    begin(err, code);
    va_start(ap, format);
    vsnprintf(err->message, sizeof err->message, format, ap);
    va_end(ap);
    km_text_clean(err->message);
    return code;
}

int km_fail_at(km_err *err, int code, const char *file, unsigned line, unsigned column,
               const char *format, ...)
{
    va_list ap;

    if (!err)
        return code;
    begin(err, code);
    if (line && column)
        snprintf(err->place, sizeof err->place, "%s:%u:%u", file, line, column);
    else if (line)
        snprintf(err->place, sizeof err->place, "%s:%u", file, line);
    else
        snprintf(err->place, sizeof err->place, "%s", file);
    va_start(ap, format);
    vsnprintf(err->message, sizeof err->message, format, ap);
    va_end(ap);
    km_text_clean(err->place);
    km_text_clean(err->message);
    return code;
}

int km_fail_errno(km_err *err, int errnum, const char *format, ...)
{
    int code = errnum == ENOENT || errnum == ENOTDIR ? KM_ENOENT : KM_EIO;
    char reason[128];
    size_t used;
    va_list ap;

    if (!err)
        return code;
    begin(err, code);
    va_start(ap, format);
    vsnprintf(err->message, sizeof err->message, format, ap);
    va_end(ap);
    used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s",
             strerror_r(errnum, reason, sizeof reason));
    km_text_clean(err->message);
    return code;
}

int km_fail_nomem(km_err *err)
{
    return km_fail(err, KM_ENOMEM, "out of memory");
}

int km_hint(km_err *err, const char *format, ...)
{
    va_list ap;

    if (!err)
        return KM_EBUG;
    va_start(ap, format);
    vsnprintf(err->hint, sizeof err->hint, format, ap);
    va_end(ap);
    km_text_clean(err->hint);
    return err->code;
}
