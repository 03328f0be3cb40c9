/* The store: blobs before manifests, what keeps a blob, what goes, and what verify sees. */
#include "hub/store.h"
#include "hub/sweep.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cmocka_all.h"
#include "support/scratch.h"

static hub_store *fresh(void) {
    static int no;
    char name[32];
    err e = {0};
    snprintf(name, sizeof name, "store-%d", no++);
    hub_store *s = hub_store_open(scratch_path(name), HUB_STORE_EDIT, &e);
    if (!s) fail_msg("%s", e.msg);
    return s;
}

static hub_name named(const char *text) {
    hub_name n;
    assert_true(hub_name_parse(&n, str_of(text), NULL));
    return n;
}

/* A manifest with these blobs as its layers. */
static void manifest_of(buf *out, const hub_digest *d, const uint64_t *size, int n) {
    hub_manifest m = {0};
    buf_init(out, 1 << 20);
    for (int i = 0; i < n; i++)
        assert_true(hub_manifest_add(&m, HUB_LAYER_MODEL, &d[i], size[i], NULL));
    hub_manifest_write(out, &m);
    hub_manifest_deinit(&m);
}

static void put_model(hub_store *s, hub_area area, const char *name, const char *const *texts,
                      int n) {
    hub_digest d[8];
    uint64_t size[8];
    buf b;
    err e = {0};
    assert_true(hub_store_lock(s, &e)); /* or another process's rm takes what has no model yet */
    for (int i = 0; i < n; i++) {
        assert_true(hub_store_add(s, str_of(texts[i]), &d[i], &e));
        size[i] = strlen(texts[i]);
    }
    manifest_of(&b, d, size, n);
    hub_name nm = named(name);
    if (!hub_store_put(s, area, &nm, buf_str(&b), &e)) fail_msg("%s", e.msg);
    hub_store_unlock(s);
    buf_deinit(&b);
}

static bool has(hub_store *s, const char *text) {
    hub_digest d;
    hub_digest_of(&d, text, strlen(text));
    return hub_store_has(s, &d, strlen(text));
}

static void names_and_manifests(void **state) {
    (void)state;
    hub_store *s = fresh();
    put_model(s, HUB_READY, "Alpha:One", (const char *const[]){"a", "b"}, 2);
    put_model(s, HUB_READY, "hf.co/u/r:q", (const char *const[]){"b"}, 1);
    hub_name n = named("alpha:ONE"), *list;
    assert_true(hub_store_existing(s, HUB_READY, &n));
    assert_string_equal(n.model, "Alpha");
    assert_string_equal(n.tag, "One");
    n = named("alpha:two");
    assert_false(hub_store_existing(s, HUB_READY, &n));
    size_t count;
    assert_true(hub_store_names(s, HUB_READY, &list, &count, NULL));
    assert_int_equal(count, 2);
    assert_string_equal(list[0].host, "hf.co");
    free(list);
    hub_manifest m;
    n = named("Alpha:One");
    assert_true(hub_store_manifest(s, HUB_READY, &n, &m, NULL));
    assert_int_equal(m.n, 2);
    assert_int_equal(m.bytes, 2);
    assert_int_equal(strlen(m.id.hex), 64);
    hub_manifest_deinit(&m);
    hub_store_close(s);
}

static void a_manifest_needs_its_blobs(void **state) {
    (void)state;
    hub_store *s = fresh();
    hub_digest d;
    buf b;
    err e = {0};
    hub_digest_of(&d, "x", 1);
    manifest_of(&b, &d, (const uint64_t[]){1}, 1);
    hub_name n = named("m");
    assert_false(hub_store_put(s, HUB_READY, &n, buf_str(&b), &e));
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_true(hub_store_put(s, HUB_PENDING, &n, buf_str(&b), &e));
    assert_true(hub_store_add(s, STR("x"), &d, &e));
    assert_true(hub_store_put(s, HUB_READY, &n, buf_str(&b), &e));
    assert_int_equal(hub_store_when(s, HUB_PENDING, &n), 0);
    assert_false(hub_store_put(s, HUB_READY, &n, STR("{}"), &e));
    buf_deinit(&b);
    hub_store_close(s);
}

