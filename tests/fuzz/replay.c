/* Runs a fuzz target without a fuzzer: every file of the folders (or files) named as arguments goes
 * through LLVMFuzzerTestOneInput once, in the order of their names, each from a buffer of exactly
 * its size so that a sanitizer sees any read past the end. An empty or missing corpus is a failure:
 * a target that replays nothing proves nothing.
 */
#include "base/buf.h"
#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
    err e = {0};
    buf b;
    buf_init(&b, 64u << 20);
    if (!file_read(&b, path, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        buf_deinit(&b);
        return -1;
    }
    uint8_t *exact = malloc(b.len ? b.len : 1);
    if (!exact) {
        buf_deinit(&b);
        return -1;
    }
    if (b.len) memcpy(exact, b.data, b.len);
    fprintf(stderr, "%s: %zu bytes\n", path, b.len); /* the last line tells which one crashed */
    LLVMFuzzerTestOneInput(exact, b.len);
    free(exact);
    buf_deinit(&b);
    return 1;
}

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* Files replayed, or -1 when one could not be read. */
static int replay_path(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: no such file or folder\n", path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) return replay_file(path);
    struct dirent **names = NULL;
    int n = scandir(path, &names, visible, alphasort), done = 0;
    for (int i = 0; i < n; i++) {
        char full[4096];
        snprintf(full, sizeof full, "%s/%s", path, names[i]->d_name);
        free(names[i]);
        int r = done < 0 ? -1 : replay_file(full);
        done = r < 0 ? -1 : done + r;
    }
    free(names);
    return n < 0 ? -1 : done;
}

int main(int argc, char **argv) {
    int done = 0;
    for (int i = 1; i < argc; i++) {
        int r = replay_path(argv[i]);
        if (r < 0) return 1;
        done += r;
    }
    printf("%d inputs replayed\n", done);
    return done > 0 ? 0 : 1;
}
