/* formats/json.h: JSON through jansson, with our errors, limits and way of writing files.
 *
 * A document's top level is an object or an array. A key that stands twice in one object is an
 * error, as is a \u0000, so that every text is a C string. Values are jansson's: whoever needs more
 * than this file calls jansson directly; json_decref frees.
 *
 *     json_t *doc;
 *     const char *license = "unknown";
 *     if (km_json_read(path, &doc, err) < 0)
 *         return err->code;
 *     rc = km_json_text_optional(doc, "license", &license, path, err);
 */
#ifndef KERNMILL_FORMATS_JSON_H
#define KERNMILL_FORMATS_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/* Parses `size` bytes at `text`; `name` is what errors call the file. *out is the caller's to
 * json_decref; NULL on error.
 * Errors: KM_EFORMAT with name:line:column (columns count characters); KM_ELIMIT beyond
 * KM_JSON_BYTES_MAX or jansson's depth of 2048; KM_ENOMEM. */
int km_json_parse(const char *text, size_t size, const char *name, json_t **out, km_err *err);

/* As km_json_parse, from a file. Errors also: those of km_file_read. */
int km_json_read(const char *path, json_t **out, km_err *err);

/* Writes atomically, two spaces a level, keys in insertion order, a newline at the end; a file that
 * says the same already is left alone. Errors: KM_ELIMIT beyond what km_json_read takes back; those
 * of km_file_update. */
int km_json_write(const char *path, const json_t *json, km_err *err);

/* The value of a key that must be there with that type. What comes out is borrowed from `object`;
 * `name` is the file's, for the error. Errors: KM_EFORMAT. */
int km_json_text(const json_t *object, const char *key, const char **out, const char *name,
                 km_err *err);
int km_json_int(const json_t *object, const char *key, int64_t *out, const char *name, km_err *err);
int km_json_object(const json_t *object, const char *key, json_t **out, const char *name,
                   km_err *err);
int km_json_array(const json_t *object, const char *key, json_t **out, const char *name,
                  km_err *err);

/* The same for a key that may be missing or null: *out then keeps the value it had. */
int km_json_text_optional(const json_t *object, const char *key, const char **out, const char *name,
                          km_err *err);
int km_json_int_optional(const json_t *object, const char *key, int64_t *out, const char *name,
                         km_err *err);
int km_json_object_optional(const json_t *object, const char *key, json_t **out, const char *name,
                            km_err *err);
int km_json_array_optional(const json_t *object, const char *key, json_t **out, const char *name,
                           km_err *err);

/* Whether all keys are among `known` (ends with NULL). Errors: KM_EFORMAT naming one that is not,
 * with the nearest as hint. */
int km_json_check_keys(const json_t *object, const char *const *known, const char *name,
                       km_err *err);

/* A number, or the text "inf" or "nan", which JSON has no numbers for. New reference. */
json_t *km_json_real(double value);

/* A member's text, "" when it is none; a member's number, 0 when it is none. */
const char *km_json_text_of(const json_t *o, const char *key);
double km_json_number_of(const json_t *o, const char *key);

#endif
