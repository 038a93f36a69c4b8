/* formats/toml_write.h: pieces of TOML 1.0 as text, for documents that the program writes. */
#ifndef KERNMILL_FORMATS_TOML_WRITE_H
#define KERNMILL_FORMATS_TOML_WRITE_H

#include "core/str.h"
#include "formats/toml.h"

/* A key: bare where it can be. */
void km_toml_add_key(km_str *s, const char *key);

/* A string on one line: literal where it can be. */
void km_toml_add_text(km_str *s, const char *text);

/* A float that reads back as the same number. */
void km_toml_add_real(km_str *s, double value);

/* A value of any kind, on one line. */
void km_toml_add_value(km_str *s, const km_toml *value);

#endif
