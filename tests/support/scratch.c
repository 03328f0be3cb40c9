#include "support/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static char folder[512];
static pid_t owner; /* children that exit must not remove the folder */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void remove_folder(void) {
    if (getpid() == owner) nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

const char *scratch_dir(void) {
    if (folder[0]) return folder;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hearth-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) give_up(folder);
    owner = getpid();
    chmod(folder, 0755); /* so that nobody can look in */
    atexit(remove_folder);
    return folder;
}

const char *scratch_path(const char *name) {
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_dir(), name);
    return path;
}

const char *scratch_write(const char *name, const void *data, size_t n) {
    const char *path = scratch_path(name);
    FILE *f = fopen(path, "wb");
    if (!f) give_up(path);
    if (fwrite(data, 1, n, f) != n || fclose(f) != 0) give_up(path);
    return path;
}

int scratch_count(const char *prefix) {
    DIR *d = opendir(scratch_dir());
    if (!d) give_up(folder);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(d));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            n++;
    closedir(d);
    return n;
}

int scratch_as_nobody(int (*fn)(void *ud), void *ud) {
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) {
        if (getuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)) _exit(125);
        _exit(fn(ud));
    }
    int status;
    if (waitpid(child, &status, 0) != child) give_up("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool scratch_set_comma_locale(void) {
    const char *path = scratch_path("de_DE.UTF-8");
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp("localedef", "localedef", "-i", "de_DE", "-f", "UTF-8", path, (char *)NULL);
        _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) != child) give_up("waitpid");
    setenv("LOCPATH", scratch_dir(), 1);
    bool found = setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
    unsetenv("LOCPATH");
    return found;
}
