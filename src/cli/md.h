/* Markdown as it streams, for a terminal: what has been written is never taken back, so nothing
 * flickers. Characters are held only while their meaning is open (a line's beginning, a marker,
 * a link, the word at the line's end, a table); the result does not depend on how the text was
 * cut into pieces.
 *
 * Headings, bold, italic, struck, code spans, fenced code, lists, quotes, rules, links, simple
 * tables. Line breaks stay line breaks. Control characters never reach the terminal. One thread.
 *
 *     md *m = md_new(80, true, put, NULL);
 *     md_feed(m, "**so", 4); md_feed(m, "**", 2);
 *     md_finish(m); md_free(m);
 */
#ifndef HEARTH_CLI_MD_H
#define HEARTH_CLI_MD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct md md;
typedef void (*md_put_fn)(void *ud, const char *p, size_t n);

/* width: columns of the terminal. markup false: the text as it is, wrapped, without control
 * characters. NULL when out of memory. */
md *md_new(int width, bool markup, md_put_fn put, void *ud);
void md_feed(md *m, const char *p, size_t n);
/* Writes what is held, ends the line where one is open, and is ready for another text. */
void md_finish(md *m);
void md_free(md *m); /* NULL is fine */

#endif
