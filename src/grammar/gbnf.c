/* GBNF: rules as llama.cpp writes them. A rule is alternatives of elements: text, character sets,
 * other rules, groups, and repetitions. Parsed into one array of elements. Left recursion is
 * refused. Rules of Hearth's own (see grammar.h) have two elements more. */
#include <jansson.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "grammar/gbnf_private.h"
#include "grammar/lex.h"

typedef struct parser {
    gbnf *b;
    str src;
    size_t at;
    int depth;
    err *e;
    bool failed;
} parser;

static bool fail(parser *p, const char *what) {
    size_t line = 1;
    for (size_t i = 0; i < p->at && i < p->src.n; i++) line += p->src.p[i] == '\n';
    if (!p->failed) err_set(p->e, ERR_USAGE, "grammar, line %zu, byte %zu: %s", line, p->at, what);
    p->failed = true;
    return false;
}

#define GROW(list, count, room, limit)                                                             \
    do {                                                                                           \
        if ((count) == (room)) {                                                                   \
            uint32_t more = (room)*2 + 16;                                                         \
            void *mem = (count) >= (limit) ? NULL : realloc(list, more * sizeof *(list));          \
            if (!mem) return fail(p, "too large");                                                 \
            (list) = mem, (room) = more;                                                           \
        }                                                                                          \
    } while (0)

/* ---- lists of elements under construction ---- */

typedef struct run {
    element *v;
    uint32_t n, cap;
} run;

static bool run_add(parser *p, run *r, element x) {
    GROW(r->v, r->n, r->cap, LIMIT_GBNF_ELEMENTS);
    r->v[r->n++] = x;
    return true;
}

static bool add_range(parser *p, uint32_t lo, uint32_t hi) {
    gbnf *b = p->b;
    GROW(b->range, b->n_ranges, b->cap_ranges, LIMIT_GBNF_ELEMENTS);
    b->range[b->n_ranges++] = (dfa_range){lo, hi};
    return true;
}

static bool add_alternative(parser *p, uint32_t r, const run *x) {
    gbnf *b = p->b;
    rule *to = &b->rule[r];
    GROW(to->alt, to->n_alt, to->cap_alt, LIMIT_GBNF_ELEMENTS);
    to->alt[to->n_alt++] = b->n;
    for (uint32_t i = 0; i <= x->n; i++) {
        GROW(b->v, b->n, b->cap, LIMIT_GBNF_ELEMENTS);
        b->v[b->n++] = i < x->n ? x->v[i] : (element){OP_END, 0, 0};
    }
    return true;
}

/* The rule's index; new when it was never mentioned. An empty name: one of our own. */
static bool rule_of(parser *p, str name, uint32_t *out) {
    gbnf *b = p->b;
    for (uint32_t i = 0; name.n && i < b->n_rules; i++)
        if (str_eq(b->rule[i].name, name)) return *out = i, true;
    GROW(b->rule, b->n_rules, b->cap_rules, LIMIT_GBNF_ELEMENTS);
    b->rule[b->n_rules] = (rule){.name = name};
    *out = b->n_rules++;
    return true;
}

/* ---- parsing ---- */

static int peek(const parser *p) {
    return p->at < p->src.n ? (uint8_t)p->src.p[p->at] : -1;
}

/* White space and comments; line ends only where they mean nothing. */
static void skip(parser *p, bool lines) {
    for (;;) {
        int c = peek(p);
        if (c == '#')
            while (peek(p) >= 0 && peek(p) != '\n') p->at++;
        else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) p->at++;
        else return;
    }
}

