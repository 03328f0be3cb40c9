/* A table on the terminal: columns as wide as their widest cell. What stands in a pipe looks the
 * same, without colour. One thread.
 *
 *     table *t = table_new("name|>tokens");   // > : to the right
 *     table_cell(t, "%s", name); table_cell(t, "%d", n);   // row after row
 *     table_print(t); table_free(t);
 */
#ifndef HEARTH_CLI_TABLE_H
#define HEARTH_CLI_TABLE_H

#include <stddef.h>

typedef struct table table;

table *table_new(const char *columns); /* NULL: out of memory; the others then do nothing */
void table_cell(table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(const table *t);
void table_free(table *t);
size_t table_width(const table *t); /* columns on the terminal that table_print takes */

#endif
