#include "cli/storing.h"

#include <stdio.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "hub/places.h"

hub_store *storing_open(err *e) {
    return hub_store_open(NULL, HUB_STORE_EDIT, e);
}

bool storing_name(hub_name *n, const char *text, err *e) {
    return hub_name_parse_strict(n, str_of(text), e);
}

bool storing_existing(const hub_store *s, hub_name *n, const char *text, err *e) {
    char shown[HUB_NAME_BYTES];
    hub_entry x;
    if (!storing_name(n, text, e)) return false;
    if (hub_store_existing(s, HUB_READY, n)) return true;
    hub_places *p = hub_places_open(NULL);
    bool elsewhere = p && hub_places_find(p, n, &x, NULL);
    hub_name_show(n, shown);
    if (elsewhere)
        err_set(e, ERR_DENIED, "%s lies in another program's folder, which is only read: %s", shown,
                x.file ? x.file : hub_place_name(x.place));
    else err_set(e, ERR_NOT_FOUND, "there is no model \"%s\": hearth list shows what is", shown);
    if (elsewhere) hub_entry_deinit(&x);
    hub_places_close(p);
    return false;
}

char *storing_ago(int64_t unix_s, char *dst, size_t cap) {
    static const struct {
        int64_t s;
        const char *one, *many;
    } units[] = {{31556952, "year", "years"}, {2629746, "month", "months"},
                 {604800, "week", "weeks"},   {86400, "day", "days"},
                 {3600, "hour", "hours"},     {60, "minute", "minutes"}};
    int64_t s = clock_unix_s() - unix_s;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        long long n = (long long)(s / units[i].s);
        if (n < 1) continue;
        snprintf(dst, cap, "%lld %s ago", n, n == 1 ? units[i].one : units[i].many);
        return dst;
    }
    snprintf(dst, cap, "just now");
    return dst;
}

void storing_bar_begin(storing_bar *b, const char *name) {
    *b = (storing_bar){.name = name};
    interrupt_remember(); /* what is half written has to go */
}

void storing_bar_end(storing_bar *b) {
    if (b->on) bar_end(&b->b);
    b->on = false;
    interrupt_end_process();
}

bool storing_bar_status(void *ud, const char *what, uint64_t done, uint64_t total) {
    storing_bar *b = ud;
    if (total && b->doing != what) {
        if (b->on) bar_end(&b->b);
        bar_begin(&b->b, what, b->name);
        b->on = true;
        b->doing = what;
    }
    if (total) bar_draw(&b->b, done, total);
    return interrupt_seen();
}

bool storing_bar_draw(void *ud, uint64_t done, uint64_t total) {
    return storing_bar_status(ud, "checking", done, total);
}
