/* Which process listens at an address, as far as /proc tells: the socket's inode from
 * /proc/net/tcp or tcp6, then the process that has it open. Any thread.
 */
#include "net/http_private.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STATE_LISTEN 0x0a

/* The kernel prints addresses as 32-bit words in the machine's order. */
static bool is_same_host(const char *hex, const struct sockaddr *sa) {
    uint32_t word[4] = {0}, want[4] = {0};
    int n = sa->sa_family == AF_INET6 ? 4 : 1;
    bool is_any = true, want_any = true, same = true;
    if (n == 4) memcpy(want, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
    else memcpy(want, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    for (int i = 0; i < n; i++) {
        char digits[9] = {0};
        memcpy(digits, hex + 8 * i, 8);
        word[i] = (uint32_t)strtoul(digits, NULL, 16);
        is_any = is_any && word[i] == 0;
        want_any = want_any && want[i] == 0;
        same = same && word[i] == want[i];
    }
    return same || is_any || want_any; /* a socket for every address is in the way of each */
}

/* The inode of the socket that listens there, or 0. */
static unsigned long find_inode(const char *table, const struct sockaddr *sa, unsigned port) {
    FILE *f = fopen(table, "re");
    char line[512];
    unsigned long found = 0;
    size_t digits = strstr(table, "tcp6") ? 32 : 8;
    bool is_same_kind = (digits == 32) == (sa->sa_family == AF_INET6);
    while (f && !found && fgets(line, sizeof line, f)) {
        char local[40] = "";
        unsigned local_port = 0, state = 0;
        unsigned long inode = 0;
        int n = sscanf(line, " %*d: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*s %*s %lu",
                       local, &local_port, &state, &inode);
        if (n != 4 || state != STATE_LISTEN || local_port != port || strlen(local) != digits)
            continue;
        if (!is_same_kind || is_same_host(local, sa)) found = inode;
    }
    if (f) fclose(f);
    return found;
}

static bool has_socket(const char *pid, const char *target) {
    char path[300], link[64];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *d = opendir(path);
    bool found = false;
    for (struct dirent *entry; d && !found && (entry = readdir(d));) {
        ssize_t n = readlinkat(dirfd(d), entry->d_name, link, sizeof link - 1);
        if (n < 0) continue;
        link[n] = 0;
        found = strcmp(link, target) == 0;
    }
    if (d) closedir(d);
    return found;
}

static void name_process(const char *pid, char *dst, size_t cap) {
    char path[300], name[64] = "?";
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    FILE *f = fopen(path, "re");
    if (f) {
        if (!fgets(name, sizeof name, f)) name[0] = 0;
        fclose(f);
    }
    name[strcspn(name, "\n")] = 0;
    char safe[128];
    str_printable(str_of(name), safe, sizeof safe);
    snprintf(dst, cap, "%s (process %s)", safe, pid);
}

void http_listen_owner(const struct sockaddr *sa, char *dst, size_t cap) {
    dst[0] = 0;
    unsigned port = ntohs(sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
                                                    : ((const struct sockaddr_in *)sa)->sin_port);
    bool is_six = sa->sa_family == AF_INET6;
    unsigned long inode = find_inode(is_six ? "/proc/net/tcp6" : "/proc/net/tcp", sa, port);
    /* an IPv6 socket for every address takes IPv4's too, unless it was made not to */
    if (!inode && !is_six) inode = find_inode("/proc/net/tcp6", sa, port);
    if (!inode) return;
    char target[64];
    snprintf(target, sizeof target, "socket:[%lu]", inode);
    DIR *d = opendir("/proc");
    for (struct dirent *entry; d && !dst[0] && (entry = readdir(d));)
        if (isdigit((unsigned char)entry->d_name[0]) && has_socket(entry->d_name, target))
            name_process(entry->d_name, dst, cap);
    if (d) closedir(d);
}
