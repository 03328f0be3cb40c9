#include "tok/pre.h"

#include "base/buf.h"
#include "tok/pre_table.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

struct pre {
    const char *name;
    int n_stages;
    pcre2_code *code[MAX_STAGES]; /* NULL: TRAILING_SPACE */
    bool jit[MAX_STAGES];         /* false where PCRE2 must interpret */
};

/* JIT needs little stack: every pattern is repeats of single characters, which it runs without. */
enum { JIT_STACK_START = 32 << 10, JIT_STACK_MAX = 1 << 20 };

struct pre_run {
    const pre *p;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    char *shadow;
    size_t shadow_cap;
};

typedef struct split {
    pre_run *run;
    const char *text;    /* what the words are cut from */
    const char *subject; /* what the patterns see: the same, or its shadow */
    pre_word_fn fn;
    void *ud;
    err *e;
} split;

const char *pre_name_at(size_t i) {
    return i < sizeof PRE_NAMES / sizeof *PRE_NAMES ? PRE_NAMES[i].name : NULL;
}

static bool name_unknown(str name, err *e) {
    char shown[64], known[400];
    size_t n = 0;
    for (size_t i = 0; pre_name_at(i); i++) { /* those that start alike come first to mind */
        int len = snprintf(known + n, sizeof known - n, "%s%s", i ? " " : "", pre_name_at(i));
        if (len < 0 || n + (size_t)len >= sizeof known - 4) {
            memcpy(known + n, " ...", 5);
            break;
        }
        n += (size_t)len;
    }
    return err_set(e, ERR_FAILED, "unknown pre-tokenizer '%s'; known: %s",
                   str_printable(name, shown, sizeof shown), known);
}

static bool stage_compile(pre *p, const char *pattern, err *e) {
    int number;
    PCRE2_SIZE at;
    pcre2_code **code = &p->code[p->n_stages++];
    if (!*pattern) return true;
    *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                          &number, &at, NULL);
    if (!*code) {
        return err_set(e, ERR_FAILED, "pre-tokenizer '%s': pattern error %d at %zu", p->name,
                       number, (size_t)at);
    }
    p->jit[p->n_stages - 1] = pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE) == 0;
    return true;
}

pre *pre_open(str name, pre_traits *traits, err *e) {
    const struct pre_name *found = NULL;
    for (size_t i = 0; pre_name_at(i) && !found; i++)
        if (str_eq(name, str_of(PRE_NAMES[i].name))) found = &PRE_NAMES[i];
    if (!found) {
        name_unknown(name, e);
        return NULL;
    }
    pre *p = calloc(1, sizeof *p);
    if (!p) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    p->name = found->name;
    *traits = (pre_traits){found->traits & WHOLE_WORDS, found->traits & WITH_BOS};
    for (int i = 0; i < MAX_STAGES && found->set->stage[i]; i++) {
        if (!stage_compile(p, found->set->stage[i], e)) {
            pre_close(p);
            return NULL;
        }
    }
    return p;
}

void pre_close(pre *p) {
    if (!p) return;
    for (int i = 0; i < p->n_stages; i++) pcre2_code_free(p->code[i]);
    free(p);
}

