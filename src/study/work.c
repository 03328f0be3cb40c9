#include "study/work.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"

#define CONVERSATION_BYTES (8u << 20)

static const struct {
    const char *name, *about;
} works[WORKS] = {
    [WORK_SHAKESPEARE] = {"shakespeare",
                          "a scene, or a part of one, to be given back word by word; "
                          "as many tokens are written as were sent"},
    [WORK_CHAT] = {"chat", "short questions of many users behind one shared system prompt"},
    [WORK_DOCUMENT] = {"document", "two questions about a long text, one after the other"},
    [WORK_AGENT] = {"agent", "a loop of tool results: the prompt grows by every turn, and what was "
                             "there before is read from the cache"},
    [WORK_SUMMARY] = {"summary", "many texts, each to be summed up once"},
};

const char *study_work_name(study_work w) {
    return works[w].name;
}

const char *study_work_about(study_work w) {
    return works[w].about;
}

study_work study_work_named(const char *name) {
    for (int i = 0; i < WORKS; i++)
        if (strcmp(works[i].name, name) == 0) return (study_work)i;
    return WORKS;
}

static int at_most(int want, int most) {
    return want < most ? want : most;
}

bool study_sizes_of(study_sizes *s, study_size size, int32_t n_ctx, err *e) {
    static const study_sizes usual[] = {
        [STUDY_SMOKE] = {24, 64, 8, 96, 6, 64, 16, 6, 3, 48, 8},
        [STUDY_QUICK] = {256, 256, 64, 768, 32, 256, 64, 32, 6, 384, 64},
        [STUDY_FULL] = {1500, 512, 128, 6000, 64, 512, 128, 64, 16, 1024, 128},
    };
    enum { LEAST = 512, AROUND = 96 }; /* what instructions and a template take */
    *s = usual[size];
    if (n_ctx < LEAST)
        return err_set(e, ERR_NO_FIT, "a context of %d tokens; the study needs %d", n_ctx, LEAST);
    s->piece = at_most(s->piece, (n_ctx - AROUND) / 2 - 16);
    s->chat_system = at_most(s->chat_system, n_ctx / 4);
    s->document = at_most(s->document, n_ctx - 3 * s->document_out - 2 * AROUND);
    s->summary = at_most(s->summary, n_ctx - s->summary_out - AROUND);
    s->agent_start = at_most(s->agent_start, n_ctx / 4);
    int turn = s->agent_turn + s->agent_out + 24;
    s->agent_turns = at_most(s->agent_turns, (n_ctx - s->agent_start - 2 * AROUND) / turn);
    return s->agent_turns >= 1 ||
           err_set(e, ERR_NO_FIT, "a context of %d tokens is too short", n_ctx);
}

/* ---- asks ---- */

static uint64_t draw(study_flow *f) {
    return rng_u64(f->seed, (f->run << 20) + (f->user << 8) + (uint64_t)f->work + 1, f->count++);
}

static bool say(study_flow *f, const char *role, const char *before, str text, const char *after) {
    size_t max = sizeof f->ask.message / sizeof *f->ask.message, n = strlen(before) + text.n;
    char *all = f->ask.n < max ? arena_alloc(f->memory, n + strlen(after) + 1) : NULL;
    if (!all) return false;
    memcpy(all, before, strlen(before));
    memcpy(all + strlen(before), text.p, text.n);
    memcpy(all + n, after, strlen(after) + 1);
    f->ask.message[f->ask.n++] = (hearth_message){role, all};
    return true;
}

static bool anew(study_flow *f) {
    arena_free(f->memory);
    f->memory = arena_new(CONVERSATION_BYTES);
    f->ask = (study_ask){.exactly = true};
    f->turn = 0;
    return f->memory != NULL;
}

/* In front of a prompt that nobody shall find in a cache. */
static const char *number(study_flow *f, char *dst, size_t cap, const char *what) {
    snprintf(dst, cap, "%s %08x. ", what, (unsigned)draw(f));
    return dst;
}

