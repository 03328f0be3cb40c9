/* Hearth as a library: open a model, submit a request, read its tokens. Nothing else is public.
 *
 * Two nouns. A *model* is immutable, opened from a path or from memory, shared, and outlives every
 * request. A *request* is one generation: prompt tokens in, tokens out, with its sampler, its owner
 * and its budget. An *engine* plans steps over all requests of a model on its own threads.
 *
 * Any thread may call any function on different objects; hearth_submit, hearth_cancel may be called
 * on one engine from many threads; one thread reads one request. Strings given are copied; strings
 * handed out live as long as the object they came from (a token's text: until the next call of
 * hearth_next on that request).
 *
 *     hearth_err e = {0};
 *     hearth_model *m = hearth_model_open("model.gguf", NULL, &e);
 *     hearth_engine *g = hearth_engine_new(m, NULL, &e);
 *     int32_t *ids; size_t n;
 *     hearth_tokenize(m, "Once upon a time", 16, HEARTH_TOK_BOS, &ids, &n, &e);
 *     hearth_params p = hearth_params_default();
 *     p.prompt = ids; p.n_prompt = n; p.max_tokens = 64;
 *     hearth_request *r = hearth_submit(g, &p, &e);
 *     hearth_token t;
 *     while (hearth_next(r, &t, &e) == 1) fwrite(t.text, 1, t.text_len, stdout);
 *     hearth_request_free(r); hearth_free(ids); hearth_engine_free(g); hearth_model_close(m);
 */
#ifndef HEARTH_H
#define HEARTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEARTH_VERSION "0.1.0"

/* ---- errors ---- */
enum {
    HEARTH_OK = 0,
    HEARTH_FAILED = 1,
    HEARTH_USAGE = 2,
    HEARTH_NOT_FOUND = 3,
    HEARTH_DENIED = 5,
    HEARTH_NO_FIT = 6,  /* memory or context too small; the message says both sizes */
    HEARTH_DAMAGED = 7, /* a file that breaks its format */
    HEARTH_BUSY = 9,    /* the queue is full: try again later */
    HEARTH_INTERRUPTED = 130
};
typedef struct hearth_err {
    int code;
    char msg[512]; /* one line */
} hearth_err;

void hearth_free(void *p); /* memory handed out by functions that say so */

/* ---- model ---- */
typedef struct hearth_model hearth_model;

typedef struct hearth_model_options {
    void (*progress)(void *ud, uint64_t done_bytes, uint64_t total_bytes); /* may be NULL */
    void *progress_ud;
    int n_threads; /* for packing; 0 = what the machine gives this process */
    bool as_f32;   /* dequantise all weights: the reference computation, slow and large */
    bool no_pack;  /* weights stay in the file: less memory, the same answers, much slower */
    /* Longest context that an engine will be given, 0: the trained one. Only files with rope
     * factors of their own for long contexts care. */
    int32_t n_ctx;
} hearth_model_options;

hearth_model *hearth_model_open(const char *path, const hearth_model_options *o, hearth_err *e);
/* The bytes stay the caller's and must outlive the model. */
hearth_model *hearth_model_open_memory(const void *data, size_t n, const char *name,
                                       const hearth_model_options *o, hearth_err *e);
void hearth_model_close(hearth_model *m); /* after every engine on it is freed */

/* How the states of a text's tokens become one vector. */
typedef enum hearth_pooling {
    HEARTH_POOL_NONE = 0, /* what the model's file says; where it says nothing, mean or last */
    HEARTH_POOL_MEAN,
    HEARTH_POOL_CLS, /* the first token's */
    HEARTH_POOL_LAST,
    HEARTH_POOL_RANK /* a classifier judges two texts: see hearth_rerank */
} hearth_pooling;

typedef struct hearth_model_info {
    const char *arch, *name;
    int32_t n_vocab, n_embd, n_layer, n_ctx_train;
    uint64_t n_params, file_bytes, weight_bytes;
    int32_t bos, eos;       /* -1: none */
    bool generates;         /* false: an encoder, which only sums up texts; hearth_submit refuses */
    bool reranks;           /* it was made to judge: hearth_rerank */
    hearth_pooling pooling; /* what the file says */
} hearth_model_info;
void hearth_model_info_get(const hearth_model *m, hearth_model_info *out);
/* Metadata string such as "tokenizer.chat_template"; NULL when absent. n may be NULL; not
 * NUL-terminated. */
