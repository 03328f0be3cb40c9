#include "study/text.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/data.h"
#include "meter/prices.h"

#define FOLDER "shakespeare/"

static bool begins_scene(const char *p, size_t n) {
    str line = {p, n};
    return str_starts(line, STR("SCENE ")) || str_starts(line, STR("SCENE\t"));
}

static bool count_tokens(const hearth_model *m, study_line *l, err *e) {
    hearth_err he = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    if (!m) { /* a service's vocabulary is not known: bytes are counted, four a token */
        l->tokens = (uint16_t)((l->n + 3) / 4);
        return true;
    }
    if (!hearth_tokenize(m, l->p, l->n, 0, &ids, &n, &he))
        return err_set(e, (err_code)he.code, "the works of Shakespeare: %s", he.msg);
    hearth_free(ids);
    l->tokens = n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
    return true;
}

static bool read_lines(study_text *t, const hearth_model *m, err *e) {
    uint16_t number = 0;
    for (const data_file *f = data_first(FOLDER); f; f = data_next(f, FOLDER), number++) {
        bool first = true;
        for (const char *p = f->begin; p < f->end;) {
            const char *end = memchr(p, '\n', (size_t)(f->end - p));
            end = end ? end + 1 : f->end;
            study_line *l = &t->line[t->n_lines++];
            *l = (study_line){.p = p, .n = (uint32_t)(end - p), .file = number};
            l->begins = first || begins_scene(p, l->n);
            if (!count_tokens(m, l, e)) return false;
            t->tokens += l->tokens;
            t->bytes += l->n;
            first = false;
            p = end;
        }
    }
    return true;
}

static void cut(study_text *t, int piece_tokens) {
    study_piece *now = NULL;
    for (size_t i = 0; i < t->n_lines; i++) {
        const study_line *l = &t->line[i];
        if (!now || l->begins || now->tokens + l->tokens > piece_tokens) {
            now = &t->piece[t->n_pieces++];
            *now = (study_piece){.first = i};
        }
        now->n++;
        now->tokens += l->tokens;
    }
}

bool study_text_open(study_text *t, const hearth_model *m, int piece_tokens, err *e) {
    size_t n = 0;
    crypto_hash_sha256_state state;
    unsigned char hash[crypto_hash_sha256_BYTES];
    *t = (study_text){0};
    crypto_hash_sha256_init(&state);
    for (const data_file *f = data_first(FOLDER); f; f = data_next(f, FOLDER)) {
        crypto_hash_sha256_update(&state, (const unsigned char *)f->begin, data_text(f).n);
        for (const char *p = f->begin; p < f->end; p++) n += *p == '\n' || p + 1 == f->end;
    }
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(t->sha256, sizeof t->sha256, hash, sizeof hash);
    if (n == 0) return err_set(e, ERR_NOT_FOUND, "no text is built into this program");
    t->line = calloc(n, sizeof *t->line);
    t->piece = calloc(n, sizeof *t->piece);
    if (!t->line || !t->piece) {
        study_text_close(t);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    if (!read_lines(t, m, e)) {
        study_text_close(t);
        return false;
    }
    cut(t, piece_tokens);
    return true;
}

void study_text_close(study_text *t) {
    free(t->line);
    free(t->piece);
    *t = (study_text){0};
}

static str lines(const study_text *t, size_t first, size_t n) {
    const study_line *a = &t->line[first], *b = &t->line[first + n - 1];
    return (str){a->p, (size_t)(b->p - a->p) + b->n};
}

str study_text_piece(const study_text *t, size_t i) {
    return lines(t, t->piece[i].first, t->piece[i].n);
}

str study_text_passage(const study_text *t, uint64_t at, int tokens) {
    size_t first = (size_t)(at % t->n_lines), n = 1;
    while (first > 0 && !t->line[first].begins && first + 40 > t->n_lines) first--;
    int sum = t->line[first].tokens;
    while (first + n < t->n_lines && t->line[first + n].file == t->line[first].file &&
           sum + t->line[first + n].tokens <= tokens)
        sum += t->line[first + n++].tokens;
    return lines(t, first, n);
}
