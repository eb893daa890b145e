/*
 * A side of a run in C, by bench/contract.ts, for every role.
 */
#ifndef SHOAL_BENCH_SIDE_H
#define SHOAL_BENCH_SIDE_H

#include <stdint.h>
#include <zmq.h>

/* The command line, with options by name. */
struct side {
  const char *scenario, *role, *transport, *endpoint;
  long index, size, count, warmup;
};
extern struct side side;
extern void *zmq_context;

void side_arguments(int argc, char **argv);
const char *option(const char *name, const char *otherwise);
long number_option(const char *name, long otherwise);

/* Ends the process with exit code 1 and the reason. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Like `fail` with libzmq's reason, if `result` is -1. */
int checked(int result, const char *what);

/* The life of a side. A separate thread reads standard input, and ends the process when that closes. */
void listen_to_runner(void);
void say_ready(void *bound);
/* Also reports a second endpoint, for workers. */
void say_ready_with_backend(void *bound, void *backend);
void wait_for_start(void);
int stopping(void);
void wait_for_end(void) __attribute__((noreturn));

/* The measured part: wall time and CPU time. It begins with `start`, and after the warm-up again with `clock_begin`. */
int64_t nanoseconds(void);
void clock_begin(void);
void clock_end(void);

/* Figures of `done`. Unset ones are zero. */
struct figures {
  uint64_t messages, bytes;
  uint32_t checksum;
  int ordered;
  /* Nanoseconds each; sorted by `say_done`. */
  int64_t *latencies;
  long latency_count;
  /* The inside of a JSON object, or NULL. */
  const char *extra;
};
void say_done(struct figures *figures);
/* Resident bytes now, and their maximum so far. */
uint64_t resident(void);
uint64_t peak_resident(void);

/* A socket with the case's security and high-water marks. */
void *open_socket(int type);
void set_number(void *socket, int name, int value, const char *what);
/* Binds or connects it to the endpoint without a line of output. */
void bind_socket(void *socket, const char *endpoint);
void connect_socket(void *socket, const char *endpoint);
/* Binds or connects it (default: `usual`), and prints that it is ready. */
void attach_socket(void *socket, const char *usual);

#endif
