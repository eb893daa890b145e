/* libzmq used directly by a C program. Compiled when the benchmark starts. */
#include "bodies.h"
#include "roles.h"
#include "side.h"

#include <stdio.h>
#include <string.h>

/* inproc: both sides in one process. */
static void play_both(void) {
  if (strcmp(side.scenario, "latency") == 0) play_echo_inproc();
  else play_push_pull_inproc();
}

/* Behind a broker, worker and client have special roles. */
static int has_broker(void) { return strcmp(side.scenario, "majordomo") == 0 || strcmp(side.scenario, "proxy") == 0; }
static void play_any_worker(void) {
  if (has_broker()) play_broker_worker();
  else play_worker();
}
static void play_any_client(void) {
  if (has_broker()) play_broker_client();
  else play_client();
}

static const struct {
  const char *name;
  void (*play)(void);
} roles[] = {
    {"consumer", play_consumer},     {"producer", play_producer},   {"both", play_both},
    {"ventilator", play_ventilator}, {"worker", play_any_worker},       {"sink", play_sink},
    {"publisher", play_publisher},   {"subscriber", play_subscriber}, {"server", play_server},
    {"client", play_any_client},     {"broker", play_broker},
    {"proxy", play_proxy},
    {"forwarder", play_forwarder},   {"feed", play_feed},           {"reader", play_reader},
    {"start-up", play_start_up},
};

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    printf("libzmq %d.%d.%d\n", major, minor, patch);
    return 0;
  }
  side_arguments(argc, argv);
  zmq_context = zmq_ctx_new();
  checked(zmq_ctx_set(zmq_context, ZMQ_MAX_SOCKETS, 4096), "sockets");
  if (side.endpoint == NULL && strcmp(side.role, "both") == 0) side.endpoint = "inproc://bench";
  bodies_prepare(side.size > 0 ? side.size : 16);
  /* The program of the scenario start-up is not a side: it ends by itself. */
  if (strcmp(side.role, "start-up") != 0) listen_to_runner();
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    if (strcmp(roles[i].name, side.role) == 0) {
      roles[i].play();
      return 0;
    }
  }
  fail("unknown role %s", side.role);
}
