/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The decision, and the only one: who may do what to whom. Pure: no map, no helper, no kernel type.
 * It is compiled for the host too, and compared there with syva_model::decision over all its
 * inputs.
 */
#ifndef SYVA_DECIDE_H
#define SYVA_DECIDE_H

#include "model.h"

enum zone_flag {
	ZONE_FLAG_PRIVILEGED = 1,
	ZONE_FLAG_AUDIT = 2,
	ZONE_FLAG_PTRACE = 4,
};

enum verdict {
	VERDICT_ALLOW,
	VERDICT_WOULD_DENY,
	VERDICT_DENY,
	/* No answer: what is told of a task that one who may has moved out of its zone. */
	VERDICT_ESCAPE,
};

struct question {
	unsigned int kind;	/* enum object_kind */
	unsigned int operation; /* enum operation */
	unsigned int subject;	/* the caller's zone */
	unsigned int flags;	/* of the caller's zone row; 0, the strictest, if it has none */
	unsigned int object;	/* the object's zone */
	unsigned int pair;	/* whether the pair of the two is allowed */
	unsigned int given;	/* whether this very host socket was given to the caller's zone */
};

/* Nothing may reach what is changing zone, nor what could not be identified. */
static inline int out_of_reach(unsigned int object)
{
	return object == ZONE_LIMBO || object == ZONE_UNKNOWN;
}

/* Whether the answer is "allow" whatever the zone row and the pair say: the fast path asks this
 * first. */
static inline int settled(unsigned int kind, unsigned int operation, unsigned int subject,
			  unsigned int object)
{
	if (subject == ZONE_HOST)
		return 1;
	if (out_of_reach(object) || operation == OPERATION_RELABEL)
		return 0;
	if (object == subject)
		return operation != OPERATION_CONTROL;
	return object == ZONE_HOST && kind == OBJECT_FILE && operation != OPERATION_GOVERN;
}

/*
 * Whether the zone's permissions and pairs open what is not settled. A pair of zones opens their
 * use, never tracing across them; the host in a pair opens both, since the operator named it. A
 * socket that was given is open if it is the host's, and opens nothing else. Nothing opens what
 * would change the reach of a claim, nor what enforcement rests on.
 */
static inline int opened(const struct question *q)
{
	if (out_of_reach(q->object) || q->operation == OPERATION_RELABEL)
		return 0;
	if (q->object == q->subject)
		return q->flags & ZONE_FLAG_PTRACE;
	if (q->operation == OPERATION_GOVERN)
		return 0;
	if (q->given && q->kind == OBJECT_SOCKET && q->object == ZONE_HOST)
		return 1;
	return q->pair && (q->operation == OPERATION_USE || q->object == ZONE_HOST);
}

static inline enum verdict decide(const struct question *q)
{
	if (settled(q->kind, q->operation, q->subject, q->object) ||
	    (q->flags & ZONE_FLAG_PRIVILEGED) || opened(q))
		return VERDICT_ALLOW;
	return q->flags & ZONE_FLAG_AUDIT ? VERDICT_WOULD_DENY : VERDICT_DENY;
}

#endif
