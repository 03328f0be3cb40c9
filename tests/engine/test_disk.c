/* Pages on disk and published pages, through an engine: what comes back is what would have been
 * computed; what belongs to another model, owner or type of pages, or is damaged, is computed
 * again. */
#include "support/cmocka_all.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/engine_private.h"
#include "engine/engine_test.h"
#include "support/scratch.h"

enum { CTX = 256, N_PROMPT = 200, FULL = 192 };

static int32_t words[4][CTX];
static answer wanted, got;
static char folder[4096];

static int setup(void **state) {
    static int n;
    char name[32];
    (void)state;
    for (uint64_t i = 0; i < 4; i++) prompt_make(words[i], CTX, i);
    snprintf(name, sizeof name, "disk%d", ++n);
    snprintf(folder, sizeof folder, "%s", scratch_path(name));
    return 0;
}

static hearth_params params_of(int which, const char *owner) {
    hearth_params p = hearth_params_default();
    p.prompt = words[which];
    p.n_prompt = N_PROMPT;
    p.max_tokens = 20;
    p.ignore_eos = true;
    p.seed = (uint64_t)which;
    p.owner = owner;
    return p;
}

static hearth_engine_options options(void) {
    return (hearth_engine_options){.n_threads = 1, .n_ctx = CTX, .cache_disk = folder};
}

/* One request in an engine of its own: what it says, and how much it did not compute. */
static int32_t ask(const char *name, const hearth_engine_options *o, int which, const char *owner) {
    hearth_engine *g = engine_get(tiny_get(name), o);
    hearth_params p = params_of(which, owner);
    answer_get(&got, g, &p);
    hearth_stats s;
    hearth_engine_stats(g, &s);
    assert_int_equal(s.n_from_disk, got.usage.n_cached);
    hearth_engine_free(g); /* waits until everything is written */
    return got.usage.n_cached;
}

static void want(const char *name, int which) {
    hearth_engine_options o = options();
    o.cache_disk = NULL;
    ask(name, &o, which, NULL);
    wanted = got;
}

/* Pages' files, each handed to fn. */
static int files(void (*fn)(const char *path)) {
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *x; (x = readdir(d));) {
        char path[8192];
        if (!strstr(x->d_name, ".page")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, x->d_name);
        if (fn) fn(path);
        n++;
    }
    closedir(d);
    return n;
}

static void a_restart_finds_them(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "gemma3"};
    for (int k = 0; k < 2; k++) {
        hearth_engine_options o = options();
        want(names[k], 0);
        assert_int_equal(ask(names[k], &o, 0, NULL), 0);
        answer_same(&wanted, &got, "first");
        assert_int_equal(ask(names[k], &o, 0, NULL), FULL);
        answer_same(&wanted, &got, "after a restart");
        assert_int_equal(files(NULL), 3 * (k + 1)); /* nothing is written twice */
    }
    struct stat st;
    char key[8192];
    snprintf(key, sizeof key, "%s/key", folder);
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void nobody_elses_are_found(void **state) {
    (void)state;
    hearth_engine_options o = options();
    assert_int_equal(ask("llama", &o, 0, "alice"), 0);
    assert_int_equal(ask("llama", &o, 0, "bob"), 0);
    assert_int_equal(ask("llama", &o, 0, NULL), 0);
    assert_int_equal(ask("llama-untied", &o, 0, "alice"), 0);
    o.kv = HEARTH_KV_Q8;
    assert_int_equal(ask("llama", &o, 0, "alice"), 0);
    o.kv = HEARTH_KV_F16;
    assert_int_equal(ask("llama", &o, 1, "alice"), 0);
    assert_int_equal(ask("llama", &o, 0, "alice"), FULL);
    char key[8192]; /* another key: another folder, as it were */
    snprintf(key, sizeof key, "%s/key", folder);
    unlink(key);
    assert_int_equal(ask("llama", &o, 0, "alice"), 0);
}

static void flip(const char *path) {
    static int at;
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    static const long where[] = {20, 3000, -1};
    fseek(f, where[at % 3], where[at % 3] < 0 ? SEEK_END : SEEK_SET);
    int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 1, f);
    fclose(f);
    at++;
}

static void cut(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 1), 0);
}

static void lengthen(const char *path) {
    FILE *f = fopen(path, "ab");
    fputc(0, f);
    fclose(f);
}

static void empty(const char *path) {
    assert_int_equal(truncate(path, 0), 0);
}

static void damaged_ones_are_computed_again(void **state) {
    (void)state;
    static void (*const ways[])(const char *) = {flip, flip, flip, cut, lengthen, empty};
    hearth_engine_options o = options();
    want("llama", 0);
    ask("llama", &o, 0, NULL);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        assert_int_equal(files(ways[i]), 3);
        assert_int_equal(ask("llama", &o, 0, NULL), 0);
        answer_same(&wanted, &got, "beside damage");
        /* the first was removed and written anew; the others could not be reached, and were found
         * to be there */
        assert_int_equal(files(NULL), 3);
        assert_int_equal(ask("llama", &o, 0, NULL), KV_PAGE);
        answer_same(&wanted, &got, "after damage");
        while (ask("llama", &o, 0, NULL) < FULL) answer_same(&wanted, &got, "after damage");
    }
}

