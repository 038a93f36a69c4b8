/* bench/watch.h: which call the measuring process is in, so that one that never returns is named
 * when the process is ended, and one that takes the process with it afterwards. */
#ifndef KERNMILL_BENCH_WATCH_H
#define KERNMILL_BENCH_WATCH_H

#include <stddef.h>

/* Memory for a name that both processes see; negative when there is none. */
int km_watch_make(void);

/* The child's side: calls are named in `page` from now on, and SIGTERM ends the process, which
 * first writes the line { "hangs": call } to `fd`. */
void km_watch_start(int fd, int page);

/* The call that is under way, NULL: none; the name is kept, too. */
void km_watch_call(const char *name);

/* The parent's side: the call that was under way last; "" for none. Then it is forgotten. */
void km_watch_take(int page, char *out, size_t room);

#endif
