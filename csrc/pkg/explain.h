/* pkg/explain.h: which build of a kernel a machine would use, why, and what is in the way of the
 * others.
 *
 * Judged are the variants of a Hub folder (ROOT, ROOT/build or one variant), one wheel, or a folder
 * of wheels. Two questions are kept apart:
 *
 *     accepted   the one who chooses takes it into consideration: the `kernels` client (0.17) for
 *                variants, pip for wheels. Of those that are accepted, one is chosen by the order
 *                of preference, and no other is tried when that one does not work.
 *     fits       it is accepted, and nothing that its files say is in the way either: glibc, the
 *                driver, the images for this GPU, the functions of torch, metadata.json.
 *
 * Every reason is told, not the first alone. Equal preference is decided by name. */
#ifndef KERNMILL_PKG_EXPLAIN_H
#define KERNMILL_PKG_EXPLAIN_H

#include "pkg/system.h"

typedef enum { KM_REASON_FOR, KM_REASON_AGAINST, KM_REASON_NOTE } km_reason_side;

typedef struct {
    km_reason_side side;
    bool chooses;     /* the client or pip looks at it when choosing */
    const char *code; /* stable, for scripts: "torch", "driver", "glibc" */
    const char *text;
} km_reason;

/* What would have to change for a candidate to fit. */
typedef struct {
    unsigned cost;        /* the trouble of all of it; compared only */
    bool impossible;      /* no command helps: another machine, another build */
    const char *torch;    /* a requirement: "torch==2.13.*", or NULL */
    const char *compute;  /* torch's index: "cu126", or NULL */
    int driver;           /* at least this branch; 0: any */
    const char *lines[8]; /* other commands */
    size_t line_count;
} km_fix;

typedef struct {
    const char *name; /* folder or file */
    const char *path;
    const char *kernel; /* which kernel it is a build of */
    bool accepted, chosen, fits;
    km_reason *reasons;
    size_t reason_count;
    km_fix fix;
    int key[8];          /* the order of preference: smaller first */
    const char *version; /* of a wheel */
} km_candidate;

/* One kernel's builds. */
typedef struct {
    const char *name;
    km_candidate *items; /* those accepted, in the order of preference, then the others by name */
    size_t count;
    const km_candidate *chosen; /* NULL: none is accepted */
    bool fits;                  /* the chosen one does */
    const char *why;            /* it was chosen before others, or none was */
    const km_candidate *fix_of; /* which build the fix is for; NULL: none is needed, or known */
    const char **fixes;         /* commands */
    size_t fix_count;
} km_choice;

typedef struct {
    km_arena arena;
    const char *kind; /* "hub folder", "wheel", "wheels" */
    km_choice *choices;
    size_t count;
    bool fits; /* for every kernel, what would be chosen works */
} km_explanation;

extern const char *const km_reason_names[]; /* "for", "against", "note" */

/* Errors: KM_ENOENT, KM_EFORMAT when `path` is none of these, KM_ELIMIT, KM_EIO. On error *out is
 * released. */
int km_explain(km_explanation *out, const char *path, const km_system *system, km_err *err);

/* One kernel of a hub, of which only the names of the folders in build/ are known: what is no
 * variant's name is left out, and nothing but names is judged. With no variant there is no choice
 * either. Errors: KM_ELIMIT, KM_ENOMEM. On error *out is released. */
int km_explain_names(km_explanation *out, const char *kernel, const char *const *names,
                     size_t count, const km_system *system, km_err *err);

/* Then the chosen one of those by its metadata.json, too. */
int km_explain_metadata(km_explanation *e, const char *text, size_t size, const km_system *system,
                        km_err *err);

/* The reason that speaks against a candidate, the first one; NULL: there is none. */
const char *km_candidate_obstacle(const km_candidate *c);

void km_explanation_release(km_explanation *e);

#endif
