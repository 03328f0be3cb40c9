/* Large anonymous memory, and how much of it this process may have. Any thread. */
#ifndef HEARTH_MODEL_MEMORY_H
#define HEARTH_MODEL_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that can still be used without swapping: the smallest of what the machine has available,
 * what the control groups of this process leave, and what its limit on address space leaves.
 * UINT64_MAX when nothing says. */
uint64_t memory_available(void);

/* Zeroed pages, huge where the kernel gives them, resident when touched. NULL when refused. */
void *memory_map(size_t n);
void memory_unmap(void *p, size_t n); /* NULL is fine */

/* Gives back to the system what malloc keeps for later. Takes milliseconds: for when nothing else
 * is to be done. */
void memory_give_back(void);

#endif
