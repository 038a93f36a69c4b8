#include "lab/db.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"

#define BUSY_PAUSE_MS 1

/* --- errors --- */

static int fail(km_db *db, int code, const char *doing, km_err *err)
{
    const char *why = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        km_fail(err, KM_ETIME, "'%s' is held by another process for more than %d s", db->path,
                KM_LAB_BUSY_MS / 1000);
        return km_hint(err, "look for a kernmill that is stopped (ps -C kernmill)");
    case SQLITE_CONSTRAINT:
        return km_fail(err, KM_EUSAGE, "unable to %s: %s", doing, why);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        km_fail(err, KM_EFORMAT, "'%s' is no lab's store, or is damaged: %s", db->path, why);
        return km_hint(err, "`kernmill lab backup` wrote copies, if it was run");
    case SQLITE_FULL:
        return km_fail(err, KM_EIO, "unable to %s '%s': the disk is full; nothing was changed",
                       doing, db->path);
    case SQLITE_NOMEM:
        return km_fail_nomem(err);
    default:
        return km_fail(err, KM_EIO, "unable to %s '%s': %s", doing, db->path, why);
    }
}

static int execute(km_db *db, const char *sql, const char *doing, km_err *err)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? 0 : fail(db, code, doing, err);
}

/* --- opening --- */

/* Of file systems whose locks are another machine's: NFS, CIFS and SMB2, FUSE (sshfs), 9P, Ceph,
 * AFS, Lustre, GPFS. */
static bool is_network(const char *folder)
{
    static const unsigned long magics[] = { 0x6969,     0xff534d42, 0xfe534d42, 0x517b,
                                            0x65735546, 0x01021997, 0x00c36400, 0x5346414f,
                                            0x0bd00bd0, 0x47504653 };
    struct statfs s;

    if (statfs(folder, &s) < 0)
        return false;
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (((unsigned long)s.f_type & 0xffffffff) == magics[i])
            return true;
    return false;
}

static int check_place(const char *path, bool make, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *folder = km_path_dir(&a, path);
    int rc = folder ? 0 : km_fail_nomem(err);

    if (rc == 0 && is_network(folder)) {
        rc = km_fail(err, KM_EENV,
                     "'%s' is on a network file system, whose locks cannot be trusted", folder);
        km_hint(err, "keep the lab on a local disk; workers elsewhere get their jobs by `lab run`");
    }
    if (rc == 0 && !make && !km_file_exists(path)) {
        rc = km_fail(err, KM_ENOENT, "there is no lab: '%s' is missing", path);
        km_hint(err, "kernmill lab init");
    }
    km_arena_release(&a);
    return rc;
}

static int version_of(km_db *db, int *out, km_err *err)
{
    int64_t version = 0;
    int rc = km_db_int(db, &version, 0, err, "PRAGMA user_version", "");

    *out = (int)version;
    return rc;
}

static int migrate(km_db *db, const km_db_schema *schema, km_err *err)
{
    int version, rc = km_db_begin(db, err);
    char pragma[64];

    if (rc == 0)
        rc = version_of(db, &version, err);
    for (; rc == 0 && version < schema->version; version++)
        rc = execute(db, schema->migrations[version], "make the tables of", err);
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", schema->version);
    if (rc == 0)
        rc = execute(db, pragma, "write", err);
    return rc == 0 ? km_db_commit(db, err) : rc;
}

/* While another has the store. SQLite's own waits grow to a tenth of a second, by which sixteen who
 * want it at once wait for seconds; a transaction of ours takes some milliseconds. */
static int wait_a_little(void *unused, int times)
{
    const struct timespec pause = { 0, BUSY_PAUSE_MS * 1000000L };

    (void)unused;
    if (times >= KM_LAB_BUSY_MS / BUSY_PAUSE_MS)
        return 0;
    nanosleep(&pause, NULL);
    return 1;
}

/* PERSIST, not WAL, which Debian 12's SQLite can corrupt; and not TRUNCATE: a journal that keeps
 * its size is synced without a commit of the file system's own, which others' writes hold up. */
static const char pragmas[] = "PRAGMA journal_mode = PERSIST; PRAGMA journal_size_limit = 1048576;"
                              "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                              "PRAGMA trusted_schema = OFF";

static int prepare(km_db *db, const km_db_schema *schema, km_err *err)
{
    int version, rc;

    sqlite3_busy_handler(db->handle, wait_a_little, NULL);
    rc = execute(db, pragmas, "open", err);
    if (rc == 0)
        rc = version_of(db, &version, err);
    if (rc == 0 && version > schema->version) {
        rc = km_fail(err, KM_EENV,
                     "'%s' was made by a newer kernmill (store version %d, this knows %d)",
                     db->path, version, schema->version);
        km_hint(err, "pip install --upgrade kernmill");
    }
    return rc == 0 && version < schema->version ? migrate(db, schema, err) : rc;
}

