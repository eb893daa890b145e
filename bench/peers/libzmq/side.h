/*
 * One side of a run, in C: what bench/contract.ts says of a side, for every role.
 */
#ifndef SHOAL_BENCH_SIDE_H
#define SHOAL_BENCH_SIDE_H

#include <stdint.h>
#include <zmq.h>

/* The command line; options are asked for by name. */
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
/* The same with libzmq's reason, if `result` is -1. */
int checked(int result, const char *what);

/* The life of a side. Standard input is read by a thread of its own: when it closes, the process ends. */
void listen_to_runner(void);
void say_ready(void *bound);
/* The same with a second endpoint, for workers. */
void say_ready_with_backend(void *bound, void *backend);
void wait_for_start(void);
int stopping(void);
void wait_for_end(void) __attribute__((noreturn));

/* The measured part: wall time and CPU time. `clock_begin` can be called again, to begin later. */
int64_t nanoseconds(void);
void clock_begin(void);
void clock_end(void);

/* What `done` reports. Unset figures stay zero. */
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
/* Bytes resident now, and at most so far. */
uint64_t resident(void);
uint64_t peak_resident(void);

/* A socket with the case's security and high-water marks. */
void *open_socket(int type);
void set_number(void *socket, int name, int value, const char *what);
/* Binds or connects it to the endpoint, and says nothing. */
void bind_socket(void *socket, const char *endpoint);
void connect_socket(void *socket, const char *endpoint);
/* Binds or connects it, `usual` where the case does not say, and says that it is ready. */
void attach_socket(void *socket, const char *usual);

#endif
