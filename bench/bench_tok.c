/* Speed and memory of the tokenizers. Not a test: it prints what it measures.
 *
 *     bench_tok VOCAB.gguf [TEXT]...
 *
 * For each vocabulary: 1, 4 and 16 MB of one repeated unit (a letter, a space, a newline, an
 * ideograph, a broken byte), then the texts given. Each figure is the best of three runs; memory is
 * the growth of the peak resident set over one run, in a child process, by bytes of text. */
#include "base/file.h"
#include "base/limits.h"
#include "tok/tok.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Processor time: one thread works, and other programs may run beside it. */
static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double peak_bytes(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)r.ru_maxrss * 1024;
}

/* Seconds of one encoding, and tokens; negative on an error. */
static double encode_once(const tok *t, str text, size_t *n_ids) {
    tok_ids ids = {0};
    err e = {0};
    double start = cpu_s();
    bool ok = tok_encode(t, text, 0, &ids, &e);
    double took = cpu_s() - start;
    *n_ids = ids.n;
    tok_ids_deinit(&ids);
    if (!ok) fprintf(stderr, "%s\n", e.msg);
    return ok ? took : -1;
}

/* In a child, so that every run starts from the same resident set. */
static double memory_per_byte(const tok *t, str text) {
    int ends[2];
    double grown = -1;
    if (pipe(ends)) return -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        size_t n;
        double before = peak_bytes();
        encode_once(t, text, &n);
        grown = peak_bytes() - before;
        if (write(ends[1], &grown, sizeof grown) != sizeof grown) _exit(1);
        _exit(0);
    }
    close(ends[1]);
    if (child > 0) {
        if (read(ends[0], &grown, sizeof grown) != sizeof grown) grown = -1;
        waitpid(child, NULL, 0);
    }
    close(ends[0]);
    return grown / (double)text.n;
}

static void measure(const tok *t, const char *what, str text) {
    double best = 0;
    size_t n_ids = 0;
    double memory = memory_per_byte(t, text);
    for (int i = 0; i < 3; i++) {
        double s = encode_once(t, text, &n_ids);
        if (s < 0) return;
        if (i == 0 || s < best) best = s;
    }
    double mb = (double)text.n / 1e6;
    printf("  %-14s %7.2f MB  %8.1f MB/s  %9zu tokens  %6.1f bytes a byte\n", what, mb, mb / best,
           n_ids, memory);
}

static void measure_repeated(const tok *t, const char *what, const char *unit) {
    static const size_t sizes[] = {1u << 20, 4u << 20, 16u << 20};
    size_t n = strlen(unit);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *text = malloc(sizes[i]);
        if (!text) return;
        for (size_t k = 0; k < sizes[i]; k++) text[k] = unit[k % n];
        measure(t, what, (str){text, sizes[i] / n * n});
        free(text);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: bench_tok VOCAB.gguf [TEXT]...\n");
        return 2;
    }
    err e = {0};
    gguf *g = gguf_open(argv[1], &e);
    double start = cpu_s();
    tok *t = g ? tok_open(g, &e) : NULL;
    if (!t) {
        fprintf(stderr, "%s\n", e.msg);
        return e.code;
    }
    printf("%s: %d tokens, opened in %.0f ms\n", argv[1], tok_n_vocab(t), (cpu_s() - start) * 1e3);
    gguf_close(g);
    for (int i = 2; i < argc; i++) {
        buf text;
        buf_init(&text, LIMIT_TEXT_BYTES);
        if (file_read(&text, argv[i], &e)) {
            const char *slash = strrchr(argv[i], '/');
            measure(t, slash ? slash + 1 : argv[i], buf_str(&text));
        }
        buf_deinit(&text);
    }
    measure_repeated(t, "letters", "a");
    measure_repeated(t, "spaces", " ");
    measure_repeated(t, "newlines", "\n");
    measure_repeated(t, "ideographs", "\xe4\xb8\x96");
    measure_repeated(t, "broken bytes", "\xff");
    tok_close(t);
    return 0;
}
