/* A conversation with a model: settings, messages, and getting an answer. Used by `hearth run`
 * with one message or none, and by the REPL with many. The engine stays the same while settings
 * allow, so that what was computed for earlier turns is used again. Or there is none, and a server
 * answers (far.h). One thread.
 */
#ifndef HEARTH_CLI_CHAT_H
#define HEARTH_CLI_CHAT_H

#include "cli/far.h"
#include "cli/models.h"
#include "hearth.h"
#include "hub/beside.h"

typedef struct chat_message {
    char *role, *text; /* owned, NUL-terminated */
} chat_message;

typedef struct chat {
    char *model_name; /* as given; owned */
    far *server;      /* answers, and m and g are NULL; NULL: they do */
    hearth_model *m;
    hearth_engine *g;
    hearth_model_info info; /* with a server: its name alone */
    const char *family;     /* NULL: the model only completes */

    hearth_params params; /* sampler; prompt and stop are set for each answer */
    bool seed_given;
    uint64_t given;    /* which samplers were asked for: bits by their index */
    hub_recipe recipe; /* what the model was made with; empty for a file */
    char *system;      /* owned, NULL: none */
    char **stop;       /* owned, NULL-terminated, or NULL */
    int n_stop;
    int32_t ctx; /* asked for; 0: the model's own */
    int threads;
    hearth_kv kv;
    bool no_speculation;
    const char *draft; /* name of a model that guesses ahead, or NULL; borrowed */
    hearth_model *draft_m;
    hearth_model *draft_own; /* of the model's recipe; NULL: none */
    hub_adapters lora_arg;   /* of the command line */
    hearth_lora_use *lora;   /* [n_lora] of the model that is open; owned */
    size_t n_lora;
    bool local;    /* no server is asked */
    bool no_pack;  /* weights stay in the file */
    bool raw;      /* no template: the messages' text as it is */
    bool markdown; /* render answers on a terminal */
    bool verbose;

    chat_message *message; /* owned; system not included */
    int n_messages, cap_messages;

    hearth_usage last; /* of the last answer */
    int32_t n_answers;
    int64_t total_prompt, total_cached, total_generated;
    double total_prefill_s, total_decode_s;
} chat;

void chat_init(chat *c);
void chat_deinit(chat *c);
/* Opens a model and an engine in place of those there are; on failure the old ones stay. */
bool chat_open(chat *c, const char *model_name, err *e);
int32_t chat_ctx(const chat *c); /* in force */
int chat_threads(const chat *c); /* 0: the server's affair */
/* One token's text, made printable. */
void chat_token_text(const chat *c, int32_t id, char *dst, size_t cap);
/* A new engine for changed settings (ctx, kv, threads). */
bool chat_renew_engine(chat *c, err *e);

bool chat_set_system(chat *c, const char *text, err *e); /* NULL or "": none */
bool chat_add_stop(chat *c, const char *text, err *e);
void chat_clear_stops(chat *c);
bool chat_push(chat *c, const char *role, const char *text, size_t n, err *e);
void chat_pop(chat *c); /* the last message */
void chat_clear(chat *c);

typedef struct chat_logprob {
    int32_t id;
    float logprob;
    int n_top;
    hearth_logprob top[20];
} chat_logprob;

/* What an answer is. */
typedef struct chat_answer {
    buf text;
    int32_t *ids; /* the answer's tokens; owned */
    size_t n_ids, cap_ids;
    chat_logprob *logprobs; /* [n_ids] where asked for, else NULL; owned */
    hearth_usage usage;
    size_t n_prompt;
    bool interrupted;
} chat_answer;
void chat_answer_deinit(chat_answer *a);

/* Answers the conversation as it stands and writes the text to stdout while it comes (unless
 * silent). Does not add it to the conversation. Ctrl-C ends the answer; what there is stays. */
bool chat_answer_get(chat *c, chat_answer *a, bool silent, err *e);
/* "prompt 12 tokens (3 reused) in 0.10 s, 120.0 tokens/s; answer ..." on stderr. */
void chat_say_speed(const hearth_usage *u);
const char *chat_finish_name(hearth_finish f);

#endif
