/* How much of a mapped file is in memory, by /proc/self/smaps. */
#ifndef HEARTH_TESTS_RESIDENT_H
#define HEARTH_TESTS_RESIDENT_H

/* Pages of the mappings of the file whose path ends with name ("/model.gguf"); -1: nobody says. */
int resident_pages(const char *name);

#endif
