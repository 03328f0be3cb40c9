#include "study/questions.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/data.h"
#include "base/rng.h"

typedef struct maker {
    uint64_t seed, number, count;
    arena *memory;
} maker;

static unsigned draw(maker *m, unsigned below) {
    return (unsigned)(rng_u64(m->seed, UINT64_C(0x51000000) + m->number, m->count++) % below);
}

static const char *const names[] = {"Anna",  "Bruno", "Clara", "David", "Elena", "Felix",
                                    "Greta", "Hugo",  "Irene", "Jonas", "Katya", "Leo"};
static const char *const things[] = {"lamps",   "chairs", "books",    "kettles", "brushes",
                                     "candles", "ropes",  "blankets", "bells",   "mirrors"};
static const char *const towns[] = {"Lisbon", "Bergen", "Graz",  "Turin",
                                    "Ghent",  "Split",  "Malmo", "Porto"};
#define PICK(m, list) list[draw(m, sizeof list / sizeof *list)]

static const char *put(maker *m, const char *text) {
    return arena_strdup(m->memory, str_of(text));
}

/* ---- the kinds ---- */

static void arithmetic(maker *m, study_question *q) {
    char text[200], answer[32];
    int a = (int)draw(m, 90) + 10, b = (int)draw(m, 90) + 10, c = (int)draw(m, 9) + 2;
    switch (draw(m, 4)) {
    case 0:
        snprintf(text, sizeof text, "What is %d + %d?", a, b);
        snprintf(answer, sizeof answer, "%d", a + b);
        break;
    case 1:
        snprintf(text, sizeof text, "What is %d - %d?", a + b, b);
        snprintf(answer, sizeof answer, "%d", a);
        break;
    case 2:
        snprintf(text, sizeof text, "What is %d times %d?", a, c);
        snprintf(answer, sizeof answer, "%d", a * c);
        break;
    default:
        snprintf(text, sizeof text, "%d boxes hold %d %s each. %d %s are sold. How many are left?",
                 c, a, PICK(m, things), b % (a * c), "of them");
        snprintf(answer, sizeof answer, "%d", a * c - b % (a * c));
    }
    char prompt[260];
    snprintf(prompt, sizeof prompt, "%s Answer with the number alone.", text);
    q->kind = "arithmetic";
    q->prompt = put(m, prompt);
    q->expected = put(m, answer);
}

typedef struct order {
    const char *name, *thing, *town;
    unsigned n, day, euros;
} order;

static order draw_order(maker *m) {
    order o = {.name = PICK(m, names), .thing = PICK(m, things), .town = PICK(m, towns)};
    o.n = draw(m, 90) + 3;
    o.day = draw(m, 28) + 1;
    o.euros = draw(m, 900) + 20;
    return o;
}

static void extraction(maker *m, study_question *q) {
    static const char *const asks[] = {"Who ordered?", "What was ordered?", "To which town?",
                                       "How many were ordered?"};
    order o = draw_order(m);
    unsigned ask = draw(m, 4);
    char prompt[500], number[16];
    snprintf(number, sizeof number, "%u", o.n);
    const char *answers[] = {o.name, o.thing, o.town, number};
    snprintf(prompt, sizeof prompt,
             "On %u May %s ordered %u %s for %u euros, to be sent to %s. %s "
             "Answer with one word or number alone.",
             o.day, o.name, o.n, o.thing, o.euros, o.town, asks[ask]);
    q->kind = "extraction";
    q->prompt = put(m, prompt);
    q->expected = put(m, answers[ask]);
}

