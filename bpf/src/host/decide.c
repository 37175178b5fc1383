/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The kernel's decision, compiled for the host: the tests compare it with syva_model::decision. */
#include "decide.h"

unsigned int syva_decide(const struct question *question)
{
	return decide(question);
}

int syva_settled(unsigned int kind, unsigned int operation, unsigned int subject,
		 unsigned int object)
{
	return settled(kind, operation, subject, object);
}
