/* Addresses to sockets that listen. "HOST:PORT" with a name, an IPv4 or a bracketed IPv6 address
 * (which then means IPv6 alone, so that both kinds can be asked for at the same port), or
 * "unix:PATH". Owner's thread, before the server runs.
 */
#include "net/http_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define PORT_TRIES 20 /* for a free port that all of a name's addresses have */

/* ---- the list ---- */

static http_listener *add(http_listener **list, int fd, char *address, err *e) {
    http_listener *l = address ? calloc(1, sizeof *l) : NULL;
    if (!l) {
        free(address);
        close(fd);
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    l->fd = fd;
    l->address = address;
    while (*list) list = &(*list)->next;
    return *list = l;
}

void http_listen_close(http_listener *l) {
    struct stat st;
    if (l->ev) event_free(l->ev);
    l->ev = NULL;
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
    /* another server may have put its own socket there since */
    if (l->unix_path && stat(l->unix_path, &st) == 0 && st.st_dev == l->unix_dev &&
        st.st_ino == l->unix_ino)
        unlink(l->unix_path);
    free(l->unix_path);
    l->unix_path = NULL;
}

void http_listen_free(http_listener *list) {
    while (list) {
        http_listener *next = list->next;
        http_listen_close(list);
        free(list->address);
        free(list);
        list = next;
    }
}

/* ---- unix sockets ---- */

static bool listen_unix(http_listener **list, const char *path, err *e) {
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct stat st;
    if (!*path || strlen(path) >= sizeof sa.sun_path)
        return err_set(e, ERR_USAGE, "unix:%s: a socket's path has 1 to %zu bytes", path,
                       sizeof sa.sun_path - 1);
    memcpy(sa.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_set(e, ERR_FAILED, "unix:%s: %s", path, strerror(errno));
    if (lstat(path, &st) == 0) {
        int probe = S_ISSOCK(st.st_mode) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
        bool is_stale = probe >= 0 && connect(probe, (struct sockaddr *)&sa, sizeof sa) != 0 &&
                        errno == ECONNREFUSED;
        if (probe >= 0) close(probe);
        if (!is_stale) {
            close(fd);
            return err_set(e, ERR_FAILED,
                           S_ISSOCK(st.st_mode)
                               ? "unix:%s: another server listens there; stop it, or choose "
                                 "another path with --listen unix:PATH"
                               : "unix:%s: a file of that name is there, and it is no socket; "
                                 "choose another path with --listen unix:PATH",
                           path);
        }
        unlink(path); /* its server is no more */
    }
    /* nobody can connect before listen, so nobody does with the wrong permissions */
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || chmod(path, 0600) != 0 ||
        listen(fd, BACKLOG) != 0 || stat(path, &st) != 0) {
        err_set(e, errno == EACCES ? ERR_DENIED : ERR_FAILED, "unix:%s: %s", path, strerror(errno));
        close(fd);
        return false;
    }
    char address[sizeof sa.sun_path + 5];
    snprintf(address, sizeof address, "unix:%s", path);
    http_listener *l = add(list, fd, strdup(address), e);
    if (!l) return false;
    l->is_unix = true;
    l->unix_path = strdup(path);
    l->unix_dev = st.st_dev;
    l->unix_ino = st.st_ino;
    return true;
}

/* ---- TCP ---- */

static void set_port(struct sockaddr *sa, unsigned port) {
    if (sa->sa_family == AF_INET6) ((struct sockaddr_in6 *)sa)->sin6_port = htons((uint16_t)port);
    else ((struct sockaddr_in *)sa)->sin_port = htons((uint16_t)port);
}

static unsigned get_port(const struct sockaddr *sa) {
    return ntohs(sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
                                           : ((const struct sockaddr_in *)sa)->sin_port);
}

static void print_address(const struct sockaddr *sa, char *dst, size_t cap) {
    char ip[INET6_ADDRSTRLEN] = "?";
    if (sa->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)sa)->sin6_addr, ip, sizeof ip);
        snprintf(dst, cap, "[%s]:%u", ip, get_port(sa));
    } else {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, ip, sizeof ip);
        snprintf(dst, cap, "%s:%u", ip, get_port(sa));
    }
}

