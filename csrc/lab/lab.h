/* lab/lab.h: a lab: a folder with lab.toml, which people write, and .lab/lab.db, which is the
 * store. The first is described in lab/settings.h.
 */
#ifndef KERNMILL_LAB_LAB_H
#define KERNMILL_LAB_LAB_H

#include "lab/db.h"

typedef struct {
    km_db db;
    km_arena arena;
    const char *root;  /* the folder of lab.toml */
    const char *store; /* root/.lab/lab.db */
    int64_t campaign;  /* 0: there is none yet */
    const char *name;
} km_lab;

#define KM_LAB_INIT { { NULL, NULL, false }, KM_ARENA_INIT, NULL, NULL, 0, NULL }

/* Makes the lab of `dir`, with a lab.toml where there is none; or, when it is there, takes over
 * what changed in lab.toml. *made: the store was not there. Errors: KM_EFORMAT with the place in
 * lab.toml; those of km_db_open. */
int km_lab_make(km_lab *lab, const char *dir, bool *made, km_err *err);

/* Opens the lab that `dir` is in: it, or the nearest folder above with a .lab. NULL: the working
 * folder. Errors: KM_ENOENT; those of km_db_open. On error it is closed. */
int km_lab_open(km_lab *lab, const char *dir, km_err *err);

/* What was read of lab.toml when `lab init` read it last: {"metric", "direction", "effect"}. New
 * reference. Errors: KM_EUSAGE when the lab has no campaign. */
int km_lab_kept(km_lab *lab, json_t **out, km_err *err);

void km_lab_close(km_lab *lab);

/* Waits for .lab/<name>, and holds it until the descriptor that is returned is closed. */
int km_lab_hold(km_lab *lab, const char *name, km_err *err);

/* What is allocated in lab->arena between the two goes at the end: for who runs for days. */
km_arena km_lab_arena_begin(km_lab *lab);
void km_lab_arena_end(km_lab *lab, km_arena kept);

#endif
