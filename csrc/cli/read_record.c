#include "cli/read_record.h"

#include "record/record.h"

int km_read_record(km_common *common, const char *path, json_t **cells, km_err *err)
{
    size_t skipped;
    int rc = km_record_read(path, cells, &skipped, err);

    if (rc == 0 && skipped)
        km_term_note(&common->term, "'%s': left out %zu lines that are no measured cells", path,
                     skipped);
    return rc;
}
