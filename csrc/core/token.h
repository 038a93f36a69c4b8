/* core/token.h: the variables that hold a secret, HF_TOKEN, HUGGING_FACE_HUB_TOKEN and
 * KERNMILL_WEBHOOK_URL, out of the environment before any child could inherit them.
 *
 * A compiler, a test or a script that we start is no part of the hub's origin: none of them gets
 * the token. main takes it at its start; net/endpoint.c reads it; only kernmill-net, which is this
 * process going on, is handed it. A child that is to have one gets it by name (core/proc.h, env).
 */
#ifndef KERNMILL_CORE_TOKEN_H
#define KERNMILL_CORE_TOKEN_H

#include "core/err.h"

/* Takes them out of the environment, and what is seen of it in /proc. Errors: KM_ENOMEM. */
int km_token_take(km_err *err);

/* What the variable says, taken or not; NULL when it is not set. Borrowed. */
const char *km_token_variable(const char *name);

/* Sets what was taken again, for the program that this process is about to execute. */
void km_token_give_back(void);

#endif
