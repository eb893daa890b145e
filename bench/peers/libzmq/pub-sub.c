/* XPUB and SUB: fan-out, and the cost of subscriptions. */
#include "bodies.h"
#include "roles.h"
#include "side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Waits until all have subscribed; full queues make it wait instead of dropping (XPUB_NODROP). */
void play_publisher(void) {
  void *publisher = open_socket(ZMQ_XPUB);
  long subscriptions = number_option("subscriptions", 0);
  long expected = subscriptions > 0 ? subscriptions : number_option("peers", 1);
  uint64_t all = (uint64_t)(side.warmup + side.count);
  zmq_msg_t request;
  set_number(publisher, ZMQ_XPUB_VERBOSE, 1, "verbose");
  set_number(publisher, ZMQ_XPUB_NODROP, 1, "no drop");
  attach_socket(publisher, strcmp(side.scenario, "proxy") == 0 ? "connect" : "bind");
  wait_for_start();
  zmq_msg_init(&request);
  for (long seen = 0; seen < expected; seen++) checked(zmq_msg_recv(&request, publisher, 0), "subscription");
  zmq_msg_close(&request);
  for (uint64_t k = 0; k < all; k++) {
    if (k == (uint64_t)side.warmup) clock_begin();
    if (subscriptions > 0) {
      char topic[9];
      topic_of(topic, k * 7919 % (uint64_t)subscriptions);
      checked(zmq_send(publisher, topic, 8, ZMQ_SNDMORE), "send topic");
    }
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

/*
 * Several sockets in one thread, each of which must get everything in order. For many subscriptions it uses an
 * XSUB without a send high-water mark: libzmq keeps subscriptions in the send queue, and drops those that do not fit.
 * The first warm socket starts the clock; warm-up messages that reach others later are reported as `late`.
 */
void play_subscriber(void) {
  long sockets = number_option("sockets", 1), subscriptions = number_option("subscriptions", 0);
  struct tally *tallies = calloc((size_t)sockets, sizeof *tallies);
  zmq_pollitem_t *items = calloc((size_t)sockets, sizeof *items);
  long open = sockets;
  int begun = 0;
  uint64_t late = 0;
  char extra[64];
  zmq_msg_t message;
  if (tallies == NULL || items == NULL) fail("no memory");
  for (long i = 0; i < sockets; i++) {
    void *socket = open_socket(subscriptions > 0 ? ZMQ_XSUB : ZMQ_SUB);
    tally_open(&tallies[i], IN_ORDER, (uint64_t)side.warmup, (uint64_t)side.count, 1);
    if (subscriptions == 0) checked(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0), "subscribe");
    else set_number(socket, ZMQ_SNDHWM, 0, "high-water mark");
    connect_socket(socket, side.endpoint);
    for (long s = 0; s < subscriptions; s++) {
      char request[10] = {1};
      topic_of(request + 1, (uint64_t)s);
      checked(zmq_send(socket, request, 9, 0), "subscribe");
    }
    items[i].socket = socket;
    items[i].events = ZMQ_POLLIN;
  }
  say_ready(NULL);
  wait_for_start();
  zmq_msg_init(&message);
  while (open > 0) {
    checked(zmq_poll(items, (int)sockets, -1), "poll");
    for (long i = 0; i < sockets; i++) {
      if (!(items[i].revents & ZMQ_POLLIN)) continue;
      struct tally *tally = &tallies[i];
      while (tally->seen < tally->total && zmq_msg_recv(&message, items[i].socket, ZMQ_DONTWAIT) != -1) {
        if (subscriptions > 0) checked(zmq_msg_recv(&message, items[i].socket, 0), "receive");
        tally_take(tally, zmq_msg_data(&message), zmq_msg_size(&message));
        if (!begun && tally->seen == (tally->warmup == 0 ? 1 : tally->warmup)) {
          begun = 1;
          for (long other = 0; other < sockets; other++)
            if (tallies[other].seen < tally->warmup) late += tally->warmup - tallies[other].seen;
          clock_begin();
        }
      }
      if (tally->seen == tally->total) {
        items[i].events = 0;
        open--;
      }
    }
  }
  clock_end();
  snprintf(extra, sizeof extra, "\"late\":%llu", (unsigned long long)late);
  struct figures figures = {.ordered = 1, .extra = extra};
  for (long i = 0; i < sockets; i++) {
    figures.messages += (uint64_t)side.count;
    figures.checksum += tallies[i].checksum;
    figures.ordered = figures.ordered && tally_good(&tallies[i]);
  }
  figures.bytes = figures.messages * (uint64_t)side.size;
  say_done(&figures);
  wait_for_end();
}
