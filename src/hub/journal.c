/* Which bytes of a blob are there, and saying so in a file. */
#include <jansson.h>
#include <stdio.h>

#include "base/jsonw.h"
#include "hub/fetch.h"

bool hub_spans_add(hub_spans *s, uint64_t first, uint64_t end) {
    if (first >= end) return true;
    int i = 0, k;
    while (i < s->n && s->at[i].end < first) i++; /* those that lie wholly before */
    for (k = i; k < s->n && s->at[k].first <= end; k++) {
        if (s->at[k].first < first) first = s->at[k].first;
        if (s->at[k].end > end) end = s->at[k].end;
    }
    if (k == i && s->n == HUB_SPANS_MAX) return false;
    memmove(&s->at[i + 1], &s->at[k], (size_t)(s->n - k) * sizeof *s->at);
    s->n += 1 - (k - i);
    s->at[i] = (hub_span){first, end};
    return true;
}

uint64_t hub_spans_bytes(const hub_spans *s) {
    uint64_t sum = 0;
    for (int i = 0; i < s->n; i++) sum += s->at[i].end - s->at[i].first;
    return sum;
}

uint64_t hub_spans_front(const hub_spans *s) {
    return s->n > 0 && s->at[0].first == 0 ? s->at[0].end : 0;
}

static bool number(const json_t *v, uint64_t *out) {
    if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static bool read(hub_journal *j, const json_t *o) {
    size_t i;
    const json_t *pair, *done = json_object_get(o, "done");
    const char *etag = json_string_value(json_object_get(o, "etag"));
    if (!number(json_object_get(o, "size"), &j->size) || !etag || !json_is_array(done) ||
        strlen(etag) >= sizeof j->etag)
        return false;
    memcpy(j->etag, etag, strlen(etag) + 1);
    json_array_foreach(done, i, pair) {
        uint64_t first, end;
        if (!number(json_array_get(pair, 0), &first) || !number(json_array_get(pair, 1), &end) ||
            first >= end || end > j->size || !hub_spans_add(&j->done, first, end))
            return false;
    }
    return true;
}

bool hub_journal_read(hub_journal *j, str text) {
    *j = (hub_journal){0};
    json_t *o = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    bool ok = json_is_object(o) && read(j, o);
    json_decref(o);
    if (!ok) *j = (hub_journal){0};
    return ok;
}

void hub_journal_write(buf *out, const hub_journal *j) {
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "size"), jsonw_uint(&w, j->size);
    jsonw_key(&w, "etag"), jsonw_str(&w, str_of(j->etag));
    jsonw_key(&w, "done");
    jsonw_array(&w);
    for (int i = 0; i < j->done.n; i++) {
        jsonw_array(&w);
        jsonw_uint(&w, j->done.at[i].first), jsonw_uint(&w, j->done.at[i].end);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
}
