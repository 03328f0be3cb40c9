/* One table of fields per endpoint: what a request's body may hold. The table checks requests,
 * makes the server's OpenAPI document, and is what the generated tests go over; so a field that is
 * not in it does not exist, and a limit is said in one place.
 *
 * Fields that no table knows are tolerated. A known field of the wrong type or out of its range is
 * an error that names it with its path ("messages[2].role") and says what it may be. null is the
 * same as absent. Whole numbers may be written as 5.0.
 *
 *     static const api_field fields[] = {
 *         {.name = "prompt", .types = API_STRING, .required = true, .doc = "the text"},
 *         {.name = "top_p", .types = API_NUMBER, .max = 1, .doc = "share of probability"},
 *         {.include = api_sampler_fields},
 *         {0}};
 *     if (!api_fields_check(fields, body, &e)) ...
 *     double p = api_get_number(body, "top_p", 1);
 */
#ifndef HEARTH_API_FIELDS_H
#define HEARTH_API_FIELDS_H

#include <jansson.h>

#include "api/error.h"
#include "base/jsonw.h"

enum { /* types of a field, may be added */
       API_BOOL = 1,
       API_INT = 2,
       API_NUMBER = 4,
       API_STRING = 8,
       API_ARRAY = 16,
       API_OBJECT = 32,
       API_ANY = 63
};

typedef struct api_field api_field;
struct api_field {
    const char *name;
    unsigned types;
    bool required;
    double min, max;          /* of a number; both 0: any finite one */
    size_t len_min, len_max;  /* bytes of a string, items of an array; len_max 0: any */
    const char *words;        /* "a|b": the only strings; NULL: any */
    unsigned items;           /* types of an array's items; 0: any */
    const api_field *of;      /* fields of the object, or of an array's items that are objects */
    const api_field *include; /* in place of a name: all fields of another table */
    const char *doc;          /* one line */
};

/* The text of a body; NULL, with *e, when it is no JSON or too deep. */
json_t *api_json_read(str s, api_error *e);
bool api_fields_check(const api_field *table, const json_t *object, api_error *e);
/* The table as a JSON Schema object. */
void api_fields_schema(const api_field *table, jsonw *w);

/* Reading what was checked. Absent and null are the same. */
json_t *api_get(const json_t *object, const char *name); /* NULL: absent */
double api_get_number(const json_t *object, const char *name, double otherwise);
int64_t api_get_int(const json_t *object, const char *name, int64_t otherwise);
bool api_get_bool(const json_t *object, const char *name, bool otherwise);
const char *api_get_text(const json_t *object, const char *name, const char *otherwise);

#endif
