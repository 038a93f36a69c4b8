/* pkg/card.h: the Hub's README.md: the repository's CARD.md with its keys filled in, and, under it,
 * what the build knows: folders, images, the oldest driver of each. */
#ifndef KERNMILL_PKG_CARD_H
#define KERNMILL_PKG_CARD_H

#include "core/str.h"
#include "pkg/plan.h"

/* Appends the card. Errors: KM_EFORMAT for a key in CARD.md that does not exist. */
int km_card_write(const km_plan *p, km_str *out, km_err *err);

/* One line a GPU architecture: "sm_90a  cubin  driver 525 or newer" and so on, from the built
 * library. */
int km_card_images(const km_plan *p, km_str *out, unsigned *oldest_driver, km_err *err);

#endif
