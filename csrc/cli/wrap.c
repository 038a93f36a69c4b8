#include "cli/wrap.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS 80

void km_print_wrapped(const char *mark, const char *text)
{
    size_t indent = strlen(mark), column = indent;

    fputs(mark, stdout);
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > indent && column + 1 + word > COLUMNS) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        }
        if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}
