/* ECMA-262 regular expressions to automata: parse to a tree, Thompson's construction, subsets.
 * Anchors are ordinary edges that only open at the text's start or end, so they may stand anywhere.
 * Look-ahead is taken at the pattern's very start, as an intersection with what follows. */
#include <stdlib.h>
#include <utf8proc.h>

#include "base/arena.h"
#include "base/limits.h"
#include "grammar/dfa.h"

typedef enum node_kind { N_EMPTY, N_SET, N_CAT, N_ALT, N_REPEAT, N_BEGIN, N_END } node_kind;

typedef struct node {
    node_kind kind;
    struct node *a, *b;
    int32_t min, max; /* REPEAT; max -1: no limit */
    int32_t set;      /* SET */
} node;

typedef struct charset {
    dfa_range *r; /* ascending, disjoint, not touching */
    size_t n;
} charset;

typedef struct ahead {
    node *tree;
    bool negative;
    struct ahead *next;
} ahead;

typedef struct parser {
    str src;
    size_t at;
    int depth;
    arena *mem;
    charset *set;
    size_t n_sets, cap_sets;
    ahead *aheads;
    err *e;
    bool failed;
} parser;

static node *fail(parser *p, const char *what) {
    if (!p->failed) {
        char shown[160];
        str_printable(p->src, shown, sizeof shown);
        err_set(p->e, ERR_USAGE, "pattern \"%s\", byte %zu: %s", shown, p->at, what);
    }
    p->failed = true;
    return NULL;
}

static node *make(parser *p, node_kind kind, node *a, node *b) {
    node *n = arena_alloc(p->mem, sizeof *n);
    if (!n) return fail(p, "too long");
    n->kind = kind, n->a = a, n->b = b;
    return n;
}

/* ---- sets of code points ---- */

typedef struct set_builder {
    dfa_range *r;
    size_t n, cap;
    bool failed;
} set_builder;

static void set_add(set_builder *b, uint32_t lo, uint32_t hi) {
    if (b->n == b->cap) {
        size_t cap = b->cap * 2 + 16;
        dfa_range *r = realloc(b->r, cap * sizeof *r);
        if (!r) {
            b->failed = true;
            return;
        }
        b->r = r, b->cap = cap;
    }
    b->r[b->n++] = (dfa_range){lo, hi};
}

static int range_order(const void *a, const void *b) {
    const dfa_range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

static void set_normalise(set_builder *b, bool negate) {
    if (b->n) qsort(b->r, b->n, sizeof *b->r, range_order);
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (n && b->r[i].lo <= b->r[n - 1].hi + 1) {
            if (b->r[i].hi > b->r[n - 1].hi) b->r[n - 1].hi = b->r[i].hi;
        } else b->r[n++] = b->r[i];
    }
    b->n = n;
    if (!negate) return;
    set_builder c = {0};
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (b->r[i].lo > from) set_add(&c, from, b->r[i].lo - 1);
        from = b->r[i].hi + 1;
    }
    if (from <= DFA_MAX_CP) set_add(&c, from, DFA_MAX_CP);
    free(b->r);
    bool failed = b->failed || c.failed;
    *b = c;
    b->failed = failed;
}

static void set_append(set_builder *b, const set_builder *o) {
    for (size_t i = 0; i < o->n; i++) set_add(b, o->r[i].lo, o->r[i].hi);
}

