/* Messages that every implementation sends and checks, by the rule in bench/contract.ts. */
#ifndef SHOAL_BENCH_BODIES_H
#define SHOAL_BENCH_BODIES_H

#include <stdint.h>
#include <zmq.h>

/* Fills the table of bodies; call it once, before the other functions. */
void bodies_prepare(long size);
/* Message k in new memory. */
void body_make(zmq_msg_t *message, uint64_t k);
/* Creates and sends message k. -1: the socket is full (with ZMQ_DONTWAIT), and nothing was sent. */
int body_send(void *socket, uint64_t k, int flags);

/* Topic i, eight digits: 9 bytes with the zero. */
void topic_of(char *text, uint64_t i);

/* Required order of a stream's counters. */
enum sequence {
  IN_ORDER,  /* 0, 1, 2, … */
  BY_STRIDE, /* message k from sender k mod n: each residue in order */
  ONCE       /* each exactly once, in any order */
};

struct tally {
  enum sequence sequence;
  uint64_t warmup, seen, total;
  uint64_t strides, *next;  /* BY_STRIDE */
  uint8_t *marks;           /* ONCE: one bit per message */
  uint32_t checksum;
  int ordered;
};
void tally_open(struct tally *tally, enum sequence sequence, uint64_t warmup, uint64_t count, uint64_t strides);
/* Checks a message; a wrong length ends the process. */
void tally_take(struct tally *tally, const uint8_t *bytes, size_t length);
/* Whether all messages came in the required order. */
int tally_good(const struct tally *tally);

#endif
