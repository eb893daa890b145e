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
  while (!stopping()) zmq_poll(NULL, 0, 5);
  struct figures figures = {.ordered = 1};
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
