/* Help for the tests of this room: opening vocabularies, encoding, and the hash of a list of ids.
 */
#ifndef HEARTH_TESTS_TOK_VOCAB_FILES_H
#define HEARTH_TESTS_TOK_VOCAB_FILES_H

#include "tok/tok.h"

/* $HEARTH_SHARED/<rest>, NULL where there is no such folder. Rotating buffers. */
const char *shared_path(const char *rest);
/* tests/tok/data/<rest> of the source tree. */
const char *data_path(const char *rest);
/* Opens a vocabulary-only file; fails the test with the reason. */
tok *tok_from_file(const char *path);
/* The whole file, NUL-terminated; the caller frees. Fails the test when it cannot be read. */
char *file_bytes(const char *path, size_t *n);
/* Hex SHA-256 of the ids in decimal, joined by single spaces. */
void ids_sha256(const tok_ids *ids, char hex[65]);
/* The ids of a text, with the flags; fails the test on an error. */
tok_ids ids_of(const tok *t, str text, unsigned flags);

#endif