/* The message for an address that cannot be had, by errno. */
static void explain(const struct sockaddr *sa, int why, err *e) {
    char where[80], owner[160];
    print_address(sa, where, sizeof where);
    if (why == EADDRINUSE) {
        http_listen_owner(sa, owner, sizeof owner);
        err_set(e, ERR_FAILED,
                "%s is taken%s%s: stop that, or choose another address with --listen ADDRESS:PORT "
                "(port 0: any free one)",
                where, owner[0] ? " by " : " by another process", owner);
    } else if (why == EACCES) {
        err_set(e, ERR_DENIED,
                "%s: not permitted (ports below 1024 belong to the administrator); choose another "
                "with --listen ADDRESS:PORT",
                where);
    } else if (why == EADDRNOTAVAIL) {
        err_set(e, ERR_NOT_FOUND, "%s: this machine has no such address", where);
    } else {
        err_set(e, ERR_FAILED, "cannot listen on %s: %s", where, strerror(why));
    }
}

/* A listening socket, or -1 with errno. */
static int open_tcp(const struct sockaddr *sa, socklen_t n) {
    int on = 1;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa->sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, sa, n) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* All of a name's addresses at one port. With port 0 the first decides, and where it does not suit
 * the others all begin again. Addresses of a kind that this machine lacks are passed over. */
static bool listen_all(http_listener **list, const struct addrinfo *all, unsigned port, bool *again,
                       err *e) {
    int opened = 0, why = EADDRNOTAVAIL;
    unsigned chosen = port;
    *again = false;
    for (const struct addrinfo *a = all; a; a = a->ai_next) {
        struct sockaddr_storage sa = {0};
        socklen_t n = a->ai_addrlen;
        memcpy(&sa, a->ai_addr, n);
        set_port((struct sockaddr *)&sa, chosen);
        int fd = open_tcp((struct sockaddr *)&sa, n);
        if (fd < 0) {
            why = errno;
            bool is_absent = why == EADDRNOTAVAIL || why == EAFNOSUPPORT;
            if (is_absent && (opened || a->ai_next)) continue;
            *again = why == EADDRINUSE && port == 0 && opened > 0;
            explain((struct sockaddr *)&sa, why, e);
            return false;
        }
        char text[80];
        getsockname(fd, (struct sockaddr *)&sa, &n);
        chosen = get_port((struct sockaddr *)&sa);
        print_address((struct sockaddr *)&sa, text, sizeof text);
        if (!add(list, fd, strdup(text), e)) return false;
        opened++;
    }
    return true;
}

/* Splits "[::1]:80" and "name:80". The host is copied without its brackets. */
static bool split_address(const char *text, char *host, size_t cap, unsigned *port, err *e) {
    const char *colon = strrchr(text, ':');
    str h = {text, colon ? (size_t)(colon - text) : 0};
    uint64_t p = 0;
    bool has_brackets = h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']';
    if (has_brackets) h = (str){h.p + 1, h.n - 2};
    bool is_bad = !colon || h.n == 0 || h.n >= cap || !str_to_u64(str_of(colon + 1), &p) ||
                  p > 65535 || (!has_brackets && memchr(h.p, ':', h.n));
    if (is_bad)
        return err_set(e, ERR_USAGE,
                       "%s: not an address to listen on; give HOST:PORT, as in 127.0.0.1:8080, "
                       "[::1]:8080 or localhost:8080, or unix:PATH",
                       text);
    memcpy(host, h.p, h.n);
    host[h.n] = 0;
    *port = (unsigned)p;
    return true;
}

/* Every address once: getaddrinfo may give one several times, by what /etc/hosts says. */
static void drop_repeated(struct addrinfo *all) {
    for (struct addrinfo *a = all; a; a = a->ai_next)
        for (struct addrinfo **b = &a->ai_next; *b;) {
            struct addrinfo *x = *b;
            if (x->ai_addrlen == a->ai_addrlen && !memcmp(x->ai_addr, a->ai_addr, a->ai_addrlen)) {
                *b = x->ai_next;
                x->ai_next = NULL;
                freeaddrinfo(x);
            } else {
                b = &x->ai_next;
            }
        }
}

bool http_listen_open(http_listener **list, const char *address, err *e) {
    if (strncmp(address, "unix:", 5) == 0) return listen_unix(list, address + 5, e);
    char host[256];
    unsigned port = 0;
    if (!split_address(address, host, sizeof host, &port, e)) return false;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *all = NULL;
    int failed = getaddrinfo(host, NULL, &hints, &all);
    if (failed)
        return err_set(e, ERR_NOT_FOUND, "%s: no such host: %s", address, gai_strerror(failed));
    drop_repeated(all);
    http_listener *mine = NULL;
    bool ok = false, again = true;
    for (int i = 0; i < PORT_TRIES && !ok && again; i++) {
        http_listen_free(mine);
        mine = NULL;
        ok = listen_all(&mine, all, port, &again, e);
    }
    freeaddrinfo(all);
    if (!ok) {
        http_listen_free(mine);
        return false;
    }
    while (*list) list = &(*list)->next;
    *list = mine;
    return true;
}
