/* formats/html.h: text in a page of HTML. */
#ifndef KERNMILL_FORMATS_HTML_H
#define KERNMILL_FORMATS_HTML_H

#include "core/str.h"

/* Appends `length` bytes of text that is neither markup nor the end of an attribute's value. */
void km_html_escape(km_str *out, const char *text, size_t length);

#endif
