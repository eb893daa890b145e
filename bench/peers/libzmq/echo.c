/* A server that returns messages, and its clients: latency, load, request-reply, connections. */
#define _GNU_SOURCE
#include "bodies.h"
#include "roles.h"
#include "side.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* REQ and REP if the case requires them; otherwise DEALER and ROUTER. */
static int strict(void) { return strcmp(option("pattern", "dealer-router"), "req-rep") == 0; }

static int is(const char *scenario) { return strcmp(side.scenario, scenario) == 0; }

static void say_connections(uint64_t before, long connections) {
  char extra[160];
  uint64_t now = resident();
  snprintf(extra, sizeof extra, "\"rssBefore\":%llu,\"rssAfter\":%llu,\"bytesPerConnection\":%.1f",
           (unsigned long long)before, (unsigned long long)now,
           ((double)now - (double)before) / (double)connections);
  struct figures figures = {
      .messages = (uint64_t)connections,
      .bytes = (uint64_t)(connections * side.size),
      .ordered = 1,
      .extra = extra,
  };
  say_done(&figures);
}

/* Echoes whole messages, including address frames. */
void play_server(void) {
  void *socket = open_socket(strict() ? ZMQ_REP : ZMQ_ROUTER);
  int only_memory = is("idle-memory"), more;
  uint64_t echoed = 0, before;
  uint64_t last = only_memory ? (uint64_t)number_option("connections", 1) : UINT64_MAX;
  zmq_msg_t frame;
  set_number(socket, ZMQ_RCVTIMEO, 20, "receive time-out");
  bind_socket(socket, side.endpoint);
  say_ready(socket);
  before = resident();
  zmq_msg_init(&frame);
  /* It serves from the beginning, since clients greet before `start`. */
  while (!stopping() && echoed < last) {
    if (zmq_msg_recv(&frame, socket, 0) == -1) {
      if (zmq_errno() != EAGAIN) checked(-1, "receive");
      continue;
    }
    do {
      more = zmq_msg_more(&frame);
      checked(zmq_msg_send(&frame, socket, more ? ZMQ_SNDMORE : 0), "send");
      if (more) checked(zmq_msg_recv(&frame, socket, 0), "receive");
    } while (more);
    echoed++;
  }
  if (only_memory) {
    wait_for_start(); /* Comes when the clients are ready, and so connected. */
    say_connections(before, number_option("connections", 1));
  } else {
    struct figures figures = {.messages = echoed, .bytes = echoed * (uint64_t)side.size, .ordered = 1};
    say_done(&figures);
  }
  wait_for_end();
}

static void take(void *socket, struct tally *tally) {
  zmq_msg_t message;
  zmq_msg_init(&message);
  checked(zmq_msg_recv(&message, socket, 0), "receive");
  tally_take(tally, zmq_msg_data(&message), zmq_msg_size(&message));
  zmq_msg_close(&message);
}

/* Each socket has one request in flight. Count and warm-up are per socket. */
static void ask_in_turn(void) {
  long sockets = number_option("sockets", 1), all = side.warmup + side.count;
  zmq_pollitem_t *items = calloc((size_t)sockets, sizeof *items);
  struct tally *tallies = calloc((size_t)sockets, sizeof *tallies);
  int64_t *asked = calloc((size_t)sockets, sizeof *asked);
  int64_t *latencies = malloc((size_t)(sockets * side.count) * sizeof *latencies);
  long replies = 0, kept = 0;
  if (items == NULL || tallies == NULL || asked == NULL || latencies == NULL) fail("no memory");
  for (long i = 0; i < sockets; i++) {
    items[i].socket = open_socket(strict() ? ZMQ_REQ : ZMQ_DEALER);
    items[i].events = ZMQ_POLLIN;
    connect_socket(items[i].socket, side.endpoint);
    tally_open(&tallies[i], IN_ORDER, (uint64_t)side.warmup, (uint64_t)side.count, 1);
  }
  say_ready(NULL);
  wait_for_start();
  for (long i = 0; i < sockets; i++) {
    asked[i] = nanoseconds();
    body_send(items[i].socket, 0, 0);
  }
  while (replies < sockets * all) {
    if (sockets > 1) checked(zmq_poll(items, (int)sockets, -1), "poll");
    for (long i = 0; i < sockets; i++) {
      if (sockets > 1 && !(items[i].revents & ZMQ_POLLIN)) continue;
      struct tally *tally = &tallies[i];
      take(items[i].socket, tally);
      int64_t now = nanoseconds();
      if (tally->seen > tally->warmup) latencies[kept++] = now - asked[i];
      if (++replies == sockets * side.warmup) clock_begin();
      if (tally->seen == tally->total) continue;
      asked[i] = nanoseconds();
      body_send(items[i].socket, tally->seen, 0);
    }
  }
  clock_end();
  struct figures figures = {.ordered = 1, .latencies = latencies, .latency_count = kept};
  for (long i = 0; i < sockets; i++) {
    figures.checksum += tallies[i].checksum;
    figures.ordered = figures.ordered && tally_good(&tallies[i]);
  }
  figures.messages = (uint64_t)(sockets * side.count);
  figures.bytes = figures.messages * (uint64_t)side.size;
  say_done(&figures);
}