int km_db_open(km_db *db, const char *path, const km_db_schema *schema, bool make, km_err *err)
{
    int flags = SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX;
    int rc = check_place(path, make, err), code;

    *db = (km_db){ .path = path };
    if (rc < 0)
        return rc;
    code = sqlite3_open_v2(path, &db->handle, flags, NULL);
    rc = code == SQLITE_OK ? prepare(db, schema, err) : fail(db, code, "open", err);
    if (rc < 0)
        km_db_close(db);
    return rc;
}

void km_db_close(km_db *db)
{
    km_db_rollback(db);
    sqlite3_close_v2(db->handle);
    db->handle = NULL;
}

/* --- transactions --- */

int km_db_begin(km_db *db, km_err *err)
{
    int rc = execute(db, "BEGIN IMMEDIATE", "begin to write", err);

    db->in_transaction = rc == 0;
    return rc;
}

int km_db_commit(km_db *db, km_err *err)
{
    int rc = execute(db, "COMMIT", "write", err);

    if (rc < 0)
        km_db_rollback(db);
    db->in_transaction = false;
    return rc;
}

void km_db_rollback(km_db *db)
{
    if (db->handle && db->in_transaction)
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    db->in_transaction = false;
}

int km_db_enter(km_db *db, bool *own, km_err *err)
{
    *own = !db->in_transaction;
    return *own ? km_db_begin(db, err) : 0;
}

int km_db_leave(km_db *db, bool own, int rc, km_err *err)
{
    int done;

    if (own && rc < 0)
        km_db_rollback(db);
    if (!own || rc < 0)
        return rc;
    done = km_db_commit(db, err);
    return done < 0 ? done : rc;
}

/* --- statements --- */

static int bind(sqlite3_stmt *s, const char *types, va_list values)
{
    int code = SQLITE_OK;

    for (int i = 1; types[i - 1] && code == SQLITE_OK; i++) {
        if (types[i - 1] == 'i')
            code = sqlite3_bind_int64(s, i, va_arg(values, int64_t));
        else if (types[i - 1] == 'd')
            code = sqlite3_bind_double(s, i, va_arg(values, double));
        else
            code = sqlite3_bind_text(s, i, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
    }
    return code;
}

static int query(km_db *db, sqlite3_stmt **out, const char *sql, const char *types, va_list values,
                 km_err *err)
{
    int code = sqlite3_prepare_v2(db->handle, sql, -1, out, NULL);

    if (code == SQLITE_OK)
        code = bind(*out, types, values);
    if (code == SQLITE_OK)
        return 0;
    sqlite3_finalize(*out);
    *out = NULL;
    return fail(db, code, "ask", err);
}

int km_db_query(km_db *db, sqlite3_stmt **out, km_err *err, const char *sql, const char *types, ...)
{
    va_list values;
    int rc;

    va_start(values, types);
    rc = query(db, out, sql, types, values, err);
    va_end(values);
    return rc;
}

int km_db_step(km_db *db, sqlite3_stmt *s, km_err *err)
{
    int code = sqlite3_step(s);

    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return code == SQLITE_ROW;
    return fail(db, code, "write", err);
}

int km_db_run(km_db *db, int64_t *changed, km_err *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *s = NULL;
    va_list values;
    int rc;

    va_start(values, types);
    rc = query(db, &s, sql, types, values, err);
    va_end(values);
    if (rc == 0)
        rc = km_db_step(db, s, err);
    if (changed)
        *changed = rc < 0 ? 0 : sqlite3_changes(db->handle);
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

int km_db_int(km_db *db, int64_t *out, int64_t none, km_err *err, const char *sql,
              const char *types, ...)
{
    sqlite3_stmt *s = NULL;
    va_list values;
    int rc;

    va_start(values, types);
    rc = query(db, &s, sql, types, values, err);
    va_end(values);
    if (rc == 0)
        rc = km_db_step(db, s, err);
    *out = rc == 1 && sqlite3_column_type(s, 0) != SQLITE_NULL ? sqlite3_column_int64(s, 0) : none;
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

char *km_db_text(km_arena *a, sqlite3_stmt *s, int column)
{
    const unsigned char *text = sqlite3_column_text(s, column);

    return km_arena_strdup(a, text ? (const char *)text : "");
}

json_t *km_db_json(sqlite3_stmt *s, int column)
{
    km_arena a = KM_ARENA_INIT;
    json_t *out = NULL;
    char *text;

    switch (sqlite3_column_type(s, column)) {
    case SQLITE_INTEGER:
        return json_integer((json_int_t)sqlite3_column_int64(s, column));
    case SQLITE_FLOAT:
        return json_real(sqlite3_column_double(s, column));
    case SQLITE_NULL:
        return json_null();
    default:
        text = km_db_text(&a, s, column);
        if (text)
            km_text_clean(text); /* the store takes any bytes, JSON does not */
        out = text ? json_string(text) : NULL;
        km_arena_release(&a);
        return out;
    }
}

/* --- a copy --- */

int km_db_backup(km_db *db, const char *to, km_err *err)
{
    struct stat st;

    if (lstat(to, &st) == 0)
        return km_fail(err, KM_EUSAGE, "'%s' exists; a backup becomes a new file", to);
    return km_db_run(db, NULL, err, "VACUUM INTO ?", "t", to);
}