static void what_goes_and_what_stays(void **state) {
    (void)state;
    hub_store *s = fresh();
    hub_digest d;
    hub_gc_report r;
    uint64_t freed, own;
    err e = {0};
    put_model(s, HUB_READY, "one", (const char *const[]){"own of one", "shared"}, 2);
    put_model(s, HUB_READY, "two", (const char *const[]){"shared", "own of two"}, 2);
    put_model(s, HUB_PENDING, "three", (const char *const[]){"fetched"}, 1);
    assert_true(hub_store_add(s, STR("uploaded"), &d, &e));
    hub_name n = named("one");
    assert_true(hub_store_own_bytes(s, &n, &own, &e));
    assert_int_equal(own, strlen("own of one"));
    assert_true(hub_store_rm(s, &n, &freed, &e));
    assert_int_equal(freed, own);
    assert_false(has(s, "own of one"));
    assert_true(has(s, "shared") && has(s, "own of two") && has(s, "fetched"));
    assert_false(hub_store_rm(s, &n, &freed, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    hub_gc_options o = {.min_age_s = HUB_YOUNG_S};
    assert_true(hub_store_gc(s, &o, &r, &e));
    assert_int_equal(r.n, 0);
    o = (hub_gc_options){.dry_run = true};
    assert_true(hub_store_gc(s, &o, &r, &e));
    assert_int_equal(r.n, 1);
    assert_true(has(s, "uploaded"));
    o.dry_run = false;
    assert_true(hub_store_gc(s, &o, &r, &e));
    assert_int_equal(r.bytes, 8);
    assert_false(has(s, "uploaded"));
    assert_true(has(s, "fetched"));
    o.partial = true;
    assert_true(hub_store_gc(s, &o, &r, &e));
    assert_false(has(s, "fetched"));
    hub_store_close(s);
}

static void parts_go_on(void **state) {
    (void)state;
    hub_store *s = fresh();
    hub_digest d;
    hub_gc_report r;
    buf b;
    err e = {0};
    buf_init(&b, 100);
    hub_digest_of(&d, "hello", 5);
    hub_part *p = hub_part_open(s, &d, 5, &e), *other;
    assert_non_null(p);
    other = hub_part_open(s, &d, 5, &e);
    assert_null(other);
    assert_int_equal(e.code, ERR_BUSY);
    assert_int_equal(pwrite(hub_part_fd(p), "hel", 3, 0), 3);
    assert_true(hub_part_journal_write(p, STR("3"), &e));
    hub_gc_options o = {.partial = true};
    assert_true(hub_store_gc(s, &o, &r, &e)); /* under way: stays */
    assert_int_equal(r.n, 0);
    hub_part_close(p);
    o.partial = false;
    assert_true(hub_store_gc(s, &o, &r, &e));
    assert_int_equal(r.n, 0);
    p = hub_part_open(s, &d, 5, &e);
    assert_non_null(p);
    assert_true(hub_part_journal_read(p, &b, &e));
    assert_string_equal(b.data, "3");
    assert_int_equal(pwrite(hub_part_fd(p), "lo", 2, 3), 2);
    assert_true(hub_part_commit(p, &d, &e));
    assert_true(has(s, "hello"));
    hub_usage u;
    assert_true(hub_store_usage(s, &u, &e));
    assert_int_equal(u.n_partial, 0);
    assert_int_equal(u.n_blobs, 1);
    assert_int_equal(u.unused_bytes, 5);
    p = hub_part_open(s, &d, 5, &e);
    assert_true(hub_part_drop(p, &e));
    buf_deinit(&b);
    hub_store_close(s);
}

static void spoil(hub_store *s, const char *text, const char *with) {
    hub_digest d;
    char path[HUB_BLOB_PATH_BYTES], whole[4096];
    hub_digest_of(&d, text, strlen(text));
    snprintf(whole, sizeof whole, "%s/%s", hub_store_folder(s), hub_digest_path(&d, path));
    FILE *f = fopen(whole, "wb");
    assert_non_null(f);
    fputs(with, f);
    fclose(f);
}

static void verified(void **state) {
    (void)state;
    hub_store *s = fresh();
    hub_verify_report r;
    err e = {0};
    put_model(s, HUB_READY, "good", (const char *const[]){"aaaa"}, 1);
    put_model(s, HUB_READY, "bad", (const char *const[]){"bbbb", "cccc"}, 2);
    hub_verify_options o = {0};
    assert_true(hub_store_verify(s, &o, &r, &e));
    assert_int_equal(r.n_faults, 0);
    assert_int_equal(r.n_blobs, 3);
    spoil(s, "bbbb", "bbbx");
    o.quick = true;
    assert_true(hub_store_verify(s, &o, &r, &e));
    assert_int_equal(r.n_faults, 0);
    o.quick = false;
    assert_true(hub_store_verify(s, &o, &r, &e));
    assert_int_equal(r.n_faults, 1);
    o.repair = true;
    assert_true(hub_store_verify(s, &o, &r, &e));
    assert_int_equal(r.n_repaired, 2);
    hub_name n = named("bad");
    assert_int_equal(hub_store_when(s, HUB_READY, &n), 0);
    assert_true(hub_store_when(s, HUB_PENDING, &n) > 0);
    assert_true(has(s, "cccc") && !has(s, "bbbb"));
    assert_true(hub_store_verify(s, &o, &r, &e));
    assert_int_equal(r.n_faults, 0);
    hub_store_close(s);
}

/* A manifest that cannot be read may need anything: nothing is removed. */
static void unreadable_keeps_all(void **state) {
    (void)state;
    hub_store *s = fresh();
    char path[4096];
    hub_gc_report r;
    hub_verify_report v;
    err e = {0};
    put_model(s, HUB_READY, "good", (const char *const[]){"aaaa"}, 1);
    put_model(s, HUB_READY, "torn", (const char *const[]){"bbbb"}, 1);
    snprintf(path, sizeof path, "%s/manifests/registry.ollama.ai/library/torn/latest",
             hub_store_folder(s));
    FILE *f = fopen(path, "wb");
    fputs("{\"schemaVersion\":2,", f);
    fclose(f);
    hub_gc_options o = {0};
    assert_false(hub_store_gc(s, &o, &r, &e));
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_true(has(s, "bbbb"));
    hub_verify_options vo = {.repair = true};
    assert_true(hub_store_verify(s, &vo, &v, &e));
    assert_int_equal(v.n_faults, 1);
    assert_true(hub_store_gc(s, &o, &r, &e));
    assert_false(has(s, "bbbb"));
    assert_true(has(s, "aaaa"));
    hub_store_close(s);
}

static void only_read(void **state) {
    (void)state;
    err e = {0};
    assert_null(hub_store_open(scratch_path("nothing"), HUB_STORE_READ, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    hub_store *s = fresh();
    put_model(s, HUB_READY, "m", (const char *const[]){"x"}, 1);
    hub_store *r = hub_store_open(hub_store_folder(s), HUB_STORE_READ, &e);
    hub_digest d;
    hub_name n = named("m");
    assert_false(hub_store_add(r, STR("new"), &d, &e));
    assert_int_equal(e.code, ERR_DENIED);
    assert_false(hub_store_rm(r, &n, NULL, &e));
    assert_true(has(r, "x"));
    hub_store_close(r);
    hub_store_close(s);
}

static void links_are_not_followed(void **state) {
    (void)state;
    hub_store *s = fresh();
    hub_digest d;
    char path[HUB_BLOB_PATH_BYTES], whole[4096];
    const char *secret = scratch_write("secret", "secret", 6);
    hub_digest_of(&d, "secret", 6);
    snprintf(whole, sizeof whole, "%s/%s", hub_store_folder(s), hub_digest_path(&d, path));
    assert_int_equal(symlink(secret, whole), 0);
    assert_false(hub_store_has(s, &d, UINT64_MAX));
    assert_true(hub_store_blob(s, &d, NULL, NULL) < 0);
    hub_store_close(s);
}

/* Two processes add and remove the same things: nobody fails, and all is whole after it. */
static void two_processes(void **state) {
    (void)state;
    hub_store *s = fresh();
    pid_t child = fork();
    char *folder = strdup(hub_store_folder(s));
    hub_store *mine = hub_store_open(folder, HUB_STORE_EDIT, NULL);
    for (int i = 0; i < 40; i++) {
        put_model(mine, HUB_READY, i % 2 ? "m" : "n", (const char *const[]){"same", "other"}, 2);
        hub_name n = named(i % 2 ? "n" : "m");
        hub_store_rm(mine, &n, NULL, NULL);
    }
    hub_store_close(mine);
    free(folder);
    if (child == 0) _exit(0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    hub_verify_report v;
    hub_verify_options vo = {0};
    assert_true(hub_store_verify(s, &vo, &v, NULL));
    assert_int_equal(v.n_faults, 0);
    hub_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_and_manifests),
                                       cmocka_unit_test(a_manifest_needs_its_blobs),
                                       cmocka_unit_test(what_goes_and_what_stays),
                                       cmocka_unit_test(parts_go_on),
                                       cmocka_unit_test(verified),
                                       cmocka_unit_test(unreadable_keeps_all),
                                       cmocka_unit_test(only_read),
                                       cmocka_unit_test(links_are_not_followed),
                                       cmocka_unit_test(two_processes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
