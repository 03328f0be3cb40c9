/* $id, $anchor and $ref: which part of the schema a reference names. Only what the document itself
 * holds can be reached; a reference that leads out of it is an error. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "grammar/schema_private.h"

/* ---- URIs (RFC 3986, section 5.2, as far as schemas need it) ---- */

static size_t scheme_length(str u) {
    for (size_t i = 0; i < u.n; i++) {
        char c = u.p[i];
        if (c == ':') return i ? i + 1 : 0;
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  (i && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'));
        if (!ok) return 0;
    }
    return 0;
}

static size_t until(str u, size_t from, const char *stops) {
    while (from < u.n && !strchr(stops, u.p[from])) from++;
    return from;
}

/* ref resolved against base, without dot segments other than a leading one; in the arena. */
static str join(schema *s, str base, str ref) {
    size_t base_end = until(base, 0, "#"), scheme = scheme_length(base);
    size_t path = scheme;
    if (base_end >= scheme + 2 && base.p[scheme] == '/' && base.p[scheme + 1] == '/')
        path = until(base, scheme + 2, "/?#");
    size_t keep;
    while (str_starts(ref, STR("./"))) ref.p += 2, ref.n -= 2;
    if (ref.n == 0 || ref.p[0] == '#') keep = base_end;
    else if (scheme_length(ref)) keep = 0;
    else if (str_starts(ref, STR("//"))) keep = scheme;
    else if (ref.p[0] == '/') keep = path;
    else {
        keep = until(base, path, "?#");
        while (keep > path && base.p[keep - 1] != '/') keep--;
    }
    char *out = arena_alloc(s->mem, keep + ref.n + 2);
    if (!out) {
        s->failed = true;
        return STR("");
    }
    memcpy(out, base.p, keep);
    size_t n = keep;
    if (keep && keep == path && path > scheme && ref.n && ref.p[0] != '/' && ref.p[0] != '#' &&
        ref.p[0] != '?')
        out[n++] = '/';
    memcpy(out + n, ref.p, ref.n);
    n += ref.n;
    if (n && out[n - 1] == '#') n--; /* an empty fragment */
    return (str){out, n};
}

/* ---- the index ---- */

static bool add_place(schema *s, str uri, const json_t *j, int32_t base, err *e) {
    if (s->n_places == s->cap_places) {
        size_t cap = s->cap_places * 2 + 16;
        named_place *v = realloc(s->places, cap * sizeof *v);
        if (!v) return err_set(e, ERR_NO_FIT, "out of memory");
        s->places = v, s->cap_places = cap;
    }
    s->places[s->n_places] = (named_place){uri, j, base < 0 ? (int32_t)s->n_places : base};
    s->n_places++;
    return true;
}

static str base_uri(const schema *s, int32_t base) {
    str u = s->places[base].uri;
    u.n = until(u, 0, "#");
    return u;
}

static str text_of(const json_t *j) {
    return (str){json_string_value(j), json_string_length(j)};
}

static const json_t *own_id(const schema *s, const json_t *j) {
    const json_t *id = json_object_get(j, s->draft <= DRAFT_4 ? "id" : "$id");
    if (s->draft <= DRAFT_7 && json_object_get(j, "$ref")) return NULL; /* siblings are ignored */
    return json_is_string(id) ? id : NULL;
}

static bool index_object(schema *s, const json_t *j, int32_t base, int depth, err *e);

/* Every value is walked, also under unknown keywords, as references may lead there; not under those
 * that hold plain data. */
static bool index_value(schema *s, const json_t *j, int32_t base, int depth, err *e) {
    if (depth > LIMIT_SCHEMA_DEPTH)
        return err_set(e, ERR_USAGE, "the schema is nested over %d deep", LIMIT_SCHEMA_DEPTH);
    if (json_is_object(j)) return index_object(s, j, base, depth, e);
    size_t i;
    json_t *v;
    json_array_foreach(j, i, v) if (!index_value(s, v, base, depth + 1, e)) return false;
    return true;
}

static bool index_object(schema *s, const json_t *j, int32_t base, int depth, err *e) {
    const json_t *id = own_id(s, j);
    str uri = id ? join(s, base_uri(s, base), text_of(id)) : STR("");
    if (id && uri.n && until(uri, 0, "#") == uri.n) {
        if (!add_place(s, uri, j, -1, e)) return false;
        base = (int32_t)s->n_places - 1;
    } else if (id && uri.n && !add_place(s, uri, j, base, e)) return false; /* an anchor */
    const json_t *anchor = json_object_get(j, "$anchor");
    if (!anchor) anchor = json_object_get(j, "$dynamicAnchor");
    if (json_is_string(anchor)) {
        buf b;
        buf_init(&b, 1 << 16);
        buf_putc(&b, '#');
        buf_put_str(&b, text_of(anchor));
        str place = join(s, base_uri(s, base), buf_str(&b));
        buf_deinit(&b);
        if (!add_place(s, place, j, base, e)) return false;
    }
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v) {
        bool data = !strcmp(key, "enum") || !strcmp(key, "const") || !strcmp(key, "default") ||
                    !strcmp(key, "examples");
        if (!data && !index_value(s, v, base, depth + 1, e)) return false;
    }
    return true;
}

