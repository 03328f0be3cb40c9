/* Many clients of one OpenAI-compatible server, and what they saw.
 *
 * Each client is a thread that sends streamed chat completions one after another. A prompt is so
 * many words of a text, of which the first are the same for every request, as a system prompt would
 * be; the rest starts at a different place each time. Temperature is 0, and the end token is
 * ignored where the server honours ignore_eos. load_run returns when all requests have ended or
 * *stop is set; only the calling thread touches *out.
 *
 *     load_result r;
 *     if (load_run(&plan, &r, &e)) printf("%.1f tokens/s\n", (double)r.tokens / r.seconds);
 *     load_result_deinit(&r);
 */
#ifndef HEARTH_CLI_LOAD_H
#define HEARTH_CLI_LOAD_H

#include "base/err.h"
#include "base/str.h"

typedef struct load_plan {
    const char *url;   /* http://host:port, or with the path before /chat/completions */
    const char *model; /* NULL: the first that the server lists */
    const char *key;   /* NULL: none */
    str text;          /* whose words the prompts are */
    int clients, requests, prompt_words, shared_words, max_tokens, timeout_s;
    void (*progress)(void *ud, int n_done, int64_t n_tokens); /* on any client's thread, one at a
                                                                 time; may be NULL */
    void *progress_ud;
    bool (*stop)(void); /* asked now and then; may be NULL */
} load_plan;

typedef struct load_times {
    double *s;
    size_t n, cap;
} load_times;

typedef struct load_result {
    load_times ttft, itl, latency; /* seconds: to the first token, between tokens, of the whole */
    int64_t tokens, prompt_tokens, cached_tokens;
    int n_errors;
    double seconds;
    char error[512]; /* the first one */
    char model[256];
} load_result;

bool load_run(const load_plan *p, load_result *out, err *e);
void load_result_deinit(load_result *r);
/* q of the times, 0 to 1; NAN when there are none. Sorts them. */
double load_quantile(load_times *t, double q);

#endif