/*
 * Open loop: request k is due at k / rate, whatever happened to earlier ones, and its latency counts from then. So a
 * stall affects every request that it delayed (no coordinated omission).
 */
static void ask_on_schedule(void) {
  double rate = (double)number_option("rate", 1000);
  void *socket = open_socket(ZMQ_DEALER);
  struct tally tally;
  int64_t *latencies = malloc((size_t)side.count * sizeof *latencies);
  if (latencies == NULL) fail("no memory");
  tally_open(&tally, IN_ORDER, (uint64_t)side.warmup, (uint64_t)side.count, 1);
  connect_socket(socket, side.endpoint);
  say_ready(NULL);
  wait_for_start();
  body_send(socket, 0, 0); /* Waits for the connection before the schedule begins. */
  take(socket, &tally);
  int64_t begun = nanoseconds();
  uint64_t sent = 1;
  long kept = 0;
  while (tally.seen < tally.total) {
    int moved = 0;
    while (sent < tally.total && begun + (int64_t)((double)(sent - 1) / rate * 1e9) <= nanoseconds()) {
      if (body_send(socket, sent, ZMQ_DONTWAIT) == -1) break;
      sent++;
      moved = 1;
    }
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (tally.seen < sent && zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) != -1) {
      int64_t due = begun + (int64_t)((double)(tally.seen - 1) / rate * 1e9);
      tally_take(&tally, zmq_msg_data(&message), zmq_msg_size(&message));
      if (tally.seen > tally.warmup) latencies[kept++] = nanoseconds() - due;
      if (tally.seen == tally.warmup) clock_begin();
      moved = 1;
    }
    zmq_msg_close(&message);
    if (!moved) sched_yield(); /* Sleeping is too coarse for thousands per second. */
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
}

/* Opens connections `first` … `first + count - 1`, each with a message and its reply. */
static void connect_many(void **sockets, long first, long count, struct tally *tally) {
  for (long i = first; i < first + count; i++) {
    sockets[i] = open_socket(ZMQ_DEALER);
    connect_socket(sockets[i], side.endpoint);
    body_send(sockets[i], (uint64_t)i, 0);
  }
  /* Waits for the replies in turn; the last one stops the clock. */
  for (long i = first; i < first + count; i++) take(sockets[i], tally);
}

/* The second in us. */
enum { WARM_AT_ONCE = 250, SETTLED_AFTER = 200000 };

static void storm(void) {
  void **sockets = calloc((size_t)(side.warmup + side.count), sizeof *sockets);
  struct tally tally;
  tally_open(&tally, IN_ORDER, (uint64_t)side.warmup, (uint64_t)side.count, 1);
  say_ready(NULL);
  wait_for_start();
  /* Before the counted ones: no implementation has room for all as sockets. */
  for (long first = 0; first < side.warmup; first += WARM_AT_ONCE) {
    long count = side.warmup - first < WARM_AT_ONCE ? side.warmup - first : WARM_AT_ONCE;
    connect_many(sockets, first, count, &tally);
    for (long i = first; i < first + count; i++) checked(zmq_close(sockets[i]), "close");
  }
  if (side.warmup > WARM_AT_ONCE) usleep(SETTLED_AFTER);
  clock_begin();
  connect_many(sockets, side.warmup, side.count, &tally);
  clock_end();
  struct figures figures = {
      .messages = (uint64_t)side.count,
      .bytes = (uint64_t)(side.count * side.size),
      .checksum = tally.checksum,
      .ordered = tally_good(&tally),
  };
  say_done(&figures);
}

static void idle(void) {
  long connections = number_option("connections", 1);
  void **sockets = calloc((size_t)connections, sizeof *sockets);
  struct tally tally;
  uint64_t before = resident();
  tally_open(&tally, IN_ORDER, 0, (uint64_t)connections, 1);
  connect_many(sockets, 0, connections, &tally);
  say_ready(NULL);
  wait_for_start();
  say_connections(before, connections);
}

static void *echo_inproc(void *reply) {
  zmq_msg_t message;
  zmq_msg_init(&message);
  for (long k = 0; k < side.warmup + side.count; k++) {
    checked(zmq_msg_recv(&message, reply, 0), "receive");
    checked(zmq_msg_send(&message, reply, 0), "send");
  }
  return NULL;
}

/* inproc: the server is a thread of the same process. */
void play_echo_inproc(void) {
  pthread_t server;
  void *reply = open_socket(ZMQ_REP);
  bind_socket(reply, side.endpoint);
  if (pthread_create(&server, NULL, echo_inproc, reply) != 0) fail("no thread");
  ask_in_turn();
  wait_for_end();
}

void play_client(void) {
  if (is("latency-under-load")) ask_on_schedule();
  else if (is("connection-storm")) storm();
  else if (is("idle-memory")) idle();
  else ask_in_turn();
  wait_for_end();
}
