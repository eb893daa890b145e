/*
 * Worker and client of a broker of plain sockets (proxy.c), the reference for Majordomo.
 *
 *   DEALER client --> ROUTER broker DEALER --> DEALER worker, which returns each message
 */
#define _GNU_SOURCE
#include "bodies.h"
#include "roles.h"
#include "side.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void play_broker_worker(void) {
  uint64_t handled = 0;
  zmq_msg_t frame;
  void *socket = open_socket(ZMQ_DEALER);
  set_number(socket, ZMQ_RCVTIMEO, 20, "receive time-out");
  connect_socket(socket, side.endpoint);
  say_ready(NULL);
  zmq_msg_init(&frame);
  while (!stopping()) {
    int more;
    if (zmq_msg_recv(&frame, socket, 0) == -1) {
      if (zmq_errno() != EAGAIN) checked(-1, "receive");
      continue;
    }
    do {
      more = zmq_msg_more(&frame);
      checked(zmq_msg_send(&frame, socket, more ? ZMQ_SNDMORE : 0), "send");
      if (more) checked(zmq_msg_recv(&frame, socket, 0), "receive");
    } while (more);
    handled++;
  }
  struct figures figures = {.messages = handled, .bytes = handled * (uint64_t)side.size, .ordered = 1};
  say_done(&figures);
  wait_for_end();
}

/* Keeps `window` requests in flight. */
void play_broker_client(void) {
  void *socket = open_socket(ZMQ_DEALER);
  uint64_t window = (uint64_t)number_option("window", 1), sent = 0;
  int64_t *asked = calloc((size_t)(side.warmup + side.count), sizeof *asked);
  int64_t *latencies = calloc((size_t)side.count, sizeof *latencies);
  long kept = 0;
  struct tally tally;
  zmq_msg_t message;
  if (asked == NULL || latencies == NULL) fail("no memory");
  tally_open(&tally, ONCE, (uint64_t)side.warmup, (uint64_t)side.count, 1);
  connect_socket(socket, side.endpoint);
  say_ready(NULL);
  wait_for_start();
  zmq_msg_init(&message);
  while (tally.seen < tally.total) {
    while (sent < tally.total && sent - tally.seen < window) {
      asked[sent] = nanoseconds();
      body_send(socket, sent++, 0);
    }
    checked(zmq_msg_recv(&message, socket, 0), "receive");
    const uint8_t *bytes = zmq_msg_data(&message);
    tally_take(&tally, bytes, zmq_msg_size(&message));
    uint64_t k = (uint64_t)bytes[0] << 24 | (uint64_t)bytes[1] << 16 | (uint64_t)bytes[2] << 8 | bytes[3];
    if (k >= tally.warmup && k < tally.total && kept < side.count) latencies[kept++] = nanoseconds() - asked[k];
    if (tally.seen == tally.warmup) clock_begin();
  }
  clock_end();
  struct figures figures = {
      .messages = (uint64_t)side.count,
      .bytes = (uint64_t)(side.count * side.size),
      .checksum = tally.checksum,
      .ordered = tally_good(&tally),
      .latencies = latencies,
      .latency_count = kept,
  };
  say_done(&figures);
  wait_for_end();
}
