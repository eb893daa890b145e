/*
 * The two ends of a forwarder of published messages (proxy.c), as in bench/peers/node/roles/feed.ts.
 *
 *   PUB feed -- topic | body --> XSUB forwarder XPUB --> SUB reader
 *        <-------------- credit ------------------------------+
 */
#include "bodies.h"
#include "roles.h"
#include "side.h"

#include <errno.h>
#include <string.h>

#define PROBE "probe"
#define PROBES 5

/* Sends probes until one arrives, then messages within the reader's credit. */
void play_feed(void) {
  void *publisher = open_socket(ZMQ_PUB), *credits = open_socket(ZMQ_PULL);
  uint64_t window = (uint64_t)number_option("window", 1000), topics = (uint64_t)number_option("topics", 1);
  uint64_t all = (uint64_t)(side.warmup + side.count), words = 0;
  connect_socket(publisher, option("endpoint-forwarder", NULL));
  bind_socket(credits, side.endpoint);
  say_ready(credits);
  wait_for_start();
  set_number(credits, ZMQ_RCVTIMEO, 10, "receive time-out");
  while (words == 0) {
    checked(zmq_send(publisher, PROBE, strlen(PROBE), ZMQ_SNDMORE), "send probe");
    checked(zmq_send(publisher, "", 0, 0), "send probe");
    if (zmq_recv(credits, NULL, 0, 0) != -1) words = 1;
    else if (zmq_errno() != EAGAIN) checked(-1, "receive");
  }
  set_number(credits, ZMQ_RCVTIMEO, -1, "receive time-out");
  for (uint64_t k = 0; k < all; k++) {
    char topic[9];
    if (k == (uint64_t)side.warmup) clock_begin();
    for (; k >= (1 + words) * window; words++) checked(zmq_recv(credits, NULL, 0, 0), "receive");
    topic_of(topic, k % topics);
    checked(zmq_send(publisher, topic, 8, ZMQ_SNDMORE), "send topic");
    body_send(publisher, k, 0);
  }
  struct figures figures = {
      .messages = (uint64_t)side.count,
      .bytes = (uint64_t)(side.count * side.size),
      .ordered = 1,
  };
  say_done(&figures);
  wait_for_end();
}

void play_reader(void) {
  void *subscriber = open_socket(ZMQ_SUB), *credits = open_socket(ZMQ_PUSH);
  uint64_t window = (uint64_t)number_option("window", 1000), probes = 0;
  struct tally tally;
  zmq_msg_t message;
  tally_open(&tally, IN_ORDER, (uint64_t)side.warmup, (uint64_t)side.count, 1);
  checked(zmq_setsockopt(subscriber, ZMQ_SUBSCRIBE, "", 0), "subscribe");
  connect_socket(subscriber, side.endpoint);
  connect_socket(credits, option("endpoint-feed", NULL));
  say_ready(NULL);
  wait_for_start();
  zmq_msg_init(&message);
  while (tally.seen < tally.total) {
    checked(zmq_msg_recv(&message, subscriber, 0), "receive topic");
    int probe = zmq_msg_size(&message) == strlen(PROBE);
    checked(zmq_msg_recv(&message, subscriber, 0), "receive");
    if (probe) {
      if (++probes == PROBES) checked(zmq_send(credits, "", 1, 0), "send credit");
      continue;
    }
    tally_take(&tally, zmq_msg_data(&message), zmq_msg_size(&message));
    if (tally.seen % window == 0) checked(zmq_send(credits, "", 1, 0), "send credit");
    if (tally.seen == (tally.warmup == 0 ? 1 : tally.warmup)) clock_begin();
  }
  clock_end();
  struct figures figures = {
      .messages = (uint64_t)side.count,
      .bytes = (uint64_t)(side.count * side.size),
      .checksum = tally.checksum,
      .ordered = tally_good(&tally),
  };
  say_done(&figures);
  wait_for_end();
}