const char *hearth_model_meta(const hearth_model *m, const char *key, size_t *n);

/* ---- adapters ---- */
/* A low-rank adapter (LoRA) for a model, from a GGUF file. It changes what requests that name it
 * say, beside others that do not, and leaves the model as it is. The model must outlive it. */
typedef struct hearth_lora hearth_lora;
/* Errors in one line that names the file: no adapter, one of another model, damaged. */
hearth_lora *hearth_lora_open(hearth_model *m, const char *path, hearth_err *e);
void hearth_lora_close(hearth_lora *l); /* also while requests still use it; NULL is fine */

typedef struct hearth_lora_info {
    const char *name, *task;
    int32_t n_matrices, rank; /* matrices that it changes; the largest rank */
    float alpha;
    uint64_t memory_bytes;
} hearth_lora_info;
void hearth_lora_info_get(const hearth_lora *l, hearth_lora_info *out);

typedef struct hearth_lora_use {
    hearth_lora *lora;
    float scale; /* finite; 0: not used at all */
} hearth_lora_use;

/* ---- text and tokens ---- */
enum {
    HEARTH_TOK_SPECIAL = 1, /* control tokens written in the text become their ids */
    HEARTH_TOK_BOS = 2      /* begin/end tokens by the model's own rule */
};
/* *ids is the caller's, by hearth_free. */
bool hearth_tokenize(const hearth_model *m, const char *text, size_t len, unsigned flags,
                     int32_t **ids, size_t *n, hearth_err *e);
/* *text is the caller's, NUL-terminated, by hearth_free. */
bool hearth_detokenize(const hearth_model *m, const int32_t *ids, size_t n, bool special,
                       char **text, size_t *len, hearth_err *e);

/* ---- conversations ---- */
/* A conversation is written by the model's own template (tokenizer.chat_template, which is run), or
 * by the form of a known family where the file has none. Nothing in a message becomes a control
 * token: those come from the template's own text alone, whatever it does with a message's. */

typedef struct hearth_message {
    const char *role; /* "system", "developer", "user", "assistant", "tool" */
    const char *text;
} hearth_message;

/* The family of the model's chat template ("chatml", "llama3", ...), "jinja" for a template of no
 * known family; NULL when there is none: then the model only completes text. Static. */
const char *hearth_chat_family(const hearth_model *m);
/* What the model's template has a place for. */
enum {
    HEARTH_CHAT_SYSTEM = 1, /* else a system message goes in front of the next user message */
    HEARTH_CHAT_TOOLS = 2,
    HEARTH_CHAT_THINK = 4 /* a switch for thinking */
};
unsigned hearth_chat_abilities(const hearth_model *m);
/* Why the file's own template is not used; NULL when it is, or when there is none. */
const char *hearth_chat_problem(const hearth_model *m);

/* A conversation as programs have it. The JSON texts are UTF-8 and borrowed for the call; NULL
 * leaves one out. Begin with hearth_chat_default. */
typedef struct hearth_chat {
    /* Array in OpenAI's shape: role; content, a text or null or a list of parts; and where they
     * apply reasoning_content, tool_calls (arguments as text or as an object), tool_call_id, name.
     * Brought into the shape that the template takes. */
    const char *messages;
    size_t messages_len;
    const char *tools; /* array in OpenAI's shape */
    size_t tools_len;
    const char *kwargs; /* object: further variables of the template */
    size_t kwargs_len;
    const char *chat_template; /* instead of the model's own, NUL-terminated */
    bool answer;               /* end where the model's answer begins */
    bool continue_final;       /* end inside the last message, for the model to go on with it */
    int think;                 /* enable_thinking: 0 or 1; -1: as the template has it */
    const char *effort;        /* reasoning_effort, "high"; NULL: as the template has it */
    int64_t now; /* seconds since 1970, for templates that write the date; 0: the clock */
} hearth_chat;
hearth_chat hearth_chat_default(void); /* answer true, think -1, everything else empty */

