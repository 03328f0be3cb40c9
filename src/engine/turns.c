/* Shares and steps; see turns.h. */
#include "engine/turns.h"

#include <stdlib.h>
#include <string.h>

/* ---- owners ---- */

void turns_init(turns *t, double far) {
    *t = (turns){.far = far};
}

static void owner_unlink(turns *t, turns_owner *o) {
    turns_owner **at = &t->first;
    while (*at != o) at = &(*at)->next;
    *at = o->next;
    free(o->name);
    free(o);
}

void turns_deinit(turns *t) {
    while (t->first) owner_unlink(t, t->first);
}

/* The least account of those who have requests here; false: nobody has. */
static bool least_work(const turns *t, double *least) {
    bool any = false;
    for (const turns_owner *o = t->first; o; o = o->next) {
        if (o->n_requests == 0 || (any && o->work >= *least)) continue;
        *least = o->work;
        any = true;
    }
    return any;
}

/* Forgets owners without requests whose account says nothing any more. */
static void owners_forget(turns *t) {
    double least = 0;
    bool any = least_work(t, &least);
    for (turns_owner *o = t->first, *next; o; o = next) {
        next = o->next;
        if (o->n_requests == 0 && (!any || o->work <= least)) owner_unlink(t, o);
    }
}

turns_owner *turns_join(turns *t, const char *name, int32_t weight) {
    double least = 0;
    owners_forget(t);
    least_work(t, &least);
    turns_owner *o = t->first;
    while (o && strcmp(o->name, name) != 0) o = o->next;
    if (!o) {
        o = calloc(1, sizeof *o);
        if (!o || !(o->name = strdup(name))) {
            free(o);
            return NULL;
        }
        o->work = least;
        o->next = t->first;
        t->first = o;
    }
    o->weight = weight > 0 ? weight : 1;
    o->n_requests++;
    return o;
}

void turns_leave(turns *t, turns_owner *o) {
    if (o && --o->n_requests == 0) owners_forget(t);
}

double turns_work(const turns *t, int32_t pos, int32_t rows, bool decode) {
    double back = ((double)pos + 0.5 * (rows - 1)) / t->far;
    return rows * ((decode ? TURNS_DECODE : 1) + back);
}

void turns_charge(turns_owner *o, double work) {
    o->work += work / o->weight;
}

/* ---- one step ---- */

bool turns_before(int32_t rest_a, uint64_t passed_a, int32_t rest_b, uint64_t passed_b) {
    return 2 * (double)rest_a - (double)passed_a < 2 * (double)rest_b - (double)passed_b;
}

/* Longest unserved first; items come in order of age, which holds among equals. */
static void items_sort(turns_item *items, int32_t n) {
    for (int32_t i = 1; i < n; i++) {
        turns_item it = items[i];
        int32_t at = i;
        for (; at > 0 && items[at - 1].served > it.served; at--) items[at] = items[at - 1];
        items[at] = it;
    }
}

/* Decodes may take everything but one row when somebody prefills; of a single row, every other
 * turn. */
static int32_t decode_limit(const turns_limits *l, int32_t n_decode, int32_t n_prefill) {
    if (n_prefill == 0 || n_decode < l->rows) return l->rows;
    return l->rows > 1 ? l->rows - 1 : l->odd;
}

static int32_t deal_decodes(turns *t, turns_item *items, int32_t n, const turns_limits *l,
                            cost_shape *s) {
    int32_t n_decode = 0, dealt = 0;
    for (int32_t i = 0; i < n; i++) n_decode += items[i].rest == 1;
    int32_t limit = decode_limit(l, n_decode, n - n_decode);
    for (int32_t i = 0; i < n && dealt < limit; i++) {
        if (items[i].rest != 1) continue;
        items[i].rows = 1;
        dealt++;
        cost_add_rows(s, items[i].pos, 1);
        s->draws++;
        turns_charge(items[i].owner, turns_work(t, items[i].pos, 1, true));
    }
    return dealt;
}

static bool owner_before(const turns_owner *a, const turns_owner *b) {
    if (a->ending != b->ending) return a->ending;
    return a->work < b->work;
}

/* The one that gets the next rows of prefill; NULL: nobody wants any. */
static turns_item *prefill_next(turns_item *items, int32_t n) {
    turns_item *best = NULL;
    for (turns_item *i = items; i < items + n; i++) {
        if (i->rest <= 1 || i->rows == i->rest) continue;
        bool same = best && best->owner == i->owner;
        if (!best ||
            (same &&
             turns_before(i->rest - i->rows, i->passed, best->rest - best->rows, best->passed)) ||
            (!same && owner_before(i->owner, best->owner)))
            best = i;
    }
    return best;
}

