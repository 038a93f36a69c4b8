/* lab/parquet.h: the tables of a lab as Parquet files, by pyarrow in the user's Python
 * (python/kernmill/parquet.py says what is in them). */
#ifndef KERNMILL_LAB_PARQUET_H
#define KERNMILL_LAB_PARQUET_H

#include "lab/lab.h"

typedef struct {
    const char *python;  /* the interpreter; NULL: none was found */
    const char *package; /* the folder with kernmill's Python package, or NULL: Python finds it */
} km_parquet_python;

/* Writes dir/<table>.parquet for each table, of one moment; others go on meanwhile. The folder gets
 * its name when it is whole, and takes the place of one of an earlier export.
 * Errors: KM_EENV without Python, kernmill's package or pyarrow; KM_EUSAGE when `dir` holds
 * anything else; KM_ECHILD; KM_EIO. */
int km_parquet_export(km_lab *lab, const km_parquet_python *p, const char *dir, km_err *err);

#endif
