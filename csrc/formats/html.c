#include "formats/html.h"

static const char *entity_of(char c)
{
    switch (c) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void km_html_escape(km_str *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const char *entity = entity_of(text[i]);
        if (entity)
            km_str_add(out, entity);
        else
            km_str_add_char(out, text[i]);
    }
}
