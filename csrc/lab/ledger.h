/* lab/ledger.h: the files in which other labs keep what they tried, in and out.
 *
 *   autoresearch       results.tsv, 5 columns: commit, val_bpb, memory_gb, status (keep, discard,
 *                      crash), description. The val_bpb of a crash, 0.000000, is no score
 *   multiautoresearch  results.tsv, 17 columns, as Python's csv module writes them
 *   dag                its live/dag.json: a list of the commits that were promoted
 *
 * A row that is read becomes an idea with a state of its end (lab/hypothesis.h, km_history): "keep"
 * and "promoted" are accepted, "discard" and what merely lost are rejected, a crash is crashed,
 * what has no score is failed. It is never worked on. What stood in the row is kept whole in the
 * payload,
 * {"ledger", "row", "score"}, so that it is written again as it was; tabs and line ends in texts
 * become blanks.
 */
#ifndef KERNMILL_LAB_LEDGER_H
#define KERNMILL_LAB_LEDGER_H

#include "lab/lab.h"

typedef enum {
    KM_LEDGER_AUTORESEARCH,
    KM_LEDGER_MULTIAUTORESEARCH,
    KM_LEDGER_DAG,
    KM_LEDGER_FORMS
} km_ledger_form;

extern const char *const km_ledger_names[]; /* "autoresearch", ... */

/* Errors: KM_EUSAGE for another name. */
int km_ledger_form_of(const char *name, km_ledger_form *out, km_err *err);

typedef struct {
    km_ledger_form form;
    size_t rows, made; /* in the file; of which are new here */
} km_ledger_report;

/* Imports the file, whose form is seen by its beginning, in one transaction. A row that is here
 * already is left alone. Errors: KM_EFORMAT with the line, or the number of the commit. */
int km_ledger_read(km_lab *lab, const char *path, km_ledger_report *out, km_err *err);

/* Writes what was tried in that form, in the order in which it came here: rows that were imported
 * (of the other table, too), the baseline, and every idea of this lab that was measured or crashed,
 * its score the mean of the candidate's runs. In the dag: commits that were imported, and the
 * champions. What this lab does not know is empty (memory_gb: 0.0). */
int km_ledger_write(km_lab *lab, const char *path, km_ledger_form form, km_err *err);

#endif
