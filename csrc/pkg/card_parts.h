/* pkg/card_parts.h: the parts of the Hub's card that the files and card.toml tell: what it is, how
 * it is installed, what it needs, how it was built. Each appends a section; what is not known is
 * said to be so. */
#ifndef KERNMILL_PKG_CARD_PARTS_H
#define KERNMILL_PKG_CARD_PARTS_H

#include "core/str.h"
#include "pkg/card.h"
#include "pkg/facts.h"
#include "pkg/package_digest.h"
#include "pkg/plan.h"
#include "pkg/test_record.h"

#define KM_CARD_PACKAGES_MAX (KM_HOSTS_MAX * (1 + KM_FLAVOR_COUNT * 3))

/* What is shipped: a wheel's package, or a Hub folder. */
typedef struct {
    const char *name; /* "wheel", where there are several "wheel, aarch64"; or the variant */
    const char *dir;  /* the staged folder */
    const km_plan *p; /* that it was built by */
    km_flavor flavor;
    bool is_wheel;
    km_package_digest digest;
    km_libraries libraries;
    const km_test_run *run; /* that tells how the tests went */
    km_tested tested;
} km_card_package;

typedef struct {
    km_arena arena;
    const km_plan *plans; /* one for each processor */
    size_t plan_count;
    const char *const *wheels;                   /* the wheels' paths; NULL: there are none */
    km_card_package items[KM_CARD_PACKAGES_MAX]; /* by processor, the wheel's first */
    size_t count;
    km_test_runs runs; /* of these files and of others */
} km_card_files;

/* Reads the staged files, and the records of tests: those beside the build, and those that the
 * inputs name. Errors: those of reading. To be released in every case. */
int km_card_files_read(km_card_files *f, const km_card_inputs *inputs, km_err *err);
void km_card_files_release(km_card_files *f);

/* How many of the runs are of these files. */
size_t km_card_own_runs(const km_card_files *f);

void km_card_add_glance(const km_manifest *m, km_str *out);
void km_card_add_install(const km_card_files *f, km_str *out);
void km_card_add_needs(km_card_files *f, km_str *out);
void km_card_add_tests(km_card_files *f, km_str *out);
void km_card_add_build(const km_card_files *f, km_str *out);

/* Writes what the part on tests is made of to `path`, as one record; without a run the file goes.
 */
int km_card_write_tests(const km_card_files *f, const char *path, km_err *err);

/* A text of anybody's within a table: it must not end a column, or begin HTML. */
void km_card_add_cell(km_str *out, const char *text);

#endif