/* \d \w \s and, upper case, their complements. */
static void set_add_escape(set_builder *b, char c) {
    set_builder s = {0};
    char kind = (char)(c | 0x20);
    if (kind == 'd' || kind == 'w') set_add(&s, '0', '9');
    if (kind == 'w') set_add(&s, 'A', 'Z'), set_add(&s, '_', '_'), set_add(&s, 'a', 'z');
    if (kind == 's') {
        static const dfa_range space[] = {{9, 13},          {32, 32},         {0xA0, 0xA0},
                                          {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
                                          {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
                                          {0xFEFF, 0xFEFF}};
        for (size_t i = 0; i < sizeof space / sizeof *space; i++)
            set_add(&s, space[i].lo, space[i].hi);
    }
    set_normalise(&s, c != kind);
    set_append(b, &s);
    free(s.r);
}

/* \p{Lu}, \p{L}, \p{Letter}, \p{gc=L}: general categories; \p{ASCII}, \p{Any}, \p{Alphabetic}. */
static bool category_matches(str name, utf8proc_category_t c, uint32_t cp) {
    static const char short_name[][3] = {
        "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
        "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
    if (str_eq(name, STR("Any"))) return true;
    if (str_eq(name, STR("ASCII"))) return cp < 128;
    const char *got = short_name[c];
    if (name.n == 1) return got[0] == name.p[0];
    return name.n == 2 && got[0] == name.p[0] && got[1] == name.p[1];
}

static const struct {
    const char *name, *code;
} category_names[] = {{"Letter", "L"},
                      {"Uppercase_Letter", "Lu"},
                      {"Lowercase_Letter", "Ll"},
                      {"Mark", "M"},
                      {"Number", "N"},
                      {"Decimal_Number", "Nd"},
                      {"digit", "Nd"},
                      {"Punctuation", "P"},
                      {"punct", "P"},
                      {"Symbol", "S"},
                      {"Separator", "Z"},
                      {"Space_Separator", "Zs"},
                      {"Other", "C"},
                      {"Control", "Cc"},
                      {"cntrl", "Cc"}};

static bool set_add_property(parser *p, set_builder *b, bool negate) {
    size_t end = p->at < p->src.n && p->src.p[p->at] == '{' ? str_find(p->src, STR("}"), p->at)
                                                            : (size_t)-1;
    if (end == (size_t)-1) return fail(p, "\\p wants a property in braces"), false;
    str name = {p->src.p + p->at + 1, end - p->at - 1};
    size_t eq = str_find(name, STR("="), 0);
    if (eq != (size_t)-1) {
        str key = {name.p, eq};
        if (!str_eq(key, STR("gc")) && !str_eq(key, STR("General_Category")))
            return fail(p, "only general categories are supported by \\p"), false;
        name.p += eq + 1, name.n -= eq + 1;
    }
    for (size_t i = 0; i < sizeof category_names / sizeof *category_names; i++)
        if (str_eq(name, str_of(category_names[i].name))) name = str_of(category_names[i].code);
    set_builder s = {0};
    bool in = false;
    uint32_t from = 0;
    for (uint32_t cp = 0; cp <= DFA_MAX_CP + 1; cp++) {
        bool is = cp <= DFA_MAX_CP && category_matches(name, utf8proc_category((int32_t)cp), cp);
        if (is && !in) from = cp;
        if (!is && in) set_add(&s, from, cp - 1);
        in = is;
    }
    if (s.n == 0) return fail(p, "a \\p property that is not known"), false;
    set_normalise(&s, negate);
    set_append(b, &s);
    free(s.r);
    p->at = end + 1;
    return true;
}

/* Keeps a set and returns a node for it; equal sets share an index. */
static node *set_node(parser *p, set_builder *b) {
    node *n = NULL;
    if (b->failed) fail(p, "out of memory");
    for (size_t i = 0; !p->failed && i < p->n_sets; i++)
        if (p->set[i].n == b->n && (b->n == 0 || !memcmp(p->set[i].r, b->r, b->n * sizeof *b->r))) {
            n = make(p, N_SET, NULL, NULL);
            if (n) n->set = (int32_t)i;
            free(b->r);
            return n;
        }
    if (!p->failed && p->n_sets == p->cap_sets) {
        size_t cap = p->cap_sets * 2 + 16;
        charset *s = realloc(p->set, cap * sizeof *s);
        if (s) p->set = s, p->cap_sets = cap;
        else fail(p, "out of memory");
    }
    dfa_range *r = p->failed ? NULL : arena_calloc(p->mem, b->n + 1, sizeof *r);
    if (r) {
        if (b->n) memcpy(r, b->r, b->n * sizeof *r);
        p->set[p->n_sets] = (charset){r, b->n};
        n = make(p, N_SET, NULL, NULL);
        if (n) n->set = (int32_t)p->n_sets++;
    } else fail(p, "too long");
    free(b->r);
    return n;
}

/* ---- parsing ---- */

static bool more(const parser *p) {
    return p->at < p->src.n;
}

static bool eat(parser *p, const char *s) {
    size_t n = strlen(s);
    if (p->src.n - p->at < n || memcmp(p->src.p + p->at, s, n) != 0) return false;
    p->at += n;
    return true;
}

static uint32_t next_cp(parser *p) {
    uint32_t cp = 0;
    int n = utf8_decode(p->src.p + p->at, p->src.n - p->at, &cp);
    if (n == 0) fail(p, "not UTF-8");
    p->at += n ? (size_t)n : 1;
    return cp;
}

static uint32_t hex(parser *p, int digits) {
    uint32_t v = 0;
    for (int i = 0; i < digits; i++) {
        int c = more(p) ? p->src.p[p->at++] : 0;
        int d = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87
                                                     : -1;
        if (d < 0) return fail(p, "a hexadecimal digit is missing"), 0;
        v = v * 16 + (uint32_t)d;
    }
    return v;
}

static uint32_t unicode_escape(parser *p) {
    if (eat(p, "{")) {
        uint32_t v = 0;
        while (more(p) && p->src.p[p->at] != '}' && v <= DFA_MAX_CP) v = v * 16 + hex(p, 1);
        if (!eat(p, "}") || v > DFA_MAX_CP) fail(p, "\\u{...} beyond Unicode or without an end");
        return v;
    }
    uint32_t v = hex(p, 4);
    if (v >= 0xD800 && v < 0xDC00 && eat(p, "\\u")) {
        uint32_t low = hex(p, 4);
        if (low < 0xDC00 || low > 0xDFFF) fail(p, "half a surrogate pair");
        v = 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00);
    }
    return v;
}

/* After a backslash. A class (\d) is added to b and true returned; else *cp is the character. */
static bool escape(parser *p, set_builder *b, uint32_t *cp, bool in_class) {
    if (!more(p)) return fail(p, "a backslash at the end"), false;
    uint32_t c = next_cp(p);
    switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
    case 's':
    case 'S': set_add_escape(b, (char)c); return true;
    case 'p':
    case 'P': return set_add_property(p, b, c == 'P');
    case 't': c = '\t'; break;
    case 'n': c = '\n'; break;
    case 'r': c = '\r'; break;
    case 'f': c = '\f'; break;
    case 'v': c = '\v'; break;
    case 'a': c = '\a'; break;
    case '0': c = 0; break;
    case 'x': c = hex(p, 2); break;
    case 'u': c = unicode_escape(p); break;
    case 'c': c = next_cp(p) & 31; break;
    case 'A':
    case 'Z':
    case 'z': fail(p, "\\A, \\Z and \\z are not of this dialect: use ^ and $"); break;
    case 'b':
        if (in_class) c = '\b';
        else fail(p, "\\b (word boundary) is not supported");
        break;
    case 'B': fail(p, "\\B is not supported"); break;
    case 'k': fail(p, "back references are not supported"); break;
    default:
        if (c >= '1' && c <= '9') fail(p, "back references are not supported");
    }
    *cp = c;
    return false;
}

static node *char_class(parser *p) {
    set_builder b = {0};
    bool negate = eat(p, "^");
    while (more(p) && p->src.p[p->at] != ']' && !p->failed) {
        uint32_t lo = 0, hi = 0;
        if (eat(p, "\\")) {
            if (escape(p, &b, &lo, true)) continue;
        } else lo = next_cp(p);
        hi = lo;
        if (p->at + 1 < p->src.n && p->src.p[p->at] == '-' && p->src.p[p->at + 1] != ']') {
            size_t dash = p->at++;
            bool set = false;
            if (eat(p, "\\")) set = escape(p, &b, &hi, true);
            else hi = next_cp(p);
            if (set) { /* "a-\d": the dash is itself */
                set_add(&b, '-', '-');
                hi = lo;
            } else if (hi < lo) {
                p->at = dash;
                fail(p, "a range that goes down");
            }
        }
        set_add(&b, lo, hi);
    }
    if (!eat(p, "]")) fail(p, "a [ without its ]");
    set_normalise(&b, negate);
    return set_node(p, &b);
}

static node *parse_alt(parser *p);

static node *group(parser *p) {
    if (++p->depth > LIMIT_REGEX_DEPTH) return fail(p, "nested too deep");
    if (eat(p, "?:")) {
    } else if (eat(p, "?<") || eat(p, "?P<")) {
        if (more(p) && (p->src.p[p->at] == '=' || p->src.p[p->at] == '!'))
            return fail(p, "look-behind is not supported");
        size_t end = str_find(p->src, STR(">"), p->at);
        if (end == (size_t)-1) return fail(p, "a group's name without its >");
        p->at = end + 1;
    } else if (more(p) && p->src.p[p->at] == '?')
        return fail(p, "look-ahead is supported only at the pattern's start; flags are not");
    node *n = parse_alt(p);
    if (!eat(p, ")")) return fail(p, "a ( without its )");
    p->depth--;
    return n;
}

static node *atom(parser *p) {
    set_builder b = {0};
    if (eat(p, "(")) return group(p);
    if (eat(p, "[")) return char_class(p);
    if (eat(p, "^")) return make(p, N_BEGIN, NULL, NULL);
    if (eat(p, "$")) return make(p, N_END, NULL, NULL);
    if (eat(p, ".")) { /* anything but a line's end */
        set_add(&b, '\n', '\n'), set_add(&b, '\r', '\r'), set_add(&b, 0x2028, 0x2029);
        set_normalise(&b, true);
        return set_node(p, &b);
    }
    uint32_t cp = 0;
    if (eat(p, "\\")) {
        if (!escape(p, &b, &cp, false)) set_add(&b, cp, cp);
        set_normalise(&b, false);
        return set_node(p, &b);
    }
    char c = p->src.p[p->at];
    if (c == '*' || c == '+' || c == '?') return fail(p, "nothing to repeat");
    cp = next_cp(p);
    set_add(&b, cp, cp);
    return set_node(p, &b);
}

/* {n}, {n,}, {n,m}; anything else leaves p where it is: a literal brace. */
static bool braces(parser *p, int32_t *min, int32_t *max) {
    size_t at = p->at + 1, start = at;
    int64_t v[2] = {0, -1};
    while (at < p->src.n && p->src.p[at] >= '0' && p->src.p[at] <= '9' && v[0] < 1000000)
        v[0] = v[0] * 10 + (p->src.p[at++] - '0');
    if (at == start) return false;
    if (at < p->src.n && p->src.p[at] == ',') {
        start = ++at;
        int64_t m = 0;
        while (at < p->src.n && p->src.p[at] >= '0' && p->src.p[at] <= '9' && m < 1000000)
            m = m * 10 + (p->src.p[at++] - '0');
        if (at > start) v[1] = m;
    } else v[1] = v[0];
    if (at >= p->src.n || p->src.p[at] != '}') return false;
    p->at = at + 1;
    *min = (int32_t)v[0], *max = (int32_t)v[1];
    return true;
}

static node *repeat(parser *p) {
    node *n = atom(p);
    while (n && more(p)) {
        int32_t min = 0, max = -1;
        char c = p->src.p[p->at];
        if (c == '*') p->at++;
        else if (c == '+') p->at++, min = 1;
        else if (c == '?') p->at++, max = 1;
        else if (c != '{' || !braces(p, &min, &max)) break;
        if (max >= 0 && max < min)
            return fail(p, "a repetition whose maximum is below its minimum");
        eat(p, "?"); /* lazy: the same language */
        n = make(p, N_REPEAT, n, NULL);
        if (n) n->min = min, n->max = max;
    }
    return n;
}

static node *parse_cat(parser *p) {
    node *all = NULL;
    while (!p->failed && more(p) && p->src.p[p->at] != '|' && p->src.p[p->at] != ')') {
        node *n = repeat(p);
        all = all ? make(p, N_CAT, all, n) : n;
    }
    return all ? all : make(p, N_EMPTY, NULL, NULL);
}

static node *parse_alt(parser *p) {
    node *n = parse_cat(p);
    while (!p->failed && eat(p, "|")) n = make(p, N_ALT, n, parse_cat(p));
    return n;
}

/* "^(?=x)(?!y)rest": each look-ahead is kept as a tree of its own. */
static node *parse_pattern(parser *p) {
    bool anchored = eat(p, "^");
    while (!p->failed && (eat(p, "(?=") || eat(p, "(?!"))) {
        bool negative = p->src.p[p->at - 1] == '!';
        ahead *a = arena_alloc(p->mem, sizeof *a);
        if (!a) return fail(p, "too long");
        if (!anchored) return fail(p, "look-ahead needs ^ in front of it");
        a->tree = parse_alt(p);
        a->negative = negative;
        a->next = p->aheads;
        p->aheads = a;
        if (!eat(p, ")")) return fail(p, "a ( without its )");
    }
    bool looks = p->aheads != NULL;
    if (anchored && !looks) p->at = 0; /* an ordinary ^, parsed with the rest */
    node *n = parse_alt(p);
    if (looks && !p->failed) {
        for (size_t i = 0, depth = 0; i < p->src.n; i++) { /* "^(?=a)b|c" would bind otherwise */
            if (p->src.p[i] == '\\') i++;
            else if (p->src.p[i] == '(') depth++;
            else if (p->src.p[i] == ')') depth--;
            else if (p->src.p[i] == '|' && depth == 0)
                return fail(p, "look-ahead beside a | is not supported");
        }
        n = make(p, N_CAT, make(p, N_BEGIN, NULL, NULL), n);
    }
    if (!p->failed && more(p)) return fail(p, "a ) without its (");
    return n;
}

/* ---- Thompson's construction ---- */

typedef struct edge_node {
    int32_t set;      /* >= 0: consumes; -1: empty; -2: only at the start; -3: only at the end */
    int32_t out, alt; /* alt: second way of an empty one, or -1 */
} edge_node;

typedef struct nfa {
    edge_node *v;
    int32_t n, cap, match;
    bool failed;
} nfa;

static int32_t nfa_add(nfa *g, int32_t set, int32_t out, int32_t alt) {
    if (g->n == g->cap) {
        int32_t cap = g->cap * 2 + 64;
        edge_node *v = g->n >= LIMIT_REGEX_NODES ? NULL : realloc(g->v, sizeof *v * (size_t)cap);
        if (!v) {
            g->failed = true;
            return 0;
        }
        g->v = v, g->cap = cap;
    }
    g->v[g->n] = (edge_node){set, out, alt};
    return g->n++;
}

/* Builds backwards: the fragment for n that goes on at `out`; returns its entry. */
static int32_t nfa_build(nfa *g, const node *n, int32_t out) {
    if (g->failed) return 0;
    switch (n->kind) {
    case N_EMPTY: return out;
    case N_SET: return nfa_add(g, n->set, out, -1);
    case N_BEGIN: return nfa_add(g, -2, out, -1);
    case N_END: return nfa_add(g, -3, out, -1);
    case N_CAT: return nfa_build(g, n->a, nfa_build(g, n->b, out));
    case N_ALT: {
        int32_t a = nfa_build(g, n->a, out), b = nfa_build(g, n->b, out);
        return nfa_add(g, -1, a, b);
    }
    case N_REPEAT: break;
    }
    int32_t at = out;
    if (n->max < 0) {
        int32_t loop = nfa_add(g, -1, out, out);
        int32_t body = nfa_build(g, n->a, loop);
        if (g->failed) return 0;
        g->v[loop].alt = body;
        at = loop;
    } else
        for (int32_t i = n->min; i < n->max && !g->failed; i++)
            at = nfa_add(g, -1, nfa_build(g, n->a, at), out);
    for (int32_t i = 0; i < n->min && !g->failed; i++) at = nfa_build(g, n->a, at);
    return at;
}

/* ---- subsets ---- */

typedef struct subset {
    const nfa *g;
    const charset *set;
    const uint32_t *class_cp; /* a member of each class */
    uint8_t *mark;            /* [g->n] */
    int32_t *list, *stack;    /* [g->n] */
    size_t n_list;
    uint64_t work;
} subset;

static bool set_has(const charset *s, uint32_t cp) {
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->r[mid].hi < cp) lo = mid + 1;
        else hi = mid;
    }
    return lo < s->n && s->r[lo].lo <= cp;
}

