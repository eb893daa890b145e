/* From start to the first message: a PUSH and a PULL over tcp, then the end of the process. */
#include "bodies.h"
#include "roles.h"
#include "side.h"

#include <stdio.h>

void play_start_up(void) {
  char endpoint[512];
  size_t length = sizeof endpoint;
  void *pull = open_socket(ZMQ_PULL), *push = open_socket(ZMQ_PUSH);
  zmq_msg_t message;
  bind_socket(pull, "tcp://127.0.0.1:*");
  checked(zmq_getsockopt(pull, ZMQ_LAST_ENDPOINT, endpoint, &length), "last endpoint");
  connect_socket(push, endpoint);
  body_send(push, 0, 0);
  zmq_msg_init(&message);
  checked(zmq_msg_recv(&message, pull, 0), "receive");
  puts("{\"type\":\"first\"}");
}
