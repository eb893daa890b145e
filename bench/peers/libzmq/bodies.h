/* The messages that every contender sends and checks; the rule is in bench/contract.ts. */
#ifndef SHOAL_BENCH_BODIES_H
#define SHOAL_BENCH_BODIES_H

#include <stdint.h>
#include <zmq.h>

/* Fills the table of bodies; called once, before anything else here. */
void bodies_prepare(long size);
/* Message k, in memory of its own. */
void body_make(zmq_msg_t *message, uint64_t k);
/* Makes and sends message k. -1: the socket is full (with ZMQ_DONTWAIT), nothing has happened. */
int body_send(void *socket, uint64_t k, int flags);

/* Topic i, eight digits: 9 bytes with the zero. */
void topic_of(char *text, uint64_t i);

/* How the counters of a stream have to come. */
enum sequence {
  IN_ORDER,  /* 0, 1, 2, … */
  BY_STRIDE, /* message k from sender k mod n: each residue in order */
  ONCE       /* each exactly once, in any order */
};

struct tally {
  enum sequence sequence;
  uint64_t warmup, seen, total;
  uint64_t strides, *next;  /* BY_STRIDE */
  uint8_t *marks;           /* ONCE: a bit a message */
  uint32_t checksum;
  int ordered;
};
void tally_open(struct tally *tally, enum sequence sequence, uint64_t warmup, uint64_t count, uint64_t strides);
/* Checks a message; ends the process when its length is wrong. */
void tally_take(struct tally *tally, const uint8_t *bytes, size_t length);
/* Whether what should have come has come as it should. */
int tally_good(const struct tally *tally);

#endif
