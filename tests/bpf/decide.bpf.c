// SPDX-License-Identifier: Apache-2.0 OR MIT
/*
 * The decision of the hooks, as a program that the kernel runs on request: a packet is a question,
 * the program's return value the answer. A classifier, which every supported kernel can be asked to
 * run.
 */
#include "kernel_types.h"
#include "decide.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* No verdict: the packet is too short. */
#define NOT_ASKED 255
/* Beside the verdict: it is allowed whatever the rows say. */
#define SETTLED	  256

struct __sk_buff;

SEC("tc")
int decision(struct __sk_buff *packet)
{
	struct question question;

	if (bpf_skb_load_bytes(packet, 0, &question, sizeof(question)))
		return NOT_ASKED;
	if (settled(question.kind, question.operation, question.subject, question.object))
		return decide(&question) | SETTLED;
	return decide(&question);
}
