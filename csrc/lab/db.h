/* lab/db.h: SQLite, opened the one way that is safe for us.
 *
 * Journal TRUNCATE and synchronous FULL: what was acknowledged is on the disk (the WAL of SQLite
 * 3.7 to 3.51.2, which Debian 12 has, can lose a database). A network file system is refused: its
 * locks lie. Each command is one process, one connection and one transaction that takes the write
 * lock at its start; others wait for it, KM_LAB_BUSY_MS at most.
 *
 *     km_db db;
 *     if (km_db_open(&db, path, schema, err) < 0 || km_db_begin(&db, err) < 0)
 *         goto out;
 *     if (km_db_bind(&q, "it", id, name) < 0) ...
 *     rc = km_db_commit(&db, err);
 *     out: km_db_close(&db);       what was not committed is undone
 */
#ifndef KERNMILL_LAB_DB_H
#define KERNMILL_LAB_DB_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <sqlite3.h>

#include "core/arena.h"
#include "core/err.h"

typedef struct {
    sqlite3 *handle; /* owned */
    const char *path;
    bool in_transaction;
} km_db;

/* What the tables are, version by version: migrations[n] makes version n + 1 of version n. */
typedef struct {
    const char *const *migrations; /* SQL; ends with NULL */
    int version;                   /* how many there are */
} km_db_schema;

/* `path` is borrowed. With `make` a missing file is made. A store of an older version is brought up
 * to this one. Errors: KM_ENOENT; KM_EENV for a network file system, or a store of a newer
 * kernmill; KM_EFORMAT for what is no store; KM_ETIME; KM_EIO. On error *db is closed. */
int km_db_open(km_db *db, const char *path, const km_db_schema *schema, bool make, km_err *err);

void km_db_close(km_db *db);

/* Takes the write lock. Errors: KM_ETIME when others kept it too long. */
int km_db_begin(km_db *db, km_err *err);
int km_db_commit(km_db *db, km_err *err);
void km_db_rollback(km_db *db);

/* One transaction around what may stand in another: begins one unless one is open, and ends, by
 * `rc`, only the one that it began. */
int km_db_enter(km_db *db, bool *own, km_err *err);
int km_db_leave(km_db *db, bool own, int rc, km_err *err);

/* A statement with its parameters, in their order: 'i' int64_t, 'd' double, 't' const char * (NULL
 * is NULL; copied). */
int km_db_query(km_db *db, sqlite3_stmt **out, km_err *err, const char *sql, const char *types,
                ...);

/* 1: a row is there; 0: no more. Errors: KM_EIO (the disk is full, too), KM_EUSAGE for a
 * constraint. */
int km_db_step(km_db *db, sqlite3_stmt *s, km_err *err);

/* Runs a statement without rows and finishes it. *changed: how many rows it changed; may be NULL.
 */
int km_db_run(km_db *db, int64_t *changed, km_err *err, const char *sql, const char *types, ...);

/* The first column of the first row, or `none`. */
int km_db_int(km_db *db, int64_t *out, int64_t none, km_err *err, const char *sql,
              const char *types, ...);

/* A column's text in the arena; "" for NULL. NULL: out of memory. */
char *km_db_text(km_arena *a, sqlite3_stmt *s, int column);

/* A column's value; bytes that a text may not hold are replaced. New reference; NULL: out of
 * memory.
 */
json_t *km_db_json(sqlite3_stmt *s, int column);

/* A copy of all of it as it is now, while others go on; `to` must not be there. */
int km_db_backup(km_db *db, const char *to, km_err *err);

#endif
