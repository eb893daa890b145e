/* czmq's zbeacon, as zyre uses it: PORT UUID MAILBOX-PORT. Prints the beacons that it hears. When its input ends it
 * says that it leaves, and goes on saying so: its thread sends at its own times, and nobody knows when. */
#include <czmq.h>

static void publish(zactor_t *beacon, const byte *uuid, int port) {
  byte bytes[22] = {'Z', 'R', 'E', 1};
  memcpy(bytes + 4, uuid, 16);
  bytes[20] = (byte) (port >> 8);
  bytes[21] = (byte) port;
  zsock_send(beacon, "sbi", "PUBLISH", bytes, sizeof bytes, 100);
}

int main(int argc, char **argv) {
  alarm(60); /* Whoever started it may be gone. */
  zuuid_t *uuid = zuuid_new();
  zuuid_set_str(uuid, argc > 2 ? argv[2] : "");
  zactor_t *beacon = zactor_new(zbeacon, NULL);
  zsock_send(beacon, "si", "CONFIGURE", atoi(argv[1]));
  char *host = zstr_recv(beacon);
  printf("READY %s\n", host);
  fflush(stdout);
  publish(beacon, zuuid_data(uuid), atoi(argv[3]));
  zsock_send(beacon, "sb", "SUBSCRIBE", (byte *) "ZRE", 3);
  int input = fileno(stdin);
  zpoller_t *poller = zpoller_new(beacon, &input, NULL);
  for (;;) {
    void *ready = zpoller_wait(poller, -1);
    if (ready == &input) {
      zpoller_remove(poller, &input);
      publish(beacon, zuuid_data(uuid), 0);
      continue;
    }
    if (ready != beacon) break;
    char *from = zstr_recv(beacon);
    zframe_t *frame = zframe_recv(beacon);
    char *hex = zframe_strhex(frame);
    printf("BEACON %s %s\n", from, hex);
    fflush(stdout);
    zstr_free(&from);
    zstr_free(&hex);
    zframe_destroy(&frame);
  }
  zpoller_destroy(&poller);
  zactor_destroy(&beacon);
  zuuid_destroy(&uuid);
  zstr_free(&host);
  return 0;
}
