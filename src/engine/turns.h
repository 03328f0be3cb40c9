/* Whose turn it is: shares of owners, and the rows of one step.
 *
 * Every owner has an account of the work done for it, divided by its weight; whoever has least of
 * it is next. This is deficit round-robin in units of work: a row of prefill is 1, more where it
 * looks back far; a row of decode is TURNS_DECODE, since few rows share one reading of the weights.
 * Who comes back after a pause begins with the least account of those who are there: a pause earns
 * nothing, and what was had before it is not forgotten while others are still behind it.
 *
 * A step holds every decode that is ready. Prefill fills what is left of the step's time: the owner
 * with the least account, of its requests the one with the shortest rest, a page of 64 positions at
 * a time. Who is passed over ages: after others of its owner have had twice as many rows as it
 * still needs, it is first. The last rows of a prompt are one turn, over as many steps as they
 * take: a short question is not cut up between the pages of a long text. While nobody decodes,
 * steps are longer, since only those who arrive meanwhile wait for them; but not beside a prompt
 * that ends.
 *
 * Nothing here knows the engine or the model: tests run it with a clock of their own. One thread.
 */
#ifndef HEARTH_ENGINE_TURNS_H
#define HEARTH_ENGINE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/cost.h"

#define TURNS_DECODE 4.0 /* work of a row of decode, in rows of prefill */

typedef struct turns_owner turns_owner;
struct turns_owner {
    turns_owner *next;
    char *name;
    double weight;
    double work;        /* done for it, divided by its weight at the time */
    int32_t n_requests; /* in the engine */
    bool waits;         /* the caller's, while it looks for the next one */
    bool ending;        /* its turn is the last rows of a prompt, and the step was too short */
};

typedef struct turns {
    turns_owner *first;
    double far; /* positions to look back on that are as much work as the rest of a row */
} turns;

void turns_init(turns *t, double far);
void turns_deinit(turns *t);
/* One more request of this owner. NULL: memory is short. weight 0: 1. */
turns_owner *turns_join(turns *t, const char *name, int32_t weight);
void turns_leave(turns *t, turns_owner *o);
double turns_work(const turns *t, int32_t pos, int32_t rows, bool decode);
void turns_charge(turns_owner *o, double work);

/* One request that could take part in a step. */
typedef struct turns_item {
    turns_owner *owner;
    void *who;
    int32_t pos, rest; /* positions done, tokens still to compute: 1 is a decode */
    uint64_t served;   /* step in which it last took part */
    uint64_t passed;   /* rows that others of its owner were given before it; kept by the caller */
    bool silent;       /* no token comes of it when its rest is done */
    int32_t rows;      /* out */
} turns_item;

typedef struct turns_limits {
    int32_t rows;    /* of a step */
    int32_t page;    /* chunks end at multiples of it where they can */
    double decode_s; /* of a step with decodes */
    double idle_s;   /* of a step without */
    bool odd;        /* of two steps that have one row, one is for prefill */
} turns_limits;

/* Rows of prefill that a step has whatever they cost: beside decodes, where they are hardly felt,
 * and without, where fewer would be a waste of reading the weights. Far back in a long text, as
 * many as take the same time: at least one. */
#define TURNS_LEAST_BESIDE 8
#define TURNS_LEAST_IDLE 128

/* Deals out one step: sets rows and passed of all items and charges the owners. Reorders items. */
void turns_plan(turns *t, turns_item *items, int32_t n, const cost *c, const turns_limits *l);
/* The same for texts that are read whole, in any order of tokens: all of one, or nothing; at least
 * one. No item has more than l->rows. */
void turns_plan_whole(turns *t, turns_item *items, int32_t n, const cost *c, const turns_limits *l);
/* Whether a is before b among requests of one owner. */
bool turns_before(int32_t rest_a, uint64_t passed_a, int32_t rest_b, uint64_t passed_b);

#endif
