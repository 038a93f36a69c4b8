#include "hub/preflight.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"
#include "hub/secrets.h"
#include "pkg/card.h"
#include "pkg/test_record.h"

struct preflight {
    km_findings *f;
    km_arena *a;
    const km_packed *p;
    const km_preflight *options;
    const char *card; /* README.md's text */
    km_test_runs runs;
};

/* --- the card --- */

/* "license: apache-2.0" between the first two lines of "---". */
static bool states_license(const char *card)
{
    const char *end = strstr(card, "\n---\n");
    const char *line = strstr(card, "\nlicense:");

    return km_starts_with(card, "---\n") && end && line && line < end;
}

static int check_card(struct preflight *c, km_err *err)
{
    char *path = km_path_join(c->a, c->p->folder, "README.md"), *text = NULL;
    size_t size;
    int rc;

    c->card = "";
    if (!path || !km_file_exists(path))
        return km_findings_add(c->f, KM_FINDING_ERROR, "card", path, "kernmill pack makes it", err,
                               "there is no card");
    rc = km_file_read(c->a, path, KM_JSON_BYTES_MAX, &text, &size, err);
    if (rc < 0)
        return rc;
    c->card = text;
    if (!states_license(text))
        rc = km_findings_add(c->f, KM_FINDING_ERROR, "licence", path,
                             "name one in build.toml, and pack again", err,
                             "the card's front matter names no licence");
    if (rc == 0 && !*c->p->license)
        rc = km_findings_add(c->f, KM_FINDING_ERROR, "licence", c->p->folder,
                             "name one in build.toml, and pack again", err,
                             "metadata.json names no licence");
    return rc;
}

/* --- tests --- */

static bool passed_on_gpu(const km_test_runs *runs, const km_package_digest *package)
{
    for (size_t i = 0; i < runs->count; i++) {
        const km_test_run *run = &runs->items[i];
        if (km_test_run_is_of(run, package) && *run->gpu && run->whole && !run->failed &&
            run->passed)
            return true;
    }
    return false;
}

/* Whether the card tells what was not tested. */
static bool card_says(const struct preflight *c, const char *variant, bool gpu_alone)
{
    char *none = km_arena_printf(c->a, KM_CARD_ROW_NOT, variant);
    char *part = km_arena_printf(c->a, KM_CARD_ROW_PART, variant);
    char *gpu = km_arena_printf(c->a, KM_CARD_ONE_NOT_ON_GPU, variant);

    if (strstr(c->card, KM_CARD_NOT_TESTED))
        return true;
    if (gpu_alone)
        return strstr(c->card, KM_CARD_NOT_ON_GPU) || (gpu && strstr(c->card, gpu));
    return none && part && (strstr(c->card, none) || strstr(c->card, part));
}

static int untested(struct preflight *c, const char *variant, const char *code, const char *what,
                    km_err *err)
{
    bool gpu_alone = strcmp(code, "untested-gpu") == 0;

    if (!c->options->allow_untested)
        return km_findings_add(
            c->f, KM_FINDING_ERROR, code, variant,
            gpu_alone
                ? "test it on a machine with one, and `kernmill pack KERNEL --tests RECORD`; or "
                  "give --allow-untested"
                : "kernmill test KERNEL, then kernmill pack KERNEL; or give --allow-untested",
            err, "%s", what);
    if (card_says(c, variant, gpu_alone))
        return km_findings_add(c->f, KM_FINDING_WARNING, code, variant, "", err, "%s", what);
    return km_findings_add(c->f, KM_FINDING_ERROR, code, variant,
                           "kernmill pack writes the card anew", err,
                           "%s, and the card does not say so", what);
}

static int check_tests_of(struct preflight *c, const char *variant, km_err *err)
{
    char *dir = km_arena_printf(c->a, "%s/build/%s", c->p->folder, variant);
    km_package_digest digest;
    km_tested tested;
    int rc = dir ? km_package_digest_read(c->a, dir, &digest, err) : km_fail_nomem(err);

    if (rc < 0)
        return rc;
    tested = km_test_runs_ask(&c->runs, &digest, NULL);
    if (tested == KM_TESTED_FAILED)
        return km_findings_add(c->f, KM_FINDING_ERROR, "failed", variant, "mend what fails", err,
                               "the tests failed on these files");
    if (tested != KM_TESTED_PASSED)
        return untested(c, variant, "untested",
                        tested == KM_TESTED_PART ? "only a part of the tests ran on these files"
                                                 : "no record says that these files were tested",
                        err);
    if (strstr(variant, "-cu") && !passed_on_gpu(&c->runs, &digest))
        return untested(c, variant, "untested-gpu", "no record says that they were tested on a GPU",
                        err);
    return 0;
}

static int check_tests(struct preflight *c, km_err *err)
{
    char *own = km_path_join(c->a, c->p->folder, "tests.json");
    int rc = own ? 0 : km_fail_nomem(err);

    if (rc == 0 && km_file_exists(own))
        rc = km_test_runs_read(&c->runs, own, err);
    for (size_t i = 0; i < c->p->variant_count && rc == 0; i++)
        rc = check_tests_of(c, c->p->variants[i], err);
    return rc;
}

/* --- secrets --- */

static int check_secrets(struct preflight *c, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < c->p->file_count && rc == 0; i++) {
        km_secret secret;
        const char *file = c->p->files[i].file;
        rc = km_secret_find(file, c->options->token, &secret, err);
        if (rc == 0 && secret.kind)
            rc = km_findings_add(c->f, KM_FINDING_ERROR, "secret",
                                 km_arena_printf(c->a, "%s:%zu", file, secret.line),
                                 "take it out; if it was ever public, have it revoked", err,
                                 "this looks like %s", secret.kind);
    }
    return rc;
}

int km_preflight_run(km_findings *f, km_arena *a, const km_packed *p, const km_preflight *options,
                     km_err *err)
{
    struct preflight c = { f, a, p, options, "", KM_TEST_RUNS_INIT };
    int rc = km_check(f, p->folder, err);

    if (rc < 0)
        return rc;
    rc = check_card(&c, err);
    if (rc == 0)
        rc = check_tests(&c, err);
    if (rc == 0)
        rc = check_secrets(&c, err);
    km_test_runs_release(&c.runs);
    if (rc < 0)
        km_findings_release(f);
    return rc;
}
