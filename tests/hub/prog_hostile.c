/* Names, digests, Modelfiles, manifests and archives from a list, each through every entry of the
 * store. What is opened on the way is watched from outside (test_hostile_names.py): nothing here
 * checks paths. Lines of stdin; the store is at HEARTH_HOME.
 *
 *     hub_hostile <list
 */
#include <stdio.h>
#include <stdlib.h>

#include "hub/find.h"
#include "hub/make.h"
#include "hub/places.h"
#include "hub/sweep.h"

static void by_name(hub_store *s, hub_places *p, const char *text) {
    hub_name n;
    hub_entry x;
    hub_manifest m;
    buf b;
    if (!hub_name_parse_strict(&n, str_of(text), NULL)) return;
    buf_init(&b, 1 << 16);
    hub_name found = n;
    for (int area = HUB_READY; area <= HUB_ORIGIN; area++) {
        hub_store_existing(s, (hub_area)area, &found);
        hub_store_get(s, (hub_area)area, &n, &b, NULL);
        hub_store_put(s, (hub_area)area, &n, STR("{}"), NULL);
        hub_store_remove(s, (hub_area)area, &n, NULL);
    }
    if (hub_store_manifest(s, HUB_READY, &n, &m, NULL)) hub_manifest_deinit(&m);
    if (hub_places_find(p, &n, &x, NULL)) hub_entry_deinit(&x);
    hub_store_rm(s, &n, NULL, NULL);
    hub_copy(s, &n, &n, NULL);
    buf_deinit(&b);
}

static void by_digest(hub_store *s, const char *text) {
    hub_digest d;
    buf b;
    if (!hub_digest_parse(&d, str_of(text), NULL)) return;
    buf_init(&b, 1 << 16);
    hub_store_has(s, &d, 1);
    hub_store_blob_read(s, &d, &b, NULL);
    free(hub_store_blob_file(s, &d, NULL));
    hub_part *p = hub_part_open(s, &d, 1, NULL);
    if (p) hub_part_drop(p, NULL);
    buf_deinit(&b);
}

static void by_modelfile(hub_store *s, const char *text) {
    hub_plan p = {.from = strdup(text)};
    hub_make_options o = {0};
    hub_name n;
    hub_name_parse(&n, STR("made"), NULL);
    hub_make(s, &n, &p, &o, NULL);
    hub_plan_deinit(&p);
}

static void by_manifest(hub_store *s, const char *text) {
    char json[8192];
    hub_name n;
    hub_name_parse(&n, STR("made"), NULL);
    int k = snprintf(json, sizeof json,
                     "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\","
                     "\"size\":1,\"from\":\"%s\",\"name\":\"%s\"}]}",
                     text, text, text, text);
    if (k < 0 || (size_t)k >= sizeof json) return;
    hub_store_put(s, HUB_READY, &n, str_of(json), NULL);
    if (hub_store_put(s, HUB_PENDING, &n, str_of(json), NULL)) {
        hub_gc_report r;
        hub_store_gc(s, &(hub_gc_options){.partial = true}, &r, NULL);
        hub_store_remove(s, HUB_PENDING, &n, NULL);
    }
}

int main(void) {
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    err e = {0};
    hub_store *s = hub_store_open(NULL, HUB_STORE_EDIT, &e);
    hub_places *p = hub_places_open(&e);
    if (!s || !p) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    int count = 0;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        line[n - 1] = 0;
        by_name(s, p, line);
        by_digest(s, line);
        by_modelfile(s, line);
        by_manifest(s, line);
        count++;
    }
    printf("%d\n", count);
    free(line);
    hub_places_close(p);
    hub_store_close(s);
    return 0;
}