static bool is_word(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static str word(parser *p) {
    size_t from = p->at;
    while (is_word(peek(p))) p->at++;
    return (str){p->src.p + from, p->at - from};
}

static bool character(parser *p, uint32_t *cp) {
    int n = utf8_decode(p->src.p + p->at, p->src.n - p->at, cp);
    if (n == 0) return fail(p, "not UTF-8, or the end");
    p->at += (size_t)n;
    if (*cp != '\\') return true;
    int c = peek(p);
    p->at++;
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    switch (c) {
    case 't': *cp = '\t'; return true;
    case 'r': *cp = '\r'; return true;
    case 'n': *cp = '\n'; return true;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^':
    case '/':
    case '\'': *cp = (uint32_t)c; return true;
    default: break;
    }
    if (!digits) return fail(p, "an escape that is not known");
    *cp = 0;
    for (int i = 0; i < digits; i++) {
        int d = peek(p) >= 0 ? lex_hex((uint8_t)peek(p)) : -1;
        if (d < 0) return fail(p, "a hexadecimal digit is missing");
        *cp = *cp << 4 | (uint32_t)d;
        p->at++;
    }
    return *cp <= DFA_MAX_CP || fail(p, "beyond Unicode");
}

static bool char_set(parser *p, run *out) {
    gbnf *b = p->b;
    bool negate = peek(p) == '^';
    if (negate) p->at++;
    uint32_t first = b->n_ranges;
    while (peek(p) != ']') {
        uint32_t lo, hi;
        if (!character(p, &lo)) return false;
        hi = lo;
        if (peek(p) == '-' && p->at + 1 < p->src.n && p->src.p[p->at + 1] != ']') {
            p->at++;
            if (!character(p, &hi)) return false;
            if (hi < lo) return fail(p, "a range that goes down");
        }
        if (!add_range(p, lo, hi)) return false;
    }
    p->at++;
    uint32_t n = b->n_ranges - first;
    if (negate) { /* the gaps between the ranges, sorted */
        dfa_range *r = b->range + first;
        for (uint32_t i = 1; i < n; i++)
            for (uint32_t k = i; k > 0 && r[k].lo < r[k - 1].lo; k--) {
                dfa_range t = r[k];
                r[k] = r[k - 1], r[k - 1] = t;
            }
        uint32_t from = 0, added = 0;
        for (uint32_t i = 0; i < n; i++) {
            dfa_range x = b->range[first + i];
            if (x.lo > from) {
                if (!add_range(p, from, x.lo - 1)) return false;
                added++;
            }
            if (x.hi + 1 > from) from = x.hi + 1;
        }
        if (from <= DFA_MAX_CP) {
            if (!add_range(p, from, DFA_MAX_CP)) return false;
            added++;
        }
        first += n, n = added;
    }
    return run_add(p, out, (element){OP_SET, first, n});
}

static bool alternatives(parser *p, uint32_t r, bool nested);

/* x{min,max} as rules: the optional ones nest to the right. */
static bool repeated(parser *p, run *out, uint32_t from, uint32_t min, uint32_t max) {
    uint32_t n = out->n - from;
    element *x = malloc((n + 1) * sizeof *x);
    bool ok = x || fail(p, "out of memory");
    if (ok && n) memcpy(x, out->v + from, n * sizeof *x);
    out->n = from;
    uint64_t size = (uint64_t)n * (max == UINT32_MAX ? min + 1u : max);
    if (ok && size > LIMIT_GBNF_ELEMENTS) ok = fail(p, "a repetition that is too large");
    for (uint32_t i = 0; ok && i < min; i++)
        for (uint32_t k = 0; ok && k < n; k++) ok = run_add(p, out, x[k]);
    if (ok && max == UINT32_MAX) { /* loop ::= x loop | nothing */
        uint32_t loop = 0;
        run body = {0}, nothing = {0};
        ok = rule_of(p, STR(""), &loop);
        for (uint32_t k = 0; ok && k < n; k++) ok = run_add(p, &body, x[k]);
        ok = ok && run_add(p, &body, (element){OP_RULE, loop, 0}) &&
             add_alternative(p, loop, &body) && add_alternative(p, loop, &nothing) &&
             run_add(p, out, (element){OP_RULE, loop, 0});
        if (ok) p->b->rule[loop].defined = true;
        free(body.v);
    } else {
        uint32_t rest = UINT32_MAX; /* opt ::= x rest | nothing */
        for (uint32_t i = min; ok && i < max; i++) {
            uint32_t opt = 0;
            run body = {0}, nothing = {0};
            ok = rule_of(p, STR(""), &opt);
            for (uint32_t k = 0; ok && k < n; k++) ok = run_add(p, &body, x[k]);
            if (ok && rest != UINT32_MAX) ok = run_add(p, &body, (element){OP_RULE, rest, 0});
            ok = ok && add_alternative(p, opt, &body) && add_alternative(p, opt, &nothing);
            if (ok) p->b->rule[opt].defined = true;
            free(body.v);
            rest = opt;
        }
        if (ok && rest != UINT32_MAX) ok = run_add(p, out, (element){OP_RULE, rest, 0});
    }
    free(x);
    return ok;
}

static bool number(parser *p, uint32_t *out) {
    uint64_t v = 0;
    size_t from = p->at;
    while (peek(p) >= '0' && peek(p) <= '9' && v < 1000000)
        v = v * 10 + (uint64_t)(p->src.p[p->at++] - '0');
    *out = (uint32_t)v;
    return p->at > from || fail(p, "a number is missing");
}

static bool repetition(parser *p, run *out, uint32_t from) {
    for (;;) {
        uint32_t min = 0, max = UINT32_MAX;
        int c = peek(p);
        if (c != '*' && c != '+' && c != '?' && c != '{') return true;
        p->at++;
        if (c == '+') min = 1;
        if (c == '?') max = 1;
        if (c == '{') {
            skip(p, true);
            if (peek(p) != ',' && !number(p, &min)) return false;
            max = min;
            skip(p, true);
            if (peek(p) == ',') {
                p->at++, max = UINT32_MAX;
                skip(p, true);
                if (peek(p) != '}' && !number(p, &max)) return false;
            }
            skip(p, true);
            if (peek(p) != '}') return fail(p, "a { without its }");
            p->at++;
            if (max < min) return fail(p, "a repetition whose maximum is below its minimum");
        }
        if (!repeated(p, out, from, min, max)) return false;
    }
}

/* ---- %json, %except, %text ---- */

/* The schema whose text begins here: it goes as far as its JSON does. NULL: said. */
static schema *schema_here(parser *p, const char *missing) {
    json_error_t je;
    skip(p, true);
    json_t *j = json_loadb(p->src.p + p->at, p->src.n - p->at,
                           JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &je);
    if (!j) return fail(p, missing), NULL;
    json_decref(j);
    str text = {p->src.p + p->at, (size_t)je.position};
    p->at += text.n;
    schema *s = schema_new(text, true, p->failed ? NULL : p->e);
    if (!s) p->failed = true; /* in the schema's own words */
    return s;
}

static bool json_item(parser *p, run *out) {
    gbnf *b = p->b;
    GROW(b->json, b->n_json, b->cap_json, LIMIT_GBNF_ELEMENTS);
    schema *s = schema_here(p, "no JSON behind %json");
    if (!s) return false;
    b->json[b->n_json++] = s;
    return run_add(p, out, (element){OP_JSON, b->n_json - 1, 0});
}

/* The texts that have the pattern nowhere in them. */
static dfa *without(str pattern, err *e) {
    dfa *has = dfa_regex(pattern, e);
    dfa *d = has ? dfa_combine(NULL, has, DFA_AND_NOT, e) : NULL;
    dfa_free(has);
    return d;
}

static void put_escaped(buf *pattern, uint32_t cp) {
    char text[4];
    if (cp > 0 && cp < 0x80 && strchr("\\^$.|?*+()[]{}/-", (int)cp)) buf_putc(pattern, '\\');
    buf_append(pattern, text, (size_t)utf8_encode(cp, text));
}

/* ("a" | "b") */
static bool literals(parser *p, buf *pattern) {
    do {
        p->at++; /* the ( or | */
        skip(p, true);
        if (peek(p) != '"') return fail(p, "%except takes texts in quotes");
        p->at++;
        size_t from = pattern->len;
        while (peek(p) != '"') {
            uint32_t cp;
            if (!character(p, &cp)) return false;
            put_escaped(pattern, cp);
        }
        if (pattern->len == from) return fail(p, "%except takes no empty text");
        p->at++;
        skip(p, true);
        if (peek(p) == '|') buf_putc(pattern, '|');
    } while (peek(p) == '|');
    if (peek(p) != ')') return fail(p, "a ( without its )");
    p->at++;
    return !pattern->failed || fail(p, "too large");
}

/* %text("...") {schema}: of the texts that d lets through, those that are strings by the schema. */
static dfa *by_schema(parser *p, dfa *d) {
    bool any = false;
    schema *s = schema_here(p, "no JSON behind %text");
    const dfa *lang = s ? schema_strings(s, schema_root(s), &any, p->e) : NULL;
    if (s && !any) {
        dfa *both = lang ? dfa_combine(d, lang, DFA_AND, p->e) : NULL;
        dfa_free(d);
        d = both;
        if ((!lang && !p->e->code) || (d && !d->start)) {
            err_set(p->e, ERR_USAGE, "%%text: no text can satisfy the schema");
            dfa_free(d);
            d = NULL;
        }
    }
    schema_free(s);
    if (s) return d;
    dfa_free(d);
    return NULL;
}

static bool free_item(parser *p, run *out, bool schemed) {
    gbnf *b = p->b;
    skip(p, true);
    if (peek(p) != '(') return fail(p, "%except and %text take a list in ( )");
    GROW(b->free_text, b->n_free, b->cap_free, LIMIT_GBNF_ELEMENTS);
    buf pattern;
    buf_init(&pattern, LIMIT_SCHEMA_BYTES);
    dfa *d = literals(p, &pattern) ? without(buf_str(&pattern), p->e) : NULL;
    buf_deinit(&pattern);
    if (d && schemed) d = by_schema(p, d);
    if (!d) {
        p->failed = true;
        return false;
    }
    b->free_text[b->n_free++] = d;
    return run_add(p, out, (element){OP_FREE, b->n_free - 1, 0});
}

static bool own_item(parser *p, run *out) {
    p->at++;
    str name = word(p);
    if (str_eq(name, STR("json"))) return json_item(p, out);
    if (str_eq(name, STR("except"))) return free_item(p, out, false);
    if (str_eq(name, STR("text"))) return free_item(p, out, true);
    return fail(p, "only %json, %except and %text begin with %");
}

/* One element with its repetition: appended to out. */
static bool item(parser *p, run *out) {
    uint32_t from = out->n, r = 0;
    int c = peek(p);
    if (c == '"') {
        p->at++;
        while (peek(p) != '"') {
            uint32_t cp;
            if (!character(p, &cp) || !add_range(p, cp, cp) ||
                !run_add(p, out, (element){OP_SET, p->b->n_ranges - 1, 1}))
                return false;
        }
        p->at++;
    } else if (c == '[') {
        p->at++;
        if (!char_set(p, out)) return false;
    } else if (c == '.') {
        p->at++;
        if (!add_range(p, 0, DFA_MAX_CP) ||
            !run_add(p, out, (element){OP_SET, p->b->n_ranges - 1, 1}))
            return false;
    } else if (c == '(') {
        p->at++;
        if (++p->depth > LIMIT_REGEX_DEPTH) return fail(p, "nested too deep");
        if (!rule_of(p, STR(""), &r)) return false;
        p->b->rule[r].defined = true;
        if (!alternatives(p, r, true)) return false;
        if (peek(p) != ')') return fail(p, "a ( without its )");
        p->at++, p->depth--;
        if (!run_add(p, out, (element){OP_RULE, r, 0})) return false;
    } else if (c == '%') {
        if (!own_item(p, out)) return false;
    } else {
        if (!rule_of(p, word(p), &r) || !run_add(p, out, (element){OP_RULE, r, 0})) return false;
    }
    skip(p, p->depth > 0);
    return repetition(p, out, from);
}

static bool starts_item(parser *p) {
    int c = peek(p);
    return c == '"' || c == '[' || c == '.' || c == '(' || is_word(c) || (c == '%' && p->b->rules);
}

static bool alternatives(parser *p, uint32_t r, bool nested) {
    for (;;) {
        run x = {0};
        bool ok = true;
        skip(p, true);
        while (ok && starts_item(p)) {
            ok = item(p, &x);
            skip(p, nested);
        }
        ok = ok && add_alternative(p, r, &x);
        free(x.v);
        if (!ok) return false;
        size_t back = p->at; /* a bar may stand on the next line */
        skip(p, true);
        if (peek(p) != '|') {
            if (!nested) p->at = back;
            return true;
        }
        p->at++;
    }
}

static bool rules(parser *p) {
    for (skip(p, true); peek(p) >= 0 && !p->failed; skip(p, true)) {
        str name = word(p);
        uint32_t r;
        if (!name.n) return fail(p, "a rule's name is missing");
        if (!rule_of(p, name, &r)) return false;
        if (p->b->rule[r].defined) return fail(p, "a rule that is there already");
        p->b->rule[r].defined = true;
        skip(p, true);
        if (p->src.n - p->at < 3 || memcmp(p->src.p + p->at, "::=", 3) != 0)
            return fail(p, "::= is missing");
        p->at += 3;
        if (!alternatives(p, r, false)) return false;
        skip(p, false);
        if (peek(p) >= 0 && peek(p) != '\n' && peek(p) != '\r')
            return fail(p, "something that is no element");
    }
    return !p->failed;
}

/* ---- checking ---- */

static void find_nullable(gbnf *b) {
    for (bool more = true; more;) {
        more = false;
        for (uint32_t r = 0; r < b->n_rules; r++)
            for (uint32_t k = 0; k < b->rule[r].n_alt && !b->rule[r].nullable; k++) {
                uint32_t i = b->rule[r].alt[k];
                while (gbnf_nullable(b, &b->v[i])) i++;
                if (b->v[i].kind == OP_END) b->rule[r].nullable = more = true;
            }
    }
}

/* A rule that may begin with itself would never get anywhere. Rules all of whose beginnings are
 * settled are settled; what cannot be settled leads back to itself. */
static bool left_recursive(const gbnf *b, uint8_t *settled, uint32_t *at) {
    for (bool more = true; more;) {
        more = false;
        for (uint32_t r = 0; r < b->n_rules; r++) {
            bool ok = !settled[r];
            for (uint32_t k = 0; k < b->rule[r].n_alt && ok; k++)
                for (uint32_t i = b->rule[r].alt[k]; ok; i++) {
                    if (b->v[i].kind == OP_RULE) ok = settled[b->v[i].a];
                    if (!gbnf_nullable(b, &b->v[i])) break;
                }
            if (ok) settled[r] = more = true;
        }
    }
    for (*at = 0; *at < b->n_rules; ++*at)
        if (!settled[*at]) return true;
    return false;
}

/* The first element from i on that nothing is known to stand for. */
static uint32_t skip_good(const gbnf *b, const uint8_t *good, uint32_t i) {
    for (;; i++) {
        const element *x = &b->v[i];
        bool ok = x->kind == OP_JSON || x->kind == OP_FREE || (x->kind == OP_SET && x->b) ||
                  (x->kind == OP_RULE && good[x->a]);
        if (!ok) return i;
    }
}

/* Drops alternatives that can never be completed, such as a rule that only ever calls itself. */
static bool productive(gbnf *b) {
    uint8_t *good = calloc(b->n_rules + 1u, 1);
    if (!good) return false;
    for (bool more = true; more;) {
        more = false;
        for (uint32_t r = 0; r < b->n_rules; r++)
            for (uint32_t k = 0; k < b->rule[r].n_alt && !good[r]; k++) {
                uint32_t i = skip_good(b, good, b->rule[r].alt[k]);
                if (b->v[i].kind == OP_END) good[r] = 1, more = true;
            }
    }
    for (uint32_t r = 0; r < b->n_rules; r++) {
        uint32_t kept = 0;
        for (uint32_t k = 0; k < b->rule[r].n_alt; k++) {
            uint32_t i = skip_good(b, good, b->rule[r].alt[k]);
            if (b->v[i].kind == OP_END) b->rule[r].alt[kept++] = b->rule[r].alt[k];
        }
        b->rule[r].n_alt = kept;
    }
    bool ok = good[b->root];
    free(good);
    return ok;
}

static bool check(gbnf *b, err *e) {
    bool found = false;
    for (uint32_t r = 0; r < b->n_rules; r++) {
        if (str_eq(b->rule[r].name, STR("root"))) b->root = r, found = true;
        if (!b->rule[r].defined)
            return err_set(e, ERR_USAGE, "grammar: the rule \"%.*s\" is used and never defined",
                           STR_ARG(b->rule[r].name));
    }
    if (!found) return err_set(e, ERR_USAGE, "grammar: there is no rule \"root\"");
    find_nullable(b);
    uint8_t *settled = calloc(b->n_rules, 1);
    uint32_t at = 0;
    bool ok = settled || err_set(e, ERR_NO_FIT, "out of memory");
    if (ok && left_recursive(b, settled, &at))
        ok = err_set(e, ERR_USAGE, "grammar: left recursion (through the rule \"%.*s\")",
                     STR_ARG(b->rule[at].name));
    free(settled);
    if (ok && !productive(b)) ok = err_set(e, ERR_USAGE, "grammar: no text can satisfy it");
    return ok;
}

gbnf *gbnf_parse(str text, bool rules_too, err *e) {
    gbnf *b = calloc(1, sizeof *b);
    if (b) b->text = malloc(text.n + 1);
    if (!b || !b->text) {
        err_set(e, ERR_NO_FIT, "out of memory");
        gbnf_free(b);
        return NULL;
    }
    memcpy(b->text, text.p, text.n);
    b->rules = rules_too;
    parser p = {.b = b, .src = {b->text, text.n}, .e = e};
    if (text.n > LIMIT_SCHEMA_BYTES) fail(&p, "too long");
    if (!p.failed && rules(&p) && check(b, e)) return b;
    gbnf_free(b);
    return NULL;
}

void gbnf_free(gbnf *b) {
    if (!b) return;
    for (uint32_t i = 0; i < b->n_rules; i++) free(b->rule[i].alt);
    for (uint32_t i = 0; i < b->n_json; i++) schema_free(b->json[i]);
    for (uint32_t i = 0; i < b->n_free; i++) dfa_free(b->free_text[i]);
    free(b->v), free(b->range), free(b->rule), free(b->text), free(b->json), free(b->free_text);
    free(b);
}

size_t gbnf_bytes(const gbnf *b) {
    size_t n = b->cap * sizeof *b->v + b->cap_ranges * sizeof *b->range +
               b->cap_rules * sizeof *b->rule;
    for (uint32_t i = 0; i < b->n_json; i++) n += schema_bytes(b->json[i]);
    for (uint32_t i = 0; i < b->n_free; i++) n += dfa_bytes(b->free_text[i]);
    return n;
}