typedef struct hearth_chat_prompt {
    int32_t *ids; /* begin-of-text included */
    size_t n_ids;
    char *text; /* the same as text, NUL-terminated; its end shows whether a thought is open */
    size_t text_len;
} hearth_chat_prompt;
/* *out is the caller's, by hearth_chat_prompt_free. HEARTH_USAGE: the conversation is none, or the
 * template refuses it in its own words; HEARTH_FAILED: there is no template; HEARTH_NO_FIT: the
 * template passed a bound (steps, memory, time). Any thread. */
bool hearth_chat_render(const hearth_model *m, const hearth_chat *c, hearth_chat_prompt *out,
                        hearth_err *e);
void hearth_chat_prompt_free(hearth_chat_prompt *p); /* its content; p itself is the caller's */

/* Plain conversations. With `answer` it ends where the model's answer begins. *ids is the caller's,
 * by hearth_free. */
bool hearth_chat_tokenize(const hearth_model *m, const hearth_message *messages, size_t n,
                          bool answer, int32_t **ids, size_t *n_ids, hearth_err *e);
/* The same as text, NUL-terminated, by hearth_free; for people to look at. */
bool hearth_chat_text(const hearth_model *m, const hearth_message *messages, size_t n, bool answer,
                      char **text, size_t *len, hearth_err *e);

/* ---- engine ---- */
typedef struct hearth_engine hearth_engine;
typedef struct hearth_request hearth_request;

typedef enum hearth_kv { HEARTH_KV_F16 = 0, HEARTH_KV_Q8 = 1, HEARTH_KV_F32 = 2 } hearth_kv;

typedef enum hearth_finish {
    HEARTH_FINISH_NONE = 0, /* still running */
    HEARTH_FINISH_END,      /* the model ended its turn */
    HEARTH_FINISH_STOP,     /* a stop string */
    HEARTH_FINISH_LENGTH,   /* max_tokens, or the context is full */
    HEARTH_FINISH_CANCELLED,
    HEARTH_FINISH_ERROR
} hearth_finish;

typedef struct hearth_usage {
    /* Tokens; cached: prompt tokens taken from earlier work; generated: the end token too. */
    int32_t n_prompt, n_cached, n_generated;
    int32_t n_drafted, n_accepted;        /* speculation: tokens guessed, and guessed right */
    double queued_s, prefill_s, decode_s; /* seconds */
    hearth_finish finish;
} hearth_usage;

/* What one request took part with in one step of its engine. */
typedef struct hearth_step_part {
    void *tag;         /* the request's; NULL: the engine's own work (hearth_engine_pin) */
    int32_t n_prefill; /* rows computed of its prompt */
    int32_t n_decode;  /* rows computed of its answer: a token, and guesses at the next ones */
    double n_context;  /* positions that these rows looked at, added up over the rows */
} hearth_step_part;
/* One pass over the weights. Times are those of CLOCK_MONOTONIC. */
typedef struct hearth_step {
    const void *engine; /* tells steps of one engine from another's */
    uint64_t began_ns, ended_ns;
    int32_t n_parts;
    const hearth_step_part *part; /* [n_parts], valid during the call */
} hearth_step;

/* The engine knows no store: it reports through these. Called on the engine's thread, must
 * return at once; any may be NULL. `tag` is the request's. Every opened is followed by exactly
 * one settled, whatever becomes of the client.
 *
 * ready: tokens, or the end, can be read without waiting. It comes at least once after whatever
 * was there when hearth_next_timeout(r, 0) last gave 2, so nobody who reads until then misses
 * anything. It comes with the request locked: from inside it no function of this header may be
 * called for the request, nor a lock be waited for that somebody holds who does. It never comes
 * after the end was read, nor after hearth_request_free has returned; settled comes before the
 * end can be read. So a tag may go once settled has come and its request was freed or read to the
 * end. */
typedef struct hearth_hooks {
    void *ud;
    void (*opened)(void *ud, void *tag, int32_t n_prompt);
    void (*progress)(void *ud, void *tag, int32_t n_prefilled, int32_t n_generated);
    void (*settled)(void *ud, void *tag, const hearth_usage *u);
    void (*ready)(void *ud, void *tag);
    /* Twice a step: when it begins, with ended_ns 0, and when it has ended, before settled comes
     * for any of its requests. For meters; costs nothing where it is NULL. */
    void (*step)(void *ud, const hearth_step *s);
} hearth_hooks;

