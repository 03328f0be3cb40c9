/* Writing JSON, append-only, straight into a buf: no tree, commas by itself. Numbers that are not
 * finite become null. Strings are written as UTF-8; broken bytes become U+FFFD. One thread.
 *
 *     jsonw w; jsonw_init(&w, &b);
 *     jsonw_object(&w);
 *       jsonw_key(&w, "model"); jsonw_str(&w, str_of(name));
 *       jsonw_key(&w, "ids");   jsonw_array(&w); jsonw_int(&w, 1); jsonw_end(&w);
 *     jsonw_end(&w);
 */
#ifndef HEARTH_BASE_JSONW_H
#define HEARTH_BASE_JSONW_H

#include "base/buf.h"

#define JSONW_MAX_DEPTH 64

typedef struct jsonw {
    buf *out;
    int depth;
    bool pretty;                     /* two spaces a level, set after init */
    char closer[JSONW_MAX_DEPTH];    /* '}' or ']' */
    bool has_items[JSONW_MAX_DEPTH]; /* whether a comma is due */
    bool after_key;
} jsonw;

void jsonw_init(jsonw *w, buf *out);
void jsonw_object(jsonw *w);
void jsonw_array(jsonw *w);
void jsonw_end(jsonw *w); /* closes the innermost object or array */
void jsonw_key(jsonw *w, const char *key);
void jsonw_str(jsonw *w, str s);
void jsonw_int(jsonw *w, int64_t v);
void jsonw_uint(jsonw *w, uint64_t v);
void jsonw_f64(jsonw *w, double v); /* shortest of %.15g, %.17g that reads back the same */
void jsonw_f32(jsonw *w, float v);  /* %.9g: reads back the same float */
void jsonw_bool(jsonw *w, bool v);
void jsonw_null(jsonw *w);
void jsonw_raw(jsonw *w, str json); /* already valid JSON */

/* A member: key and value. */
void jsonw_put_text(jsonw *w, const char *key, const char *text); /* NULL and "" become null */
void jsonw_put_int(jsonw *w, const char *key, int64_t v);
void jsonw_put_f64(jsonw *w, const char *key, double v);

#endif