static void there_is_a_limit(void **state) {
    (void)state;
    hearth_engine_options o = options();
    uint64_t page = engine_kv_bytes(tiny_get("llama"), o.kv, KV_PAGE, KV_PAGE) + 4096;
    o.cache_disk_bytes = 4 * page;
    ask("llama", &o, 0, NULL);
    assert_int_equal(files(NULL), 3);
    ask("llama", &o, 1, NULL);
    assert_int_equal(files(NULL), 4); /* the oldest have gone */
    assert_int_equal(ask("llama", &o, 1, NULL), FULL);
    o.cache_disk_bytes = 2 * page; /* also where there were more */
    ask("llama", &o, 2, NULL);
    assert_true(files(NULL) <= 2);
    o.cache_disk_bytes = 1;
    ask("llama", &o, 3, NULL);
    assert_int_equal(files(NULL), 0);
}

/* Many at a time, in memory for one and a half: what is being written gives way. */
static void a_crowd_in_little_memory(void **state) {
    (void)state;
    static answer alone[4];
    hearth_engine_options o = options();
    for (int i = 0; i < 4; i++) {
        want("llama", i);
        alone[i] = wanted;
    }
    o.kv_bytes = engine_kv_bytes(tiny_get("llama"), o.kv, CTX, 64) * 3 / 2;
    o.batch_tokens = 64;
    o.n_threads = 2;
    for (int round = 0; round < 3; round++) {
        hearth_engine *g = engine_get(tiny_get("llama"), &o);
        hearth_request *r[12];
        hearth_err e = {0};
        for (int i = 0; i < 12; i++) {
            hearth_params p = params_of(i % 4, i % 3 ? "a" : "b");
            if (!(r[i] = hearth_submit(g, &p, &e))) fail_msg("%s", e.msg);
        }
        for (int i = 0; i < 12; i++) {
            answer_read(&got, r[i]);
            answer_same(&alone[i % 4], &got, "in a crowd with a disk");
        }
        hearth_engine_free(g);
    }
}

static void a_bad_folder_is_refused(void **state) {
    (void)state;
    hearth_engine_options o = options();
    hearth_err e = {0};
    o.cache_disk = scratch_write("a-file", "x", 1);
    assert_null(hearth_engine_new(tiny_get("llama"), &o, &e));
    assert_true(e.msg[0] != 0);
    err inner = {0};
    assert_true(file_make_dirs(folder, 0700, &inner));
    char key[8192];
    snprintf(key, sizeof key, "%s/key", folder);
    assert_true(file_replace(key, "short", 5, 0600, &inner));
    o.cache_disk = folder;
    assert_null(hearth_engine_new(tiny_get("llama"), &o, &e));
    assert_non_null(strstr(e.msg, "5 bytes"));
}

/* ---- published ---- */

static void published_pages_are_everybodys(void **state) {
    (void)state;
    notes_init(&heard);
    hearth_engine_options o = {.n_threads = 2, .n_ctx = CTX, .batch_tokens = 64};
    o.hooks = notes_hooks(&heard);
    o.kv_bytes = engine_kv_bytes(tiny_get("llama"), o.kv, CTX, 64) +
                 engine_kv_bytes(tiny_get("llama"), o.kv, 2 * KV_PAGE, 64);
    want("llama", 0);
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    hearth_err e = {0};
    assert_true(hearth_engine_pin(g, words[0], 150, NULL, 0, &e)); /* of which 128 are full pages */
    for (int i = 0; i <= MAX_NOTES - 1; i++) assert_int_equal(heard.of[i].opened, 0);
    static const char *const owners[] = {"alice", "bob", NULL};
    for (int i = 0; i < 3; i++) {
        for (int k = 1; k < 4; k++) { /* floods the memory */
            hearth_params p = params_of(k, "mallory");
            p.tag = tag_of(10 + 3 * i + k);
            answer_get(&got, g, &p);
        }
        hearth_params p = params_of(0, owners[i]);
        p.tag = tag_of(1 + i);
        answer_get(&got, g, &p);
        answer_same(&wanted, &got, "with published pages");
        assert_int_equal(got.usage.n_cached, 2 * KV_PAGE); /* and nothing of who came before */
    }
    assert_false(hearth_engine_pin(g, words[1], 150, NULL, 0, &e));
    assert_int_equal(e.code, HEARTH_NO_FIT);
    assert_false(hearth_engine_pin(g, words[1], 63, NULL, 0, &e));
    assert_int_equal(e.code, HEARTH_USAGE);
    words[1][3] = -1;
    assert_false(hearth_engine_pin(g, words[1], 64, NULL, 0, &e));
    assert_int_equal(e.code, HEARTH_USAGE);
    err inner = {0};
    if (!kv_check(g->kv, &inner)) fail_msg("%s", inner.msg);
    hearth_engine_free(g);
    notes_deinit(&heard);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_restart_finds_them, setup),
        cmocka_unit_test_setup(nobody_elses_are_found, setup),
        cmocka_unit_test_setup(damaged_ones_are_computed_again, setup),
        cmocka_unit_test_setup(there_is_a_limit, setup),
        cmocka_unit_test_setup(a_crowd_in_little_memory, setup),
        cmocka_unit_test_setup(a_bad_folder_is_refused, setup),
        cmocka_unit_test_setup(published_pages_are_everybodys, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
