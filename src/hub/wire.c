/* Short questions to servers, and waiting between tries. */
#include "hub/wire.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

#define WAIT_MAX_S 60.0
#define NOTED_WAIT_S 2.0 /* a person is told how long */

http_client *hub_wire_client(const hub_wire *w, err *e) {
    return http_client_new(&(http_client_options){.user_agent = w->o.agent,
                                                  .stall_timeout_ms = w->o.stall_s * 1000,
                                                  .stall_bytes = 1024,
                                                  .rate = w->rate,
                                                  .no_verify = w->o.insecure},
                           e);
}

bool hub_wire_open(hub_wire *w, const hub_wire_options *o, err *e) {
    *w = (hub_wire){.o = *o};
    if (w->o.max_parallel <= 0) w->o.max_parallel = 4;
    if (w->o.chunk_bytes == 0) w->o.chunk_bytes = HUB_CHUNK;
    if (w->o.retries == 0) w->o.retries = 6;
    if (w->o.retries < 0) w->o.retries = 0;
    if (w->o.retry_wait_s <= 0) w->o.retry_wait_s = 1;
    if (w->o.stall_s <= 0) w->o.stall_s = 30;
    if (w->o.limit_rate && !(w->rate = http_rate_new(w->o.limit_rate, e))) return false;
    w->client = hub_wire_client(w, e);
    if (w->client) return true;
    hub_wire_close(w);
    return false;
}

void hub_wire_close(hub_wire *w) {
    http_client_free(w->client);
    http_rate_free(w->rate);
    *w = (hub_wire){0};
}

void hub_wire_status(const hub_wire *w, const char *text) {
    if (w->o.event) w->o.event(w->o.ud, &(hub_event){.kind = HUB_EVENT_STATUS, .text = text});
}

void hub_wire_note(const hub_wire *w, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (w->o.event) w->o.event(w->o.ud, &(hub_event){.kind = HUB_EVENT_NOTE, .text = text});
}

bool hub_wire_stopped(const hub_wire *w) {
    return w->o.stopped && w->o.stopped(w->o.ud);
}

bool hub_wire_passing(const http_answer *a) {
    switch (a->fault) {
    case HTTP_FAULT_NONE:
        return a->status == 408 || a->status == 425 || a->status == 429 || a->status >= 500;
    case HTTP_FAULT_CONNECT:
    case HTTP_FAULT_CUT:
    case HTTP_FAULT_STALL:
    case HTTP_FAULT_BAD: return true;
    default: return false;
    }
}

double hub_wire_pause_s(const hub_wire *w, int n, const http_answer *a) {
    double wait = w->o.retry_wait_s * (double)(1u << (n < 6 ? n : 6));
    const char *after = a ? http_answer_header(a, "retry-after") : NULL;
    uint64_t seconds;
    if (after && str_to_u64(str_trim(str_of(after)), &seconds) && (double)seconds > wait)
        wait = seconds < 3600 ? (double)seconds : 3600;
    return wait < WAIT_MAX_S ? wait : WAIT_MAX_S;
}

char *hub_wire_why(const http_answer *a, int stall_s, char dst[64]) {
    switch (a->fault) {
    case HTTP_FAULT_CONNECT: snprintf(dst, 64, "no connection"); break;
    case HTTP_FAULT_STALL: snprintf(dst, 64, "nothing came for %d s", stall_s); break;
    case HTTP_FAULT_BAD: snprintf(dst, 64, "no proper answer"); break;
    case HTTP_FAULT_CALLER: snprintf(dst, 64, "not the bytes that were asked for"); break;
    case HTTP_FAULT_NONE:
        if (a->status < 200 || a->status > 299) {
            snprintf(dst, 64, "the server says %d", a->status);
            break;
        }
        /* fall through */
    default: snprintf(dst, 64, "connection lost");
    }
    return dst;
}

void hub_wire_tell_retry(const hub_wire *w, const char *why, int n, double wait_s) {
    char text[160], wait[32] = "";
    if (wait_s >= NOTED_WAIT_S) snprintf(wait, sizeof wait, " in %.0f s", wait_s);
    snprintf(text, sizeof text, "%s, trying again%s (%d of %d)", why, wait, n + 1, w->o.retries);
    hub_event x = {.kind = HUB_EVENT_RETRY,
                   .text = text,
                   .attempt = n + 1,
                   .attempts = w->o.retries,
                   .wait_s = wait_s};
    if (w->o.event) w->o.event(w->o.ud, &x);
}

/* False: stopped. */
static bool wait_for(const hub_wire *w, double seconds) {
    double end = clock_now_s() + seconds;
    while (!hub_wire_stopped(w)) {
        if (clock_now_s() >= end) return true;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return false;
}

bool hub_wire_ask(hub_wire *w, const http_ask *q, http_answer *a, err *e) {
    http_ask asked = *q;
    if (!asked.stopped) {
        asked.stopped = w->o.stopped;
        asked.ud = w->o.ud;
    }
    for (int n = 0;; n++) {
        bool ok = http_client_fetch(w->client, &asked, a, e);
        if (!hub_wire_passing(a) || n >= w->o.retries) return ok;
        double wait = hub_wire_pause_s(w, n, a);
        char why[64];
        hub_wire_tell_retry(w, hub_wire_why(a, w->o.stall_s, why), n, wait);
        if (!wait_for(w, wait)) return err_set(e, ERR_INTERRUPTED, "stopped");
        http_answer_deinit(a);
    }
}

/* What the body says, of the shapes that registries and Hugging Face have. "" where none. */
static void reason(const http_answer *a, char *dst, size_t cap) {
    json_t *j = json_loadb(a->body.data ? a->body.data : "", a->body.len, 0, NULL);
    const json_t *error = json_object_get(j, "error"), *first;
    const char *text = json_string_value(error);
    if (!text) text = json_string_value(json_object_get(error, "message"));
    first = json_array_get(json_object_get(j, "errors"), 0);
    if (!text) text = json_string_value(json_object_get(first, "message"));
    dst[0] = 0;
    if (text) str_printable(str_of(text), dst, cap);
    json_decref(j);
}

bool hub_wire_denied(const http_answer *a, const char *what, const char *advice, err *e) {
    if (!advice || !*advice || (a->status != 401 && a->status != 403))
        return hub_wire_refused(a, what, e);
    return err_set(e, ERR_DENIED, "%s: not allowed (%d): %s", what, a->status, advice);
}

bool hub_wire_refused(const http_answer *a, const char *what, err *e) {
    char said[200];
    reason(a, said, sizeof said);
    const char *colon = said[0] ? ": " : "";
    if (a->status == 404 || a->status == 410)
        return err_set(e, ERR_NOT_FOUND, "%s: not found there (%d)%s%s", what, a->status, colon,
                       said);
    if (a->status == 401 || a->status == 403)
        return err_set(e, ERR_DENIED, "%s: not allowed (%d)%s%s", what, a->status, colon, said);
    if (a->status == 429)
        return err_set(e, ERR_BUSY, "%s: too many requests for it (429)%s%s", what, colon, said);
    return err_set(e, a->status >= 500 ? ERR_NO_SERVER : ERR_FAILED, "%s: the server says %d%s%s",
                   what, a->status, colon, said);
}
