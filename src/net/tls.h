/* TLS for the server: reading a certificate, and making one that signs itself, for a machine at
 * home that no authority vouches for. Any thread.
 *
 *     char cert[4096], key[4096];
 *     if (!tls_self_keep(folder, cert, sizeof cert, key, sizeof key, &e)) ...
 *     http_options o = {.tls_cert = cert, .tls_key = key, ...};
 */
#ifndef HEARTH_NET_TLS_H
#define HEARTH_NET_TLS_H

#include "base/err.h"

#include <stddef.h>

/* "<folder>/cert.pem" and "<folder>/key.pem" (0600), with the names localhost, this machine's, and
 * the loopback addresses, good for ten years. Made when they are not there, when they expire within
 * 30 days, or when the machine has a new name; else left alone, since clients may have been told to
 * trust it. The folder is made. */
bool tls_self_keep(const char *folder, char *cert, size_t n_cert, char *key, size_t n_key, err *e);
/* SHA-256 of a certificate file as "AB:CD:...", 96 bytes with the NUL: what a person compares. */
bool tls_fingerprint(const char *cert, char out[96], err *e);

/* For the server: TLS 1.2 or newer, HTTP/1.1. NULL on failure. */
struct ssl_ctx_st *tls_server_context(const char *cert, const char *key, err *e);

#endif
