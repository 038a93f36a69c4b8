/* pkg/card.h: the repository's CARD.md with its keys filled in, which is a wheel's description; and
 * the Hub's README.md, the same with what the build knows under it: folders, images, the oldest
 * driver of each. */
#ifndef KERNMILL_PKG_CARD_H
#define KERNMILL_PKG_CARD_H

#include "core/str.h"
#include "pkg/card_speed.h"
#include "pkg/plan.h"

/* Appends CARD.md, the Hub's front matter included. Errors: KM_EFORMAT for a key in CARD.md that
 * does not exist. */
int km_card_text(const km_plan *p, km_str *out, km_err *err);

/* Appends the Hub's card, for the folder `hub_dir`: km_card_text's, what was built, by every plan,
 * and what was measured of the first one's (`records`: pkg/card_speed.h). */
int km_card_write(const km_plan *plans, size_t count, const char *records, const char *hub_dir,
                  km_card_cells *cells, km_str *out, km_err *err);

/* One line a GPU architecture: "sm_90a  cubin  driver 525 or newer" and so on, from the built
 * library. */
int km_card_images(const km_plan *p, km_str *out, unsigned *oldest_driver, km_err *err);

#endif