static bool next_piece(study_flow *f, bool *more) {
    char head[160];
    size_t i = f->whole ? atomic_fetch_add(f->whole, 1) : (size_t)(draw(f) % f->text->n_pieces);
    *more = i < f->text->n_pieces;
    if (!*more) return true;
    snprintf(head, sizeof head,
             "Copy %08x. Give back the following text word by word, and nothing else.\n\n",
             (unsigned)draw(f));
    f->ask.max_tokens = f->text->piece[i].tokens > 0 ? f->text->piece[i].tokens : 1;
    return say(f, "user", head, study_text_piece(f->text, i), "");
}

static bool next_chat(study_flow *f) {
    static const char *const asks[] = {"Who speaks first, and to whom?",
                                       "What is the quarrel about?",
                                       "Which of them lies?",
                                       "Where does this happen?",
                                       "What would you advise him?",
                                       "Is she right to be angry?",
                                       "How does it end?",
                                       "What does the last line mean?"};
    char ask[120];
    f->ask.max_tokens = f->sizes->chat_out;
    snprintf(ask, sizeof ask, "%s (%u)", asks[draw(f) % 8], (unsigned)(draw(f) % 100000));
    return say(f, "system", "You answer questions about this passage, shortly.\n\n",
               study_text_passage(f->text, rng_u64(f->seed, 0, 1), f->sizes->chat_system), "") &&
           say(f, "user", ask, (str){"", 0}, "");
}

static bool next_document(study_flow *f, str answer) {
    char head[64];
    f->ask.max_tokens = f->sizes->document_out;
    if (f->turn++ > 0)
        return say(f, "assistant", "", answer, "") &&
               say(f, "user", "And who else is there?", (str){"", 0}, "");
    number(f, head, sizeof head, "Document");
    return say(f, "user", head, study_text_passage(f->text, draw(f), f->sizes->document),
               "\n\nWho is in this scene, and what do they want?");
}

static bool next_turn(study_flow *f, str answer) {
    char head[80];
    f->ask.max_tokens = f->sizes->agent_out;
    if (f->turn++ == 0) {
        number(f, head, sizeof head, "Task");
        if (!say(f, "system", head, study_text_passage(f->text, draw(f), f->sizes->agent_start),
                 "\n\nYou look things up in this library, step by step. Say what to read next."))
            return false;
    } else if (!say(f, "assistant", "", answer, "")) {
        return false;
    }
    return say(f, "user", "Result:\n", study_text_passage(f->text, draw(f), f->sizes->agent_turn),
               "");
}

static bool next_summary(study_flow *f) {
    char head[80];
    f->ask.max_tokens = f->sizes->summary_out;
    number(f, head, sizeof head, "Text");
    return say(f, "user", head, study_text_passage(f->text, draw(f), f->sizes->summary),
               "\n\nSum this up in two sentences.");
}

void study_flow_begin(study_flow *f, const study_text *t, study_work w, const study_sizes *s,
                      uint64_t seed, uint64_t run, uint64_t user) {
    *f = (study_flow){.text = t, .work = w, .sizes = s, .seed = seed, .run = run, .user = user};
}

bool study_flow_next(study_flow *f, str answer, const study_ask **ask, err *e) {
    bool ok = false, more = true;
    bool goes_on = (f->work == WORK_DOCUMENT && f->turn == 1) ||
                   (f->work == WORK_AGENT && f->turn > 0 && f->turn < f->sizes->agent_turns);
    if (goes_on || anew(f)) switch (f->work) {
        case WORK_SHAKESPEARE: ok = next_piece(f, &more); break;
        case WORK_CHAT: ok = next_chat(f); break;
        case WORK_DOCUMENT: ok = next_document(f, answer); break;
        case WORK_AGENT: ok = next_turn(f, answer); break;
        case WORK_SUMMARY: ok = next_summary(f); break;
        case WORKS: break;
        }
    *ask = &f->ask;
    if (!ok) return err_set(e, ERR_FAILED, "out of memory, or a conversation that is too long");
    return more;
}

void study_flow_end(study_flow *f) {
    arena_free(f->memory);
    f->memory = NULL;
}