pre_run *pre_run_new(const pre *p, err *e) {
    pre_run *r = calloc(1, sizeof *r);
    if (r) {
        r->p = p;
        r->match = pcre2_match_data_create(1, NULL);
        r->context = pcre2_match_context_create(NULL);
        r->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
    }
    if (!r || !r->match || !r->context) {
        pre_run_free(r);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    pcre2_jit_stack_assign(r->context, NULL, r->stack); /* NULL: JIT's own 32 KB */
    /* Only the interpreter counts; a run of 16 MB takes that many steps. */
    pcre2_set_match_limit(r->context, UINT32_MAX);
    return r;
}

void pre_run_free(pre_run *r) {
    if (!r) return;
    pcre2_match_data_free(r->match);
    pcre2_match_context_free(r->context);
    pcre2_jit_stack_free(r->stack);
    free(r->shadow);
    free(r);
}

/* ---- what the patterns see ---- */

#define MONGOLIAN_SEPARATOR "\xe1\xa0\x8e" /* U+180E */
#define ZERO_WIDTH_SPACE "\xe2\x80\x8b"    /* U+200B */
#define BROKEN_BYTE 0x1a

/* The first byte from `from` on that PCRE2 must not see as it is: broken UTF-8, on which it may not
 * be run at all, and U+180E, which is white space to PCRE2 and a format character (as U+200B is) to
 * Unicode since 6.3 and to the engines the patterns were published for. */
static size_t first_odd(str s, size_t from) {
    for (size_t i = from; i < s.n;) {
        uint64_t eight;
        if (i + 8 <= s.n && (memcpy(&eight, s.p + i, 8), !(eight & 0x8080808080808080ull))) {
            i += 8;
            continue;
        }
        int len = utf8_len(s.p + i, s.n - i);
        if (len <= 0) return i;
        if (len == 3 && !memcmp(s.p + i, MONGOLIAN_SEPARATOR, 3)) return i;
        i += (size_t)len;
    }
    return s.n;
}

/* A copy of equal length in which every byte of broken UTF-8 is a control character: part of no
 * class of letters, digits, marks or spaces. */
static const char *subject_of(pre_run *r, str text, err *e) {
    size_t odd = first_odd(text, 0);
    if (odd == text.n) return text.p;
    if (r->shadow_cap < text.n) {
        free(r->shadow);
        r->shadow = malloc(text.n);
        r->shadow_cap = r->shadow ? text.n : 0;
        if (!r->shadow) {
            err_set(e, ERR_FAILED, "out of memory");
            return NULL;
        }
    }
    memcpy(r->shadow, text.p, text.n);
    for (; odd < text.n; odd = first_odd(text, odd)) {
        if (utf8_len(text.p + odd, text.n - odd) == 3) {
            memcpy(r->shadow + odd, ZERO_WIDTH_SPACE, 3);
            odd += 3;
        } else {
            r->shadow[odd++] = BROKEN_BYTE;
        }
    }
    return r->shadow;
}

/* ---- splitting ---- */

/* Unicode White_Space, the last character before `end`; its length, 0 when it is not a space. */
static size_t space_before(const char *s, size_t end) {
    unsigned char c = end ? (unsigned char)s[end - 1] : 0;
    if (c == ' ' || (c >= 9 && c <= 13)) return 1;
    if (end >= 2 && (unsigned char)s[end - 2] == 0xc2 && (c == 0x85 || c == 0xa0)) return 2;
    uint32_t cp = 0;
    if (end < 3 || utf8_decode(s + end - 3, 3, &cp) != 3) return 0;
    return cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
                   cp == 0x202f || cp == 0x205f || cp == 0x3000
               ? 3
               : 0;
}

/* The next match in [from, to) of a stage; *begin == to when there is none. */
static bool stage_match(split *s, int stage, size_t from, size_t to, size_t origin, size_t *begin,
                        size_t *end) {
    *begin = *end = to;
    const pcre2_code *code = s->run->p->code[stage];
    if (!code) {
        for (size_t n; *begin > from && (n = space_before(s->subject, *begin)) > 0;) *begin -= n;
        return true;
    }
    PCRE2_SPTR subject = (PCRE2_SPTR)s->subject + origin;
    pre_run *r = s->run;
    int rc = r->p->jit[stage]
                 ? pcre2_jit_match(code, subject, to - origin, from - origin, PCRE2_NOTEMPTY,
                                   r->match, r->context)
                 : pcre2_match(code, subject, to - origin, from - origin,
                               PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, r->match, r->context);
    if (rc == PCRE2_ERROR_NOMATCH) return true;
    if (rc < 0) {
        return err_set(s->e, ERR_FAILED, "pre-tokenizer '%s': match error %d", r->p->name, rc);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->run->match);
    *begin = origin + span[0];
    *end = origin + span[1];
    return true;
}

/* Recursion is as deep as there are stages, at most MAX_STAGES. */
static bool piece_split(split *s, int stage, size_t from, size_t to) {
    if (from == to) return true;
    bool one_char = to - from <= 4 && utf8_len(s->subject + from, to - from) == (int)(to - from);
    if (stage == s->run->p->n_stages || one_char)
        return s->fn(s->ud, (str){s->text + from, to - from});
    for (size_t at = from, begin, end; at < to; at = end) {
        if (!stage_match(s, stage, at, to, from, &begin, &end)) return false;
        if (!piece_split(s, stage + 1, at, begin)) return false;
        if (!piece_split(s, stage + 1, begin, end)) return false;
    }
    return true;
}

bool pre_split(pre_run *r, str text, pre_word_fn fn, void *ud, err *e) {
    if (!text.n) return true;
    const char *subject = subject_of(r, text, e);
    if (!subject) return false;
    split s = {r, text.p, subject, fn, ud, e};
    return piece_split(&s, 0, 0, text.n);
}
