/* PUSH and PULL: throughput, fan-in, pipeline, CURVE, slow consumer, message size; over inproc, too. */
#define _GNU_SOURCE
#include "bodies.h"
#include "roles.h"
#include "side.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t total(void) { return (uint64_t)(side.warmup + side.count); }

/* Waits until message k of a consumer with `rate` per second is due. */
static void pace(int64_t since, uint64_t k, double rate) {
  int64_t due = since + (int64_t)((double)k / rate * 1e9);
  struct timespec at = {due / 1000000000, due % 1000000000};
  if (due > nanoseconds()) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void consume(void *socket, enum sequence sequence) {
  struct tally tally;
  zmq_msg_t message;
  double rate = (double)number_option("rate", 0);
  int64_t since = 0;
  tally_open(&tally, sequence, (uint64_t)side.warmup, (uint64_t)side.count, (uint64_t)number_option("peers", 1));
  zmq_msg_init(&message);
  while (tally.seen < tally.total) {
    checked(zmq_msg_recv(&message, socket, 0), "receive");
    tally_take(&tally, zmq_msg_data(&message), zmq_msg_size(&message));
    if (tally.seen == (tally.warmup == 0 ? 1 : tally.warmup)) {
      clock_begin();
      since = nanoseconds();
    }
    if (rate > 0 && tally.seen > tally.warmup) pace(since, tally.seen - tally.warmup, rate);
  }
  clock_end();
  zmq_msg_close(&message);
  struct figures figures = {
      .messages = (uint64_t)side.count,
      .bytes = (uint64_t)side.count * (uint64_t)side.size,
      .checksum = tally.checksum,
      .ordered = tally_good(&tally),
  };
  say_done(&figures);
}

void play_consumer(void) {
  void *pull = open_socket(ZMQ_PULL);
  /* A proxy has both endpoints. */
  attach_socket(pull, strcmp(side.scenario, "proxy") == 0 ? "connect" : "bind");
  wait_for_start();
  consume(pull, number_option("peers", 1) > 1 ? BY_STRIDE : IN_ORDER);
  wait_for_end();
}

void play_sink(void) {
  void *pull = open_socket(ZMQ_PULL);
  bind_socket(pull, side.endpoint);
  say_ready(pull);
  wait_for_start();
  consume(pull, ONCE);
  wait_for_end();
}

static void say_produced(uint64_t messages, uint64_t resident_before) {
  char extra[128];
  int64_t growth = (int64_t)peak_resident() - (int64_t)resident_before;
  snprintf(extra, sizeof extra, "\"rssGrowth\":%lld", (long long)(growth < 0 ? 0 : growth));
  struct figures figures = {
      .messages = messages,
      .bytes = messages * (uint64_t)side.size,
      .ordered = 1,
      .extra = extra,
  };
  say_done(&figures);
}

/* Several sockets in one thread: message k is sent by sender k mod peers. */
void play_producer(void) {
  long sockets = number_option("sockets", 1), peers = number_option("peers", 1);
  void *push[sockets];
  uint64_t sent = 0;
  for (long i = 0; i < sockets; i++) {
    push[i] = open_socket(ZMQ_PUSH);
    if (i < sockets - 1) connect_socket(push[i], side.endpoint);
  }
  attach_socket(push[sockets - 1], "connect");
  wait_for_start();
  uint64_t before = resident();
  for (uint64_t base = 0; base < total(); base += (uint64_t)peers) {
    for (long i = 0; i < sockets; i++) {
      uint64_t k = base + (uint64_t)(side.index * sockets + i);
      if (k >= total()) break;
      body_send(push[i], k, 0);
      if (k >= (uint64_t)side.warmup && sent++ == 0) clock_begin();
    }
  }
  say_produced(sent, before);
  wait_for_end();
}

static void *produce_inproc(void *push) {
  for (uint64_t k = 0; k < total(); k++) body_send(push, k, 0);
  return NULL;
}

/* inproc: the producer is a thread of the same process. */
void play_push_pull_inproc(void) {
  pthread_t producer;
  void *pull = open_socket(ZMQ_PULL), *push = open_socket(ZMQ_PUSH);
  bind_socket(pull, side.endpoint);
  connect_socket(push, side.endpoint);
  say_ready(NULL);
  wait_for_start();
  if (pthread_create(&producer, NULL, produce_inproc, push) != 0) fail("no thread");
  consume(pull, IN_ORDER);
  pthread_join(producer, NULL);
  wait_for_end();
}

void play_ventilator(void) {
  void *push = open_socket(ZMQ_PUSH);
  bind_socket(push, side.endpoint);
  say_ready(push);
  wait_for_start();
  uint64_t before = resident();
  for (uint64_t k = 0; k < total(); k++) body_send(push, k, 0);
  say_produced((uint64_t)side.count, before);
  wait_for_end();
}

/* Forwards messages without copies until it is stopped. */
void play_worker(void) {
  void *pull = open_socket(ZMQ_PULL), *push = open_socket(ZMQ_PUSH);
  uint64_t passed = 0, before = resident();
  zmq_msg_t message;
  connect_socket(pull, side.endpoint);
  connect_socket(push, option("endpoint-sink", NULL));
  set_number(pull, ZMQ_RCVTIMEO, 20, "receive time-out");
  say_ready(NULL);
  wait_for_start();
  zmq_msg_init(&message);
  while (!stopping()) {
    if (zmq_msg_recv(&message, pull, 0) == -1) continue;
    checked(zmq_msg_send(&message, push, 0), "send");
    passed++;
  }
  say_produced(passed, before);
  wait_for_end();
}
