#include "core/secret.h"

#include <stdlib.h>
#include <string.h>

static struct {
    const char *name;
    char *value; /* NULL: not set, or not taken; for as long as the process is there */
} secrets[] = { { "HF_TOKEN", NULL }, { "HUGGING_FACE_HUB_TOKEN", NULL } };

#define COUNT (sizeof secrets / sizeof secrets[0])

int km_secret_take(km_err *err)
{
    for (size_t i = 0; i < COUNT; i++) {
        char *value = getenv(secrets[i].name);
        if (!value)
            continue;
        secrets[i].value = strdup(value);
        if (!secrets[i].value)
            return km_fail_nomem(err);
        explicit_bzero(value, strlen(value)); /* unsetenv alone leaves it where /proc shows it */
        unsetenv(secrets[i].name);
    }
    return 0;
}

const char *km_secret(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (secrets[i].value && strcmp(secrets[i].name, name) == 0)
            return secrets[i].value;
    return getenv(name);
}

void km_secret_give_back(void)
{
    for (size_t i = 0; i < COUNT; i++)
        if (secrets[i].value)
            setenv(secrets[i].name, secrets[i].value, 1);
}
