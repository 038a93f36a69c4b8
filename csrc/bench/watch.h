/* bench/watch.h: which call the measuring process is in, so that one that never returns is named
 * when the process is ended. */
#ifndef KERNMILL_BENCH_WATCH_H
#define KERNMILL_BENCH_WATCH_H

/* From now on SIGTERM ends the process, which first writes the line { "hangs": call } to `fd`. */
void km_watch_start(int fd);

/* The call that is under way; the name is kept, not copied. */
void km_watch_call(const char *name);

#endif