static void close_over(subset *b, int32_t from, bool at_start, bool at_end) {
    size_t top = 0;
    if (b->mark[from]) return;
    b->mark[from] = 1;
    b->stack[top++] = from;
    while (top) {
        int32_t i = b->stack[--top];
        const edge_node *v = &b->g->v[i];
        b->list[b->n_list++] = i;
        bool open = v->set == -1 || (v->set == -2 && at_start) || (v->set == -3 && at_end);
        int32_t to[2] = {v->out, v->set == -1 ? v->alt : -1};
        for (int k = 0; open && k < 2; k++)
            if (to[k] >= 0 && !b->mark[to[k]]) b->mark[to[k]] = 1, b->stack[top++] = to[k];
    }
}

static int int_order(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Keeps what matters: nodes that consume, wait for the end, or match. */
static size_t settle(subset *b) {
    size_t n = 0;
    for (size_t i = 0; i < b->n_list; i++) {
        int32_t v = b->list[i];
        b->mark[v] = 0;
        b->work += 1;
        if (b->g->v[v].set >= 0 || b->g->v[v].set == -3 || v == b->g->match) b->list[n++] = v;
    }
    b->work += 4 * n; /* in sorting */
    qsort(b->list, n, sizeof *b->list, int_order);
    return b->n_list = n;
}

static size_t subset_step(void *ud, const int32_t *from, size_t n, int cls, const int32_t **to) {
    subset *b = ud;
    b->n_list = 0;
    for (size_t i = 0; i < n; i++) {
        const edge_node *v = &b->g->v[from[i]];
        if (v->set >= 0 && set_has(&b->set[v->set], b->class_cp[cls]))
            close_over(b, v->out, false, false);
    }
    *to = b->list;
    return settle(b);
}

static bool subset_accepts(void *ud, const int32_t *state, size_t n) {
    subset *b = ud;
    b->n_list = 0;
    for (size_t i = 0; i < n; i++) close_over(b, state[i], false, true);
    bool yes = b->mark[b->g->match];
    settle(b);
    return yes;
}

static int cut_order(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Cuts all code points where any set begins or ends; equal columns share a class. */
static bool classify(const parser *p, dfa_source *s, uint32_t **lo, uint16_t **cls,
                     uint32_t **class_cp) {
    size_t n = 1;
    for (size_t i = 0; i < p->n_sets; i++) n += 2 * p->set[i].n;
    uint32_t *cut = malloc(n * sizeof *cut);
    *cls = malloc(n * sizeof **cls);
    *class_cp = malloc(n * sizeof **class_cp);
    *lo = cut;
    if (!cut || !*cls || !*class_cp) return false;
    size_t at = 0;
    cut[at++] = 0;
    for (size_t i = 0; i < p->n_sets; i++)
        for (size_t k = 0; k < p->set[i].n; k++) {
            cut[at++] = p->set[i].r[k].lo;
            if (p->set[i].r[k].hi < DFA_MAX_CP) cut[at++] = p->set[i].r[k].hi + 1;
        }
    qsort(cut, at, sizeof *cut, cut_order);
    size_t m = 0;
    for (size_t i = 0; i < at; i++)
        if (i == 0 || cut[i] != cut[i - 1]) cut[m++] = cut[i];
    size_t words = (p->n_sets + 63) / 64, n_classes = 0;
    uint64_t *sign = calloc(m * words + 1, sizeof *sign);
    if (!sign || m > UINT16_MAX) {
        free(sign);
        return false;
    }
    for (size_t i = 0; i < m; i++) {
        uint64_t *mine = sign + n_classes * words;
        memset(mine, 0, words * sizeof *mine);
        for (size_t k = 0; k < p->n_sets; k++)
            if (set_has(&p->set[k], cut[i])) mine[k / 64] |= 1ull << (k % 64);
        size_t c = 0;
        while (c < n_classes && memcmp(sign + c * words, mine, words * sizeof *mine) != 0) c++;
        if (c == n_classes) (*class_cp)[n_classes++] = cut[i];
        (*cls)[i] = (uint16_t)c;
    }
    free(sign);
    s->n_ranges = (int32_t)m, s->n_classes = (int32_t)n_classes;
    s->lo = cut, s->class_of = *cls;
    return true;
}

/* `search`: the tree may match anywhere; else the whole text. `tail`: anything may follow. */
static dfa *tree_dfa(parser *p, const node *tree, bool search, bool tail, err *e) {
    nfa g = {0};
    subset b = {.g = &g};
    uint32_t *lo = NULL, *class_cp = NULL;
    uint16_t *cls = NULL;
    dfa *d = NULL;
    set_builder any = {0};
    set_add(&any, 0, DFA_MAX_CP);
    node *every = set_node(p, &any);
    dfa_source s = {.ud = &b, .step = subset_step, .accepts = subset_accepts, .work = &b.work};
    if (!every) return NULL;
    g.match = nfa_add(&g, -1, -1, -1);
    int32_t out = g.match;
    if (tail) {
        out = nfa_add(&g, -1, g.match, -1);
        int32_t any_loop = nfa_add(&g, every->set, out, -1);
        if (!g.failed) g.v[out].alt = any_loop;
    }
    int32_t entry = nfa_build(&g, tree, out), start = entry;
    if (search) {
        start = nfa_add(&g, -1, entry, -1);
        int32_t any_loop = nfa_add(&g, every->set, start, -1);
        if (!g.failed) g.v[start].alt = any_loop;
    }
    size_t n = (size_t)g.n + 1;
    b.mark = calloc(n, 1);
    b.list = malloc(n * sizeof *b.list);
    b.stack = malloc(n * sizeof *b.stack);
    if (g.failed) {
        fail(p, "too large once its repetitions are written out");
    } else if (!b.mark || !b.list || !b.stack || !classify(p, &s, &lo, &cls, &class_cp)) {
        err_set(e, ERR_NO_FIT, "pattern: out of memory");
    } else {
        b.set = p->set;
        b.class_cp = class_cp;
        close_over(&b, start, true, false);
        size_t m = settle(&b);
        int32_t *first = malloc((m + 1) * sizeof *first);
        if (first) {
            memcpy(first, b.list, m * sizeof *first);
            /* An empty text is at its start and its end at once. */
            d = dfa_explore(&s, first, m, e);
        }
        free(first);
        if (d && d->start) {
            b.n_list = 0;
            close_over(&b, start, true, true);
            bool empty_matches = b.mark[g.match];
            settle(&b);
            if (empty_matches != (bool)d->accept[d->start]) {
                dfa *empty = dfa_length(0, 0, e);
                dfa *both = empty ? dfa_combine(d, empty, empty_matches ? DFA_OR : DFA_AND_NOT, e)
                                  : NULL;
                dfa_free(empty), dfa_free(d);
                d = both;
            }
        }
    }
    free(g.v), free(b.mark), free(b.list), free(b.stack), free(lo), free(cls), free(class_cp);
    return d;
}

static dfa *regex(str pattern, bool whole, err *e) {
    parser p = {.src = pattern, .e = e, .mem = arena_new(16u << 20)};
    dfa *d = NULL;
    if (!p.mem) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    node *tree = parse_pattern(&p);
    if (tree && !p.failed) d = tree_dfa(&p, tree, !whole, !whole, e);
    for (ahead *a = p.aheads; a && d; a = a->next) {
        dfa *look = tree_dfa(&p, a->tree, false, true, e);
        dfa *both = look ? dfa_combine(d, look, a->negative ? DFA_AND_NOT : DFA_AND, e) : NULL;
        if (both && (both->work += d->work + look->work) > LIMIT_SCHEMA_WORK) {
            err_set(e, ERR_USAGE, "pattern: too many look-aheads");
            dfa_free(both);
            both = NULL;
        }
        dfa_free(look), dfa_free(d);
        d = both;
    }
    free(p.set);
    arena_free(p.mem);
    return d;
}

dfa *dfa_regex(str pattern, err *e) {
    return regex(pattern, false, e);
}

dfa *dfa_regex_whole(str pattern, err *e) {
    return regex(pattern, true, e);
}
