/* Elements that may not come twice, of arrays whose elements are no objects and no arrays.
 *
 * What is written of an element is kept as a text that is the same for equal values: a string by
 * its characters behind a quotation mark, a number by its digits and exponent behind a #, a word by
 * its first letter. Where few values are possible those that are left are counted, so that no
 * place is reached from which only values lead on that are there already. */
#include "grammar/match.h"
#include "grammar/schema_private.h"

static uint32_t add(uint32_t a, uint32_t b) {
    return a > DFA_MANY - b ? DFA_MANY : a + b;
}

static uint32_t number_values(const num_spec *n) {
    dec_wide far = dec_pow10(DEC_DIGITS + DEC_SCALE);
    return num_count(n, -far, far, true);
}

static bool refuse(schema *s, const arr_spec *a, const char *why, err *e) {
    return err_set(e, ERR_USAGE, "uniqueItems (in %s): %s", schema_path(s, a->unique), why);
}

bool unique_check(schema *s, const arr_spec *a, err *e) {
    if (!a->unique || a->max <= 1) return true;
    if (a->n_prefix || a->n_some)
        return refuse(s, a, "with prefixItems or contains it cannot be enforced", e);
    const canon *c = schema_expand(s, a->rest, e);
    if (!c) return false;
    if (c->n_arr || c->n_obj)
        return refuse(
            s, a, "can be enforced only where items are strings, numbers, true, false or null", e);
    for (uint32_t i = 0; i < c->n_str; i++) {
        if (c->str[i].lang && !schema_texts(s, c->str[i].lang))
            return err_set(e, ERR_NO_FIT, "the schema needs too much memory");
        if (c->n_str > 1 &&
            (!c->str[i].lang || c->str[i].lang->texts[c->str[i].lang->start] < DFA_MANY))
            return refuse(s, a, "with strings of several kinds it cannot be enforced", e);
    }
    for (uint32_t i = 0; i < c->n_num; i++)
        for (uint32_t k = 0; k < i; k++)
            if (number_values(&c->num[i]) < DFA_MANY && num_overlap(&c->num[i], &c->num[k]))
                return refuse(s, a, "with ranges of numbers that overlap it cannot be enforced", e);
    return true;
}

uint32_t unique_values(schema *s, const arr_spec *a) {
    const canon *c = schema_expand(s, a->rest, NULL);
    if (!c || c->n_arr || c->n_obj) return DFA_MANY;
    uint32_t n = (uint32_t)__builtin_popcount(c->lits);
    for (uint32_t i = 0; i < c->n_num; i++) n = add(n, number_values(&c->num[i]));
    for (uint32_t i = 0; i < c->n_str; i++) {
        const uint32_t *texts = c->str[i].lang ? schema_texts(s, c->str[i].lang) : NULL;
        n = add(n, texts ? texts[c->str[i].lang->start] : c->str[i].max ? DFA_MANY : 1);
    }
    return n;
}

/* ---- strings ---- */

bool unique_string_lives(const place *c) {
    const dfa *d = c->str->lang;
    uint32_t n = d ? d->texts[c->state] : c->count < c->str->max ? DFA_MANY : 1;
    if (n == DFA_MANY || n > written_set_count(c->up->used)) return n > 0;
    return n > written_set_below(c->up->used, c->text);
}

bool unique_string_lives_between(const place *c, uint32_t lo, uint32_t hi) {
    const dfa *d = c->str->lang;
    uint32_t left = c->str->max - c->count, n;
    if (d) n = dfa_count_between(d, d->texts, c->state, lo, hi);
    else n = left == 0 ? 0 : left > 1 ? DFA_MANY : hi - lo + 1;
    if (n == DFA_MANY || n > written_set_count(c->up->used)) return n > 0;
    return n > written_set_between(c->up->used, c->text, lo, hi);
}

/* ---- numbers ---- */

const written *unique_number(pool *p, const written *raw) {
    uint32_t n = written_length(raw), *cp = pool_alloc(p, (n + 1) * sizeof *cp);
    if (!cp) return NULL;
    written_copy(raw, cp);
    bool negative = false, point = false;
    int64_t exponent = 0, given = 0, noughts = 0;
    uint32_t at = 0;
    if (at < n && cp[at] == '-') negative = true, at++;
    const written *zero = written_add(p, written_add(p, NULL, '#'), negative ? '-' : '+');
    const written *digits = zero, *t = NULL;
    for (; at < n && cp[at] != 'e' && cp[at] != 'E'; at++) {
        if (cp[at] == '.') {
            point = true;
            continue;
        }
        exponent -= point;
        if (cp[at] == '0') {
            noughts++;
            continue;
        }
        for (; noughts > 0; noughts--) /* not those in front */
            if (digits != zero) digits = written_add(p, digits, '0');
        digits = written_add(p, digits, cp[at]);
    }
    exponent += noughts;
    if (at < n) at++;
    bool down = at < n && cp[at] == '-';
    if (at < n && (cp[at] == '-' || cp[at] == '+')) at++;
    for (; at < n; at++)
        if (given < INT32_MAX) given = given * 10 + (cp[at] - '0');
    exponent += down ? -given : given;
    if (digits == zero) return written_add(p, NULL, '#'); /* 0 and -0 are one */
    t = written_add(p, digits, 'e');
    t = written_add(p, t, (uint32_t)((uint64_t)exponent >> 32));
    return written_add(p, t, (uint32_t)exponent);
}

/* Its value at DEC_SCALE; false: not a number, or one too long for that. */
static bool value_of(const written *t, dec_wide *out) {
    if (t && t->cp == '#' && t->n == 1) return *out = 0, true;
    if (written_length(t) < 6) return false;
    int64_t exponent = (int64_t)((uint64_t)t->before->cp << 32 | t->cp) + DEC_SCALE;
    const written *d = t->before->before->before;
    dec_wide m = 0, unit = 1;
    if (exponent < 0 || exponent + d->n > DEC_DIGITS + DEC_SCALE + 2) return false;
    unit = dec_pow10((int)exponent);
    for (; d->cp >= '0' && d->cp <= '9'; d = d->before) m += unit * (d->cp - '0'), unit *= 10;
    if (d->n != 2 || d->before->cp != '#') return false;
    *out = d->cp == '-' ? -m : m;
    return true;
}

uint32_t unique_numbers_in(const written_set *used, const num_spec *n, bool mirror, dec_wide lo,
                           dec_wide hi) {
    uint32_t taken = 0;
    for (; used; used = used->older)
        for (uint32_t i = 0; i < used->n; i++) {
            dec_wide v;
            if (!value_of(used->v[i], &v)) continue;
            if (mirror) v = -v;
            taken += v >= lo && v < hi && num_is(n, v);
        }
    return taken;
}