typedef struct hearth_engine_options {
    int n_threads; /* 0 = what the machine gives this process */
    /* Largest context of a request in tokens. 0 = the model's own, or what fits kv_bytes if that
     * is less: see hearth_engine_ctx. A context that was asked for and does not fit is
     * ERR_NO_FIT. */
    int32_t n_ctx;
    hearth_kv kv; /* type of the KV cache */
    /* Memory for all KV pages, taken page by page as it is needed. 0 = what max_requests
     * contexts need, at most 3/4 of the memory that is free when the engine starts. */
    uint64_t kv_bytes;
    int32_t batch_tokens; /* largest number of rows of a step (prefill chunk); 0 = 512 */
    int32_t max_requests; /* running at the same time; more wait; 0 = 16 */
    bool no_prefix_reuse; /* every prompt is computed afresh */
    hearth_hooks hooks;
    /* A smaller model with the same vocabulary that guesses tokens ahead; NULL: none. It stays the
     * caller's and must outlive the engine. Changes when tokens come, never which. */
    hearth_model *draft;
    int32_t draft_most;  /* tokens that it guesses at a time, at most; 0: as many as pay */
    bool no_speculation; /* one token a step: the same tokens, where text repeats itself later */
    /* Milliseconds between two tokens that are aimed at while prompts are read beside them; steps
     * that only read prompts may take five times as long. 0 = 100. Says when tokens come, never
     * which. */
    int32_t step_ms;
    int32_t max_queued; /* requests that wait to be let in; more are refused; 0 = 1024 */
    /* Folder where pages of finished prefixes are kept as well, so that they survive a restart;
     * NULL: none. Made where it is missing, readable by its owner only. What another model, another
     * type of pages or another version has left there is passed over. */
    const char *cache_disk;
    uint64_t cache_disk_bytes; /* at most; what was longest unused goes; 0 = 8 GiB */
} hearth_engine_options;

hearth_engine *hearth_engine_new(hearth_model *m, const hearth_engine_options *o, hearth_err *e);
void hearth_engine_free(hearth_engine *g); /* cancels what runs; requests must be freed before */
int32_t hearth_engine_ctx(const hearth_engine *g); /* the context in force, tokens */
int hearth_engine_threads(const hearth_engine *g);

/* Publishes a prefix to all owners: they find its full pages of 64 tokens as if they had computed
 * them, and it is never given up while the engine lives. It serves requests with these adapters
 * (lora, [n_lora], or none) and no others. Waits until it is computed. HEARTH_NO_FIT
 * when a request of full length would not fit beside all that is published; HEARTH_USAGE below 64
 * tokens. */
bool hearth_engine_pin(hearth_engine *g, const int32_t *tokens, size_t n,
                       const hearth_lora_use *lora, size_t n_lora, hearth_err *e);

/* Upper bounds of the step times' classes, in seconds; the last class has none. */
#define HEARTH_STEP_CLASSES 12
extern const double hearth_step_bounds[HEARTH_STEP_CLASSES - 1];

/* Everything since the engine began, except what says "now". */
typedef struct hearth_stats {
    int32_t n_running;      /* now: in the batch */
    int32_t n_waiting;      /* now: submitted, or preempted, and not in the batch */
    uint64_t kv_bytes;      /* budget for keys and values */
    uint64_t kv_used_bytes; /* now: held by requests */
    uint64_t kv_kept_bytes; /* now: kept prefixes that nobody holds, given up at need */
    uint64_t kv_pages, kv_pages_used, kv_pages_kept; /* the same in pages of 64 tokens */
    uint64_t n_prefilled, n_cached;  /* prompt tokens computed, and taken from earlier work */
    uint64_t n_from_disk;            /* of the latter, those read from cache_disk */
    uint64_t n_decoded;              /* tokens generated */
    uint64_t n_drafted, n_accepted;  /* tokens guessed, and guessed right */
    uint64_t n_steps, n_rows;        /* steps, and rows of all steps */
    uint64_t n_preempted, n_evicted; /* requests sent back to wait; kept pages given up */
    uint64_t n_settled;              /* requests that have ended */
    double step_s;                   /* seconds spent in steps */
    uint64_t step_class[HEARTH_STEP_CLASSES]; /* steps by how long they took */
} hearth_stats;
/* As of the last step. Any thread; never waits for a step. */
void hearth_engine_stats(const hearth_engine *g, hearth_stats *out);

