/* zmq_proxy between two sockets, in a separate thread: brokers of plain sockets and proxies in C. */
#define _GNU_SOURCE
#include "roles.h"
#include "side.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *frontend, *backend;

/* zmq_proxy ends only with its context, at the end of the process. */
static void *pass(void *unused) {
  (void)unused;
  zmq_proxy(frontend, backend, NULL);
  return NULL;
}

static void run(int front, int back) {
  pthread_t proxy;
  char endpoint[512];
  frontend = open_socket(front);
  backend = open_socket(back);
  if (back == ZMQ_XPUB) {
    /* All subscriptions are forwarded, so that the publisher can count them; full queues make the proxy wait. */
    set_number(backend, ZMQ_XPUB_VERBOSE, 1, "verbose");
    set_number(backend, ZMQ_XPUB_NODROP, 1, "no drop");
  }
  bind_socket(frontend, side.endpoint);
  if (strncmp(side.endpoint, "tcp:", 4) == 0) snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:*");
  else snprintf(endpoint, sizeof endpoint, "%s-backend", side.endpoint);
  bind_socket(backend, endpoint);
  say_ready_with_backend(frontend, backend);
  if (pthread_create(&proxy, NULL, pass, NULL) != 0) fail("no thread");
  wait_for_start();
  uint64_t before = resident();
  while (!stopping()) zmq_poll(NULL, 0, 5);
  char extra[64];
  uint64_t peak = peak_resident();
  snprintf(extra, sizeof extra, "\"rssGrowth\":%llu", (unsigned long long)(peak < before ? 0 : peak - before));
  struct figures figures = {.ordered = 1, .extra = extra};
  say_done(&figures);
  wait_for_end();
}

/* A consumer that reads nothing. */
void play_stalled(void) {
  void *pull = open_socket(ZMQ_PULL);
  connect_socket(pull, side.endpoint);
  say_ready(NULL);
  wait_for_start();
  while (!stopping()) zmq_poll(NULL, 0, 5);
  struct figures figures = {.ordered = 1};
  say_done(&figures);
  wait_for_end();
}

/* A producer that sends until there was no room for a while. */
void play_flood(void) {
  void *push = open_socket(ZMQ_PUSH);
  uint64_t sent = 0;
  zmq_msg_t message;
  set_number(push, ZMQ_SNDTIMEO, (int)number_option("patience", 1000), "patience");
  set_number(push, ZMQ_LINGER, 0, "linger");
  connect_socket(push, side.endpoint);
  say_ready(NULL);
  wait_for_start();
  for (;; sent++) {
    checked(zmq_msg_init_size(&message, (size_t)side.size), "message");
    memset(zmq_msg_data(&message), (int)sent, (size_t)side.size);
    if (zmq_msg_send(&message, push, 0) == -1) break;
  }
  if (zmq_errno() != EAGAIN) fail("send: %s", zmq_strerror(zmq_errno()));
  zmq_msg_close(&message);
  struct figures figures = {.messages = sent, .bytes = sent * (uint64_t)side.size, .ordered = 1};
  say_done(&figures);
  wait_for_end();
}

void play_broker(void) { run(ZMQ_ROUTER, ZMQ_DEALER); }
void play_forwarder(void) { run(ZMQ_XSUB, ZMQ_XPUB); }

void play_proxy(void) {
  const char *kind = option("kind", "");
  if (strcmp(kind, "streamer") == 0) run(ZMQ_PULL, ZMQ_PUSH);
  if (strncmp(kind, "forwarder", 9) == 0) run(ZMQ_XSUB, ZMQ_XPUB);
  run(ZMQ_ROUTER, ZMQ_DEALER);
}