static const char order_schema[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"item\":{\"type\":"
    "\"string\"},\"count\":{\"type\":\"integer\"}},\"required\":[\"name\",\"item\",\"count\"],"
    "\"additionalProperties\":false}";

static void json(maker *m, study_question *q) {
    order o = draw_order(m);
    char prompt[600], answer[200];
    snprintf(prompt, sizeof prompt,
             "%s from %s wants %u %s by the %uth. Give this as a JSON object with the members "
             "name, item and count, and nothing else.",
             o.name, o.town, o.n, o.thing, o.day);
    snprintf(answer, sizeof answer, "{\"name\":\"%s\",\"item\":\"%s\",\"count\":%u}", o.name,
             o.thing, o.n);
    q->kind = "json";
    q->prompt = put(m, prompt);
    q->expected = put(m, answer);
    q->schema = order_schema;
}

/* "HAMLET<tab>words": the name's length, 0: no speech begins here. */
static size_t speaker(str line) {
    size_t n = 0;
    while (n < line.n && (isupper((unsigned char)line.p[n]) || line.p[n] == ' ')) n++;
    return n >= 3 && n <= 24 && n + 30 < line.n && line.p[n] == '\t' && line.p[n - 1] != ' ' ? n
                                                                                             : 0;
}

static str line_at(str text, size_t at) {
    const char *end = memchr(text.p + at, '\n', text.n - at);
    return (str){text.p + at, end ? (size_t)(end - text.p) - at : text.n - at};
}

/* A passage of some lines from a place drawn, and one of the speeches that begin in it. */
static bool find_speech(maker *m, str *passage, str *who, str *words) {
    const data_file *f = data_first("shakespeare/");
    for (unsigned i = draw(m, 42); f && i > 0; i--) {
        const data_file *next = data_next(f, "shakespeare/");
        f = next ? next : f;
    }
    str text = f ? data_text(f) : (str){0};
    if (text.n < 4000) return false;
    size_t at = draw(m, (unsigned)text.n - 2000);
    at += line_at(text, at).n + 1;
    size_t begin = at, end = at, n_speeches = 0, wanted = draw(m, 3);
    for (int i = 0; i < 16; i++) {
        str line = line_at(text, end);
        size_t n = speaker(line);
        if (n && n_speeches++ == wanted) {
            *who = (str){line.p, n};
            *words = str_trim((str){line.p + n, line.n - n});
        }
        end += line.n + 1;
        if (end >= text.n) return false;
    }
    *passage = (str){text.p + begin, end - begin};
    return n_speeches > wanted &&
           str_find(*passage, *words, (size_t)(words->p - passage->p) + 1) == (size_t)-1;
}

static void retrieval(maker *m, study_question *q) {
    str passage = {0}, who = {0}, words = {0};
    for (int tries = 0; tries < 1000 && !find_speech(m, &passage, &who, &words); tries++) continue;
    size_t room = passage.n + words.n + 300;
    char *prompt = arena_alloc(m->memory, room);
    q->kind = "retrieval";
    if (!prompt) return;
    snprintf(prompt, room,
             "%.*s\n\nIn this passage a name stands in front of what that person says. Who says "
             "\"%.*s\"? Answer with the name alone.",
             STR_ARG(passage), STR_ARG(words));
    q->prompt = prompt;
    q->expected = arena_strdup(m->memory, who);
}

study_question *study_questions_make(uint64_t seed, int n, arena *memory) {
    /* Of ten questions: four, two, two and two. */
    static void (*const kinds[])(maker *, study_question *) = {
        arithmetic, extraction, json, retrieval, arithmetic,
        arithmetic, extraction, json, retrieval, arithmetic};
    study_question *q = arena_calloc(memory, (size_t)n + 1, sizeof *q);
    for (int i = 0; q && i < n; i++) {
        maker m = {.seed = seed, .number = (uint64_t)i, .memory = memory};
        kinds[i % 10](&m, &q[i]);
        if (!q[i].prompt || !q[i].expected) return NULL;
    }
    return q;
}

/* ---- checking ---- */

/* The last whole number in a text, thousands with or without commas. */
static bool last_number(str t, long long *out) {
    bool found = false;
    for (size_t i = 0; i < t.n; i++) {
        if (!isdigit((unsigned char)t.p[i])) continue;
        bool minus = i > 0 && t.p[i - 1] == '-';
        long long v = 0;
        for (; i < t.n && (isdigit((unsigned char)t.p[i]) || t.p[i] == ','); i++)
            if (t.p[i] != ',' && v < 1000000000) v = v * 10 + (t.p[i] - '0');
        *out = minus ? -v : v;
        found = true;
    }
    return found;
}

/* The letters and digits of the first line are these, in either case. */
static bool same_word(str answer, const char *expected) {
    answer = str_trim(answer);
    size_t i = 0;
    for (; i < answer.n && answer.p[i] != '\n'; i++) {
        unsigned char c = (unsigned char)answer.p[i];
        if (!isalnum(c)) continue;
        while (*expected && !isalnum((unsigned char)*expected)) expected++;
        if (tolower(c) != tolower((unsigned char)*expected)) return false;
        expected++;
    }
    return *expected == '\0';
}

static bool same_json(str answer, const char *expected) {
    json_t *want = json_loads(expected, 0, NULL), *got = json_loadb(answer.p, answer.n, 0, NULL);
    bool same = want && got && json_equal(want, got);
    json_decref(want);
    json_decref(got);
    return same;
}

bool study_question_right(const char *kind, const char *expected, str answer) {
    long long got;
    if (strcmp(kind, "arithmetic") == 0)
        return last_number(answer, &got) && got == strtoll(expected, NULL, 10);
    if (strcmp(kind, "json") == 0) return same_json(answer, expected);
    return same_word(answer, expected);
}
