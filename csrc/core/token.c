#include "core/token.h"

#include <stdlib.h>
#include <string.h>

static struct {
    const char *name;
    char *value; /* NULL: not set, or not taken; for as long as the process is there */
} variables[] = { { "HF_TOKEN", NULL },
                  { "HUGGING_FACE_HUB_TOKEN", NULL },
                  { "KERNMILL_WEBHOOK_URL", NULL } };

#define COUNT (sizeof variables / sizeof variables[0])

int km_token_take(km_err *err)
{
    for (size_t i = 0; i < COUNT; i++) {
        char *value = getenv(variables[i].name);
        if (!value)
            continue;
        variables[i].value = strdup(value);
        if (!variables[i].value)
            return km_fail_nomem(err);
        explicit_bzero(value, strlen(value)); /* unsetenv alone leaves it where /proc shows it */
        unsetenv(variables[i].name);
    }
    return 0;
}

const char *km_token_variable(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (variables[i].value && strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    return getenv(name);
}

void km_token_give_back(void)
{
    for (size_t i = 0; i < COUNT; i++)
        if (variables[i].value)
            setenv(variables[i].name, variables[i].value, 1);
}