static draft draft_of(const json_t *root) {
    const char *v = json_string_value(json_object_get(root, "$schema"));
    if (!v) return DRAFT_2020;
    if (strstr(v, "draft-03") || strstr(v, "draft-04")) return DRAFT_4;
    if (strstr(v, "draft-06")) return DRAFT_6;
    if (strstr(v, "draft-07")) return DRAFT_7;
    if (strstr(v, "2019-09")) return DRAFT_2019;
    return DRAFT_2020;
}

bool schema_index(schema *s, const json_t *root, err *e) {
    if (!json_is_object(root) && !json_is_boolean(root))
        return err_set(e, ERR_USAGE, "a schema is an object, true or false");
    const char *dialect = json_string_value(json_object_get(root, "$schema"));
    if (dialect && !strstr(dialect, "json-schema.org"))
        return err_set(e, ERR_USAGE, "$schema (in #): \"%.100s\" is no dialect that is known",
                       dialect);
    s->draft = draft_of(root);
    if (s->draft == DRAFT_2020 && !json_object_get(root, "$schema") &&
        json_object_get(root, "definitions") && !json_object_get(root, "$defs"))
        s->draft = DRAFT_7; /* written in the older style, which says it nowhere */
    return add_place(s, STR(""), root, 0, e) && index_value(s, root, 0, 0, e);
}

int32_t schema_base_of(schema *s, const json_t *j, int32_t base) {
    if (!own_id(s, j)) return base;
    for (size_t i = 1; i < s->n_places; i++)
        if (s->places[i].j == j && s->places[i].base == (int32_t)i) return (int32_t)i;
    return base;
}

/* ---- resolving ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : -1;
}

/* One reference token of a JSON pointer: %XX, then ~1 and ~0. */
static bool pointer_token(str t, buf *out) {
    buf_clear(out);
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        if (c == '%' && i + 2 < t.n && hex_digit(t.p[i + 1]) >= 0 && hex_digit(t.p[i + 2]) >= 0) {
            c = (char)(hex_digit(t.p[i + 1]) * 16 + hex_digit(t.p[i + 2]));
            i += 2;
        }
        if (c == '~' && i + 1 < t.n && (t.p[i + 1] == '0' || t.p[i + 1] == '1'))
            c = t.p[++i] == '1' ? '/' : '~';
        buf_putc(out, c);
    }
    buf_append(out, "", 0);
    return !out->failed;
}

static const json_t *follow(schema *s, const json_t *j, str pointer, int32_t *base) {
    buf token;
    buf_init(&token, 1 << 20);
    for (size_t at = 0; j && at < pointer.n;) {
        size_t end = until(pointer, at + 1, "/");
        const json_t *next = NULL;
        if (pointer_token((str){pointer.p + at + 1, end - at - 1}, &token)) {
            str t = buf_str(&token);
            uint64_t i;
            if (json_is_object(j)) next = json_object_getn(j, t.p, t.n);
            else if (json_is_array(j) && str_to_u64(t, &i)) next = json_array_get(j, (size_t)i);
        }
        j = next;
        if (json_is_object(j)) *base = schema_base_of(s, j, *base);
        at = end;
    }
    buf_deinit(&token);
    return j;
}

bool schema_resolve(schema *s, str ref, int32_t base, schema_place *out, err *e) {
    str uri = join(s, base_uri(s, base), ref);
    size_t hash = until(uri, 0, "#");
    str document = {uri.p, hash}, fragment = {uri.p + hash, uri.n - hash};
    if (fragment.n) fragment.p++, fragment.n--;
    bool pointer = fragment.n == 0 || fragment.p[0] == '/';
    str wanted = pointer ? document : uri;
    const json_t *j = NULL;
    int32_t at = 0;
    for (size_t i = 0; i < s->n_places && !j; i++)
        if (str_eq(s->places[i].uri, wanted)) j = s->places[i].j, at = s->places[i].base;
    if (j && pointer) j = follow(s, j, fragment, &at);
    char shown[160];
    str_printable(ref, shown, sizeof shown);
    if (!j && pointer && document.n && !str_eq(document, base_uri(s, 0)))
        return err_set(e, ERR_USAGE, "$ref \"%s\": leads out of the schema", shown);
    if (!j) return err_set(e, ERR_USAGE, "$ref \"%s\": nothing is there", shown);
    *out = (schema_place){j, at};
    return true;
}

/* ---- for messages ---- */

static bool find_path(const json_t *at, const json_t *j, buf *b, int depth) {
    if (at == j) return true;
    if (depth > LIMIT_SCHEMA_DEPTH) return false;
    size_t len = b->len, i;
    const char *key;
    json_t *v;
    if (json_is_object(at)) {
        json_object_foreach((json_t *)(uintptr_t)at, key, v) {
            buf_printf(b, "/%.60s", key);
            if (find_path(v, j, b, depth + 1)) return true;
            b->len = len;
        }
    } else {
        json_array_foreach(at, i, v) {
            buf_printf(b, "/%zu", i);
            if (find_path(v, j, b, depth + 1)) return true;
            b->len = len;
        }
    }
    return false;
}

const char *schema_path(schema *s, const json_t *j) {
    buf b;
    buf_init(&b, 4096);
    buf_putc(&b, '#');
    bool found = find_path(s->json, j, &b, 0) && !b.failed;
    char shown[200];
    str_printable(found ? buf_str(&b) : STR("#/..."), shown, sizeof shown);
    buf_deinit(&b);
    const char *kept = arena_strdup(s->mem, str_of(shown));
    return kept ? kept : "#/...";
}
