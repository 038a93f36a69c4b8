/* core/keep.h: a command that is kept: nothing that it started outlives it.
 *
 * A process group holds who stays in it; setsid(2) is enough to leave. So between us and the
 * command stands a keeper, a process that all orphans among its descendants fall to
 * (PR_SET_CHILD_SUBREAPER). At the command's end, when it is told so, or when who started it is
 * gone, it kills and collects its children until there are none: a child that has one leaves it to
 * the keeper. It never kills anything but its own children, whose numbers are theirs until it has
 * collected them.
 *
 * Not held: who was started by another program on the command's word (cron, a container's daemon),
 * and whoever kills the keeper first, which is seen: the keeper has ended by a signal.
 */
#ifndef KERNMILL_CORE_KEEP_H
#define KERNMILL_CORE_KEEP_H

#include <sys/types.h>

/* Starts a keeper, in a process group of its own, and in it the command: `become` executes it, and
 * does not return. The keeper has none of our files, and ends as the command did; by SIGKILL when
 * it was told to end, or when something could not be killed. Returns the keeper, which the caller
 * waits for, or -1 with errno. The caller has one thread. */
pid_t km_keep_start(void (*become)(void *context), void *context);

/* Tells it to end. To be waited for: after KM_KEEP_MS at the latest it is gone. */
void km_keep_end(pid_t keeper);

/* How long a keeper kills what starts anew, or what the kernel holds. */
#define KM_KEEP_MS 10000

#endif