/* ---- requests ---- */
typedef struct hearth_grammar hearth_grammar;
typedef enum hearth_grammar_kind {
    HEARTH_GRAMMAR_JSON_SCHEMA, /* properties in the schema's order */
    HEARTH_GRAMMAR_JSON_OBJECT, /* any object; text is not looked at */
    HEARTH_GRAMMAR_GBNF,        /* rules as llama.cpp writes them */
    HEARTH_GRAMMAR_REGEX,       /* the whole answer matches */
    /* GBNF with two elements more, for answers that are free in part: %json {schema} is a value
     * that obeys the schema; %except("a" | "b") is any text, also none, in which none of these
     * texts occurs. A text in quotes is also met by the control token of that text; no control
     * token stands anywhere else. */
    HEARTH_GRAMMAR_RULES
} hearth_grammar_kind;

/* Compiled once, for any model and any number of requests at a time. HEARTH_USAGE names the keyword
 * and its path, or the rule, that cannot be enforced; nothing is ignored. */
hearth_grammar *hearth_grammar_new(hearth_grammar_kind kind, const char *text, size_t len,
                                   hearth_err *e);
void hearth_grammar_free(hearth_grammar *g); /* also while requests still use it; NULL is fine */
size_t hearth_grammar_bytes(const hearth_grammar *g); /* memory held, about; grows with use */

typedef struct hearth_bias {
    int32_t token;
    float bias; /* added to the logit; -INFINITY bans the token */
} hearth_bias;

/* Sampler order: logit bias, penalties (repeat, frequency, presence), DRY, then top-k, typical,
 * top-p, min-p, XTC, temperature, draw; with mirostat 2: bias, penalties, temperature, mirostat.
 * temperature 0 is greedy: the largest logit after bias and penalties, lowest id at a tie. */
typedef struct hearth_params {
    const int32_t *prompt; /* copied */
    size_t n_prompt;       /* at least 1 */
    int32_t max_tokens;    /* -1: until the model ends or the context is full */
    /* Where the context is full, the answer goes on without the older half of what it has behind
     * its first n_keep tokens (-1: the prompt; at most half of the context), and says what a
     * request with the tokens that are left as its prompt would say. Without max_tokens it ends
     * after ten contexts. */
    bool context_shift;
    int32_t n_keep;
    bool ignore_eos;
    const char *const *stop; /* stop strings, a NULL-terminated list or NULL; not in the output */

    float temperature;
    int32_t top_k;                             /* 0: off */
    float top_p, min_p, typical_p;             /* 1, 0, 1: off */
    float xtc_probability, xtc_threshold;      /* 0: off */
    float repeat_penalty;                      /* 1: off */
    float frequency_penalty, presence_penalty; /* 0: off */
    int32_t penalty_last_n;                    /* tokens looked back on; -1: all; 0: off */
    float dry_multiplier, dry_base;            /* multiplier 0: off */
    int32_t dry_allowed_length, dry_last_n;    /* -1: all */
    const char *const *dry_breakers;           /* NULL: newline, colon, quote, asterisk */
    int mirostat;                              /* 0 or 2 */
    float mirostat_tau, mirostat_eta;
    const hearth_bias *bias;
    size_t n_bias;
    uint64_t seed;
    uint64_t choice;    /* index among several answers to one prompt: another stream of numbers */
    int32_t n_logprobs; /* -1: none; 0: of the chosen token; n: and the n likeliest */
    bool special_text;  /* control tokens appear in the text, but for the one that ends it */

    /* What the answer must obey, or NULL: nothing else is drawn, and the answer ends only where it
     * may. Held by the request as long as it needs it. */
    const hearth_grammar *grammar;
    /* Adapters in force, each at most once; held by the request as long as it needs them. Requests
     * with others, or none, run in the same steps; prefixes are shared with the same ones only. */
    const hearth_lora_use *lora;
    size_t n_lora;

    /* A thought longer than so many tokens is closed: thought_close is put in, and the answer goes
     * on. -1: no limit, nothing of this is looked at. The texts are those of control tokens too. */
    int32_t thought_budget;
    bool thought_open;         /* the prompt ends inside a thought */
    const char *thought_begin; /* "<think>"; NULL: none but the prompt's */
    const char *thought_end;   /* "</think>" */
    const char *thought_close; /* with thought_end in it */

    const char *owner; /* whose prefix namespace, and whose share; NULL: the common one */
    int32_t weight;    /* share of the owner beside others, 1 to 1000; 0: 1 */
    void *tag;         /* for the hooks */
} hearth_params;

/* temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, everything else off, max_tokens -1, seed 0. */
hearth_params hearth_params_default(void);

typedef struct hearth_logprob {
    int32_t token;
    float logprob; /* natural log of the model's own probability: before penalties and samplers */
} hearth_logprob;

typedef struct hearth_token {
    int32_t id;       /* also the token that ends the answer, which has no text of its own */
    const char *text; /* whole characters; empty while a character or stop string is open */
    size_t text_len;
    float logprob;             /* NAN unless asked for */
    const hearth_logprob *top; /* [n_top], likeliest first */
    int n_top;
    bool ends; /* it ended the answer: its text is what was held back before it */
} hearth_token;

/* HEARTH_NO_FIT when the prompt leaves no room: the message says how long it is and what fits.
 * HEARTH_BUSY when max_queued requests wait already. */
hearth_request *hearth_submit(hearth_engine *g, const hearth_params *p, hearth_err *e);
/* Waits for the next token: 1 a token, 0 the end (see hearth_request_usage), -1 an error.
 * Held-back text is delivered with the last token, or by one more token with id -1. */
int hearth_next(hearth_request *r, hearth_token *out, hearth_err *e);
/* Like hearth_next, but gives 2 when nothing came within timeout_ms. */
int hearth_next_timeout(hearth_request *r, hearth_token *out, int timeout_ms, hearth_err *e);
void hearth_cancel(hearth_request *r); /* any thread, any time before free; the request ends soon */
void hearth_request_usage(const hearth_request *r, hearth_usage *out);
void hearth_request_free(hearth_request *r); /* cancels first if need be; NULL is fine */

/* ---- embeddings and reranking ---- */

/* Text as it stands, or, where ids is not NULL, tokens with whatever begins and ends them. */
typedef struct hearth_input {
    const char *text;
    size_t n_text;
    const int32_t *ids;
    size_t n_ids;
} hearth_input;

typedef struct hearth_embed_params {
    const char *owner;           /* as in hearth_params */
    int32_t weight;              /* likewise */
    void *tag;                   /* for the hooks: one opened and one settled for the whole call */
    hearth_pooling pooling;      /* NONE: the model's own */
    bool raw;                    /* vectors as they come; else of length 1 */
    bool truncate;               /* too long a text loses its end; else it is an error */
    const hearth_lora_use *lora; /* [n_lora] adapters in force, as in hearth_params */
    size_t n_lora;
    /* Asked some ten times a second while the call waits; true gives up. May be NULL. */
    bool (*stop)(void *ud);
    void *stop_ud;
} hearth_embed_params;

/* Vectors of n texts, [n][*dim] in *out, the caller's by hearth_free. Any number of calls at a
 * time, from any threads; they wait, and the engine puts them together. p may be NULL. n_tokens:
 * [n] or NULL. HEARTH_NO_FIT names the text that is too long, and what fits; HEARTH_BUSY as
 * hearth_submit; HEARTH_INTERRUPTED when stop said so. */
bool hearth_embed(hearth_engine *g, const hearth_input *in, size_t n, const hearth_embed_params *p,
                  float **out, int32_t *dim, int32_t *n_tokens, hearth_err *e);
/* How well each of n texts answers the query, in scores [n]: higher is better. A classifier's own
 * number, or, of models that say yes or no, the probability of yes. Texts only, no ids. n_tokens:
 * of all, or NULL. */
bool hearth_rerank(hearth_engine *g, const hearth_input *query, const hearth_input *docs, size_t n,
                   const hearth_embed_params *p, float *scores, int32_t *n_tokens, hearth_err *e);

#ifdef __cplusplus
}
#endif
#endif
