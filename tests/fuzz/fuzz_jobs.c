/* The log of a Hugging Face Job: no crash, and a result is whole only where its end has told its
 * size. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/jobs.h"

#define NONCE "0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    km_err err = KM_ERR_INIT;
    km_jobs_log log;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (km_jobs_parse_log(NONCE, text, &log, &err) < 0)
        abort();
    if ((log.whole && !log.ended) || (log.ended && !strstr(text, NONCE)))
        abort();
    km_jobs_log_release(&log);
    free(text);
    return 0;
}
