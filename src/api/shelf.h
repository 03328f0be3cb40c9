/* Things that are kept in memory for later, each under its owner's name and a key: answers to come
 * back to (kept.h), compiled grammars (format.c). Nobody finds another owner's. The whole is
 * bounded: an owner that has more than half of it gives way first, and of several things the one
 * that was unused for the longest. Any thread.
 *
 * Whoever has taken an item down may use its value until it is put back, also when the shelf has
 * given it up meanwhile.
 *
 *     shelf *s = shelf_new(64 << 20, free_it);
 *     shelf_item *i = shelf_take(s, "owner", "key");
 *     if (!i) i = shelf_put(s, "owner", "key", value, n_bytes);  // taken down as well
 *     use(shelf_value(i));
 *     shelf_back(s, i, 0);
 */
#ifndef HEARTH_API_SHELF_H
#define HEARTH_API_SHELF_H

#include "base/str.h"

typedef struct shelf shelf;
typedef struct shelf_item shelf_item;

shelf *shelf_new(size_t max_bytes, void (*free_value)(void *value)); /* NULL: out of memory */
void shelf_free(shelf *s); /* every item is back by then */
/* The value is the shelf's from then on. An item that was there under the same key goes. What does
 * not fit is not kept, but may be used until it is put back. NULL: out of memory; the value was
 * freed. */
shelf_item *shelf_put(shelf *s, const char *owner, const char *key, void *value, size_t n_bytes);
shelf_item *shelf_take(shelf *s, const char *owner, const char *key); /* NULL: not there */
void *shelf_value(const shelf_item *i);
/* n_bytes: what the value holds now, if it has grown; 0: as before. NULL is fine. */
void shelf_back(shelf *s, shelf_item *i, size_t n_bytes);
bool shelf_drop(shelf *s, const char *owner, const char *key); /* false: it is not there */

#endif
