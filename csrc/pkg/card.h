/* pkg/card.h: the repository's CARD.md with its keys filled in, which is a wheel's description; and
 * the Hub's README.md, the same with what card.toml, the built files and the records tell under it:
 *
 *     At a glance         card.toml: what, operators, models, dtypes, shapes, limits, licence
 *     Install             lines that work as printed
 *     What it needs       of each folder, by its files: torch, Python, driver, glibc, processor,
 *                         and the images for GPUs
 *     Tests               how the tests went on these very files (pkg/test_record.h)
 *     Speed               what was measured on these very files (pkg/card_speed.h)
 *     How it was built    compilers, commit, sizes, digests
 *
 * The first two are the kernel's, the others have every folder and wheel of every processor.
 * What nobody tested or measured is said to be so. */
#ifndef KERNMILL_PKG_CARD_H
#define KERNMILL_PKG_CARD_H

#include "core/str.h"
#include "pkg/card_speed.h"
#include "pkg/plan.h"

/* In these words, which publish looks for. */
#define KM_CARD_NOT_TESTED     "Not tested on these files."
#define KM_CARD_NOT_ON_GPU     "On a GPU: not tested."
#define KM_CARD_ONE_NOT_ON_GPU "On a GPU, `%s`: not tested."
#define KM_CARD_ROW_NOT        "| `%s` | not tested |"
#define KM_CARD_ROW_PART       "| `%s` | a part passed on these very files |"

/* Where the card's facts come from; the last three may be NULL. */
typedef struct {
    const km_plan *plans; /* built, of one kernel in one build folder: one for each processor */
    size_t count;
    const char
        *hub_dir; /* the card's folder: plots go to speed/, the runs of tests to tests.json */
    const char *const *wheels; /* that go with it, one a plan */
    const char *records;       /* of `bench` (pkg/card_speed.h) */
    const char *tests; /* a record of tests or a folder of them, besides those of the build */
} km_card_inputs;

/* Appends CARD.md, the Hub's front matter included. Errors: KM_EFORMAT for a key in CARD.md that
 * does not exist. */
int km_card_text(const km_plan *p, km_str *out, km_err *err);

/* Appends the Hub's card. Errors: those of reading what it is made of, with the file. */
int km_card_write(const km_card_inputs *inputs, km_card_cells *cells, km_str *out, km_err *err);

#endif