/* Up to the next page's end; the rest when that is not more than half a page. */
static int32_t quantum(const turns_item *i, int32_t page) {
    int32_t at = i->pos + i->rows, left = i->rest - i->rows, some = page - at % page;
    return left <= some + page / 2 ? left : some;
}

static void pass_over(turns_item *items, int32_t n, const turns_item *chosen, int32_t rows) {
    for (turns_item *i = items; i < items + n; i++)
        if (i != chosen && i->owner == chosen->owner && i->rest > 1 && i->rows == 0)
            i->passed += (uint64_t)rows;
}

/* What prefill may make a step take whatever the limit: the time of `least` rows at the beginning
 * of a text, beside the decodes. Rows far back in a long one are fewer for it: what they look back
 * on is work of each, and nothing is gained by doing more of it at once. */
static double least_seconds(const cost *c, const cost_shape *decodes, int32_t least) {
    cost_shape with = *decodes;
    cost_add_rows(&with, 0, least);
    return cost_of(c, &with);
}

void turns_plan(turns *t, turns_item *items, int32_t n, const cost *c, const turns_limits *l) {
    cost_shape s = {0};
    for (int32_t i = 0; i < n; i++) items[i].rows = 0;
    items_sort(items, n);
    int32_t n_decode = deal_decodes(t, items, n, l, &s);
    int32_t room = l->rows - n_decode, dealt = 0;
    double limit_s = n_decode ? l->decode_s : l->idle_s;
    int32_t least = n_decode ? TURNS_LEAST_BESIDE : TURNS_LEAST_IDLE;
    double least_s = least_seconds(c, &s, least);
    turns_item *i;
    while (dealt < room && (i = prefill_next(items, n))) {
        int32_t left = i->rest - i->rows, turn = quantum(i, l->page), want = turn;
        int32_t pos = i->pos + i->rows;
        if (want > room - dealt) want = room - dealt;
        int32_t rows = cost_rows_within(c, &s, pos, want, limit_s);
        if (rows < want && dealt + rows < least) {
            int32_t most = want < least - dealt ? want : least - dealt;
            int32_t more = cost_rows_within(c, &s, pos, most, least_s);
            if (more > rows) rows = more;
            if (rows == 0 && dealt == 0) rows = 1;
        }
        i->owner->ending = turn == left && rows < left && i->rows + rows > 0;
        if (rows <= 0) break;
        i->rows += rows;
        dealt += rows;
        cost_add_rows(&s, pos, rows);
        s.draws += i->rows == i->rest;
        turns_charge(i->owner, turns_work(t, pos, rows, false));
        pass_over(items, n, i, rows);
        if (rows < want) break;
        if (i->rows == i->rest && !i->silent && limit_s > l->decode_s) { /* an answer begins */
            limit_s = l->decode_s;
            least = TURNS_LEAST_BESIDE;
            least_s = least_seconds(c, &(cost_shape){0}, least);
        }
    }
}

/* The one whose turn it is, of those that fit. */
static turns_item *whole_next(turns_item *items, int32_t n, int32_t room) {
    turns_item *best = NULL;
    for (turns_item *i = items; i < items + n; i++) {
        if (i->rows > 0 || i->rest > room) continue;
        bool same = best && best->owner == i->owner;
        if (!best || (same && turns_before(i->rest, i->passed, best->rest, best->passed)) ||
            (!same && i->owner->work < best->owner->work))
            best = i;
    }
    return best;
}

void turns_plan_whole(turns *t, turns_item *items, int32_t n, const cost *c,
                      const turns_limits *l) {
    cost_shape s = {0};
    int32_t room = l->rows;
    turns_item *i;
    for (int32_t k = 0; k < n; k++) items[k].rows = 0;
    items_sort(items, n);
    while (room > 0 && (i = whole_next(items, n, room))) {
        cost_shape with = s;
        with.rows += i->rest;
        with.context += (double)i->rest * i->rest;
        if (s.rows > 0 && cost_of(c, &with) > l->idle_s) return;
        s = with;
        i->rows = i->rest;
        room -= i->rest;
        turns_charge(i->owner, turns_work(t, i->rest, i->rest, false));
        pass_over(items, n, i, i->rest);
    }
}
