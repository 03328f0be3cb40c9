#include "net/tls.h"

#include "base/file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAYS_VALID 3650
#define DAYS_BEFORE 30 /* renewed so long before its end */
#define DAY 86400l

/* OpenSSL's own reason; its queue is empty afterwards. */
static bool fail(err *e, const char *what, const char *path) {
    char why[200] = "unknown reason";
    unsigned long code = ERR_get_error();
    if (code) ERR_error_string_n(code, why, sizeof why);
    const char *reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return err_set(e, ERR_FAILED, "%s%s%s: %s", what, path ? " " : "", path ? path : "",
                   reason ? reason : why);
}

/* ---- the server's side ---- */

/* Clients offer what they speak; from them HTTP/1.1 is chosen, and without it none is named. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n_out,
                           const unsigned char *in, unsigned n_in, void *ud) {
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl, (void)ud;
    int r = SSL_select_next_proto((unsigned char **)out, n_out, ours, sizeof ours - 1, in, n_in);
    return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

SSL_CTX *tls_server_context(const char *cert, const char *key, err *e) {
    if (!cert || !key) {
        err_set(e, ERR_USAGE, "TLS needs both a certificate and its key");
        return NULL;
    }
    if (access(cert, R_OK) != 0 || access(key, R_OK) != 0) {
        err_set(e, ERR_NOT_FOUND, "%s: cannot be read", access(cert, R_OK) != 0 ? cert : key);
        return NULL;
    }
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    bool ok = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;
    if (!ok) {
        fail(e, "cannot begin TLS", NULL);
    } else if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        ok = fail(e, "no certificate could be read from", cert);
    } else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        ok = fail(e, "no key that fits the certificate could be read from", key);
    } else if (SSL_CTX_check_private_key(ctx) != 1) {
        ok = fail(e, "the key does not belong to the certificate", cert);
    }
    if (!ok) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);         /* an idle connection keeps none */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets do it without memory */
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    return ctx;
}

/* ---- a certificate of our own ---- */

static void host_name(char *dst, size_t cap) {
    if (gethostname(dst, cap) != 0) dst[0] = 0;
    dst[cap - 1] = 0;
    /* it goes into a list that has its own punctuation */
    for (char *p = dst; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.", *p))
            *p = '-';
    if (!dst[0]) snprintf(dst, cap, "localhost");
}

static X509 *read_cert(const char *path) {
    FILE *f = fopen(path, "re");
    X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    if (f) fclose(f);
    ERR_clear_error();
    return x;
}

/* Whether what is there can stay. */
static bool is_good(const char *cert, const char *key) {
    char host[256];
    host_name(host, sizeof host);
    X509 *x = read_cert(cert);
    FILE *f = fopen(key, "re");
    EVP_PKEY *k = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    if (f) fclose(f);
    time_t soon = time(NULL) + DAYS_BEFORE * DAY;
    bool ok = x && k && X509_check_private_key(x, k) == 1 &&
              X509_cmp_time(X509_get0_notAfter(x), &soon) > 0 &&
              X509_check_host(x, host, 0, 0, NULL) == 1;
    X509_free(x);
    EVP_PKEY_free(k);
    ERR_clear_error();
    return ok;
}

static bool add_extension(X509 *x, X509V3_CTX *v3, int nid, const char *value) {
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, v3, nid, value);
    bool ok = ext && X509_add_ext(x, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* Everything that the certificate says, and its signature. */
static bool fill(X509 *x, EVP_PKEY *key) {
    char host[256], names[700];
    host_name(host, sizeof host);
    snprintf(names, sizeof names, "DNS:localhost,DNS:%s,DNS:%s.local,IP:127.0.0.1,IP:::1", host,
             host);
    unsigned char serial[16];
    X509_NAME *name = X509_get_subject_name(x);
    X509V3_CTX v3;
    X509V3_set_ctx_nodb(&v3);
    X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
    BIGNUM *n = NULL;
    bool ok = RAND_bytes(serial, sizeof serial) == 1 &&
              (serial[0] &= 0x7f, n = BN_bin2bn(serial, sizeof serial, NULL)) &&
              BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) && X509_set_version(x, 2) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(x), -DAY) &&
              X509_gmtime_adj(X509_getm_notAfter(x), DAYS_VALID * DAY) &&
              X509_set_pubkey(x, key) == 1 &&
              X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
                                         (const unsigned char *)"Hearth, signed by itself", -1, -1,
                                         0) == 1 &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                         (const unsigned char *)"localhost", -1, -1, 0) == 1 &&
              X509_set_issuer_name(x, name) == 1 &&
              add_extension(x, &v3, NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(x, &v3, NID_key_usage, "critical,digitalSignature") &&
              add_extension(x, &v3, NID_ext_key_usage, "serverAuth") &&
              add_extension(x, &v3, NID_subject_alt_name, names) &&
              add_extension(x, &v3, NID_subject_key_identifier, "hash") &&
              X509_sign(x, key, EVP_sha256()) > 0;
    BN_free(n);
    return ok;
}

/* The key first: a certificate without its key would be served by nobody, and made anew. */
static bool make(const char *cert, const char *key, err *e) {
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *key_text = BIO_new(BIO_s_mem()), *cert_text = BIO_new(BIO_s_mem());
    char *p = NULL;
    bool ok = false;
    if (!k || !x || !key_text || !cert_text || !fill(x, k) ||
        PEM_write_bio_PKCS8PrivateKey(key_text, k, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(cert_text, x) != 1) {
        fail(e, "cannot make a certificate", NULL);
        goto out;
    }
    long n = BIO_get_mem_data(key_text, &p);
    if (!file_replace(key, p, (size_t)n, 0600, e)) goto out;
    n = BIO_get_mem_data(cert_text, &p);
    ok = file_replace(cert, p, (size_t)n, 0644, e);
out:
    BIO_free(key_text);
    BIO_free(cert_text);
    X509_free(x);
    EVP_PKEY_free(k);
    return ok;
}

bool tls_self_keep(const char *folder, char *cert, size_t n_cert, char *key, size_t n_key, err *e) {
    if (!file_make_dirs(folder, 0700, e)) return false;
    if ((size_t)snprintf(cert, n_cert, "%s/cert.pem", folder) >= n_cert ||
        (size_t)snprintf(key, n_key, "%s/key.pem", folder) >= n_key)
        return err_set(e, ERR_USAGE, "%s: the folder's name is too long", folder);
    struct stat st;
    if (stat(key, &st) == 0 && (st.st_mode & 077) != 0 && chmod(key, 0600) != 0)
        return err_set(e, ERR_DENIED, "%s: others may read this key; chmod 600 it", key);
    return is_good(cert, key) || make(cert, key, e);
}

bool tls_fingerprint(const char *cert, char out[96], err *e) {
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    X509 *x = read_cert(cert);
    bool ok = x && X509_digest(x, EVP_sha256(), sum, &n) == 1 && n == 32;
    for (unsigned i = 0; ok && i < n; i++)
        snprintf(out + 3 * i, 4, i + 1 < n ? "%02X:" : "%02X", sum[i]);
    X509_free(x);
    return ok || err_set(e, ERR_FAILED, "%s: no certificate could be read", cert);
}
