/* Arguments, standard input and output, clocks: see side.h. */
#define _GNU_SOURCE
#include "side.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_OPTIONS 64

struct side side;
void *zmq_context;

static const char *option_names[MAX_OPTIONS];
static const char *option_values[MAX_OPTIONS];
static int option_count;

static pthread_mutex_t life = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int started;
static volatile int stopped;

static int64_t begun, ended;
static double cpu_begun, cpu_ended;

void fail(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  vfprintf(stderr, format, rest);
  va_end(rest);
  fputc('\n', stderr);
  fflush(stderr);
  _exit(1);
}

int checked(int result, const char *what) {
  if (result == -1) fail("%s: %s", what, zmq_strerror(zmq_errno()));
  return result;
}

static void add_option(char *pair) {
  char *equals = strchr(pair, '=');
  if (equals == NULL) fail("--option takes KEY=VALUE, not %s", pair);
  if (option_count == MAX_OPTIONS) fail("more than %d options", MAX_OPTIONS);
  *equals = '\0';
  option_names[option_count] = pair;
  option_values[option_count++] = equals + 1;
}

void side_arguments(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i];
    char *value = argv[i + 1];
    if (strcmp(name, "--scenario") == 0) side.scenario = value;
    else if (strcmp(name, "--role") == 0) side.role = value;
    else if (strcmp(name, "--transport") == 0) side.transport = value;
    else if (strcmp(name, "--endpoint") == 0) side.endpoint = value;
    else if (strcmp(name, "--index") == 0) side.index = atol(value);
    else if (strcmp(name, "--size") == 0) side.size = atol(value);
    else if (strcmp(name, "--count") == 0) side.count = atol(value);
    else if (strcmp(name, "--option") == 0) add_option(value);
    else fail("unknown argument %s", name);
  }
  if (side.scenario == NULL || side.role == NULL) fail("--scenario and --role are needed");
  side.warmup = number_option("warmup", 0);
}

/* The last value counts. */
const char *option(const char *name, const char *otherwise) {
  for (int i = option_count - 1; i >= 0; i--) {
    if (strcmp(option_names[i], name) == 0) return option_values[i];
  }
  return otherwise;
}

long number_option(const char *name, long otherwise) {
  const char *text = option(name, NULL);
  return text == NULL ? otherwise : atol(text);
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static void set_clock(void) {
  cpu_begun = cpu_seconds();
  begun = nanoseconds();
  ended = 0;
}

static void *read_input(void *unused) {
  char line[256];
  (void)unused;
  while (fgets(line, sizeof line, stdin) != NULL) {
    pthread_mutex_lock(&life);
    if (strncmp(line, "start", 5) == 0) started = 1;
    if (strncmp(line, "begin", 5) == 0) set_clock();
    if (strncmp(line, "stop", 4) == 0) stopped = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&life);
  }
  _exit(0); /* The runner has released the side. */
}

void listen_to_runner(void) {
  pthread_t reader;
  if (pthread_create(&reader, NULL, read_input, NULL) != 0) fail("no thread");
}

static void print_endpoint(const char *name, void *bound) {
  char endpoint[512];
  size_t length = sizeof endpoint;
  if (bound == NULL) return;
  checked(zmq_getsockopt(bound, ZMQ_LAST_ENDPOINT, endpoint, &length), "last endpoint");
  printf(",\"%s\":\"%s\"", name, endpoint);
}

void say_ready_with_backend(void *bound, void *backend) {
  printf("{\"type\":\"ready\"");
  print_endpoint("endpoint", bound);
  print_endpoint("backend", backend);
  set_clock();
  puts("}");
  fflush(stdout);
}

void say_ready(void *bound) { say_ready_with_backend(bound, NULL); }

void wait_for_start(void) {
  pthread_mutex_lock(&life);
  while (!started) pthread_cond_wait(&changed, &life);
  pthread_mutex_unlock(&life);
  set_clock();
}

int stopping(void) { return stopped; }

void wait_for_end(void) {
  for (;;) pause();
}

int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void clock_begin(void) {
  puts("{\"type\":\"begun\"}");
  fflush(stdout);
  set_clock();
}

void clock_end(void) {
  ended = nanoseconds();
  cpu_ended = cpu_seconds();
  puts("{\"type\":\"ended\"}");
  fflush(stdout);
}

uint64_t peak_resident(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return (uint64_t)usage.ru_maxrss;
#else
  return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

uint64_t resident(void) {
  unsigned long pages = 0, all = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return peak_resident();
  if (fscanf(file, "%lu %lu", &all, &pages) != 2) pages = 0;
  fclose(file);
  return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void print_latencies(struct figures *figures) {
  static const double wanted[] = {50, 75, 90, 99, 99.9, 99.99, 100};
  long n = figures->latency_count;
  double sum = 0;
  qsort(figures->latencies, (size_t)n, sizeof *figures->latencies, by_value);
  for (long i = 0; i < n; i++) sum += (double)figures->latencies[i];
  printf(",\"latency\":{\"mean\":%.3f", sum / (double)n / 1e3);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    /* The smallest value that this percentage does not exceed. */
    long rank = (long)(wanted[i] / 100 * (double)n + 0.999999) - 1;
    if (rank < 0) rank = 0;
    if (rank >= n) rank = n - 1;
    printf(",\"%g\":%.3f", wanted[i], (double)figures->latencies[rank] / 1e3);
  }
  putchar('}');
}

void say_done(struct figures *figures) {
  if (ended == 0) clock_end();
  printf("{\"type\":\"done\",\"messages\":%llu,\"bytes\":%llu,\"seconds\":%.9f,\"checksum\":\"%08x\",\"ordered\":%s,"
         "\"cpuSeconds\":%.6f,\"peakRss\":%llu,\"gcSeconds\":null",
         (unsigned long long)figures->messages, (unsigned long long)figures->bytes, (double)(ended - begun) / 1e9,
         figures->checksum, figures->ordered ? "true" : "false", cpu_ended - cpu_begun,
         (unsigned long long)peak_resident());
  if (figures->latency_count > 0) print_latencies(figures);
  if (figures->extra != NULL) printf(",\"extra\":{%s}", figures->extra);
  puts("}");
  fflush(stdout);
}

void set_number(void *socket, int name, int value, const char *what) {
  checked(zmq_setsockopt(socket, name, &value, sizeof value), what);
}

static void set_key(void *socket, int name, const char *key, const char *what) {
  checked(zmq_setsockopt(socket, name, key, strlen(key) + 1), what); /* 40 characters of Z85 and a zero */
}

void *open_socket(int type) {
  void *socket = zmq_socket(zmq_context, type);
  if (socket == NULL) fail("socket: %s", zmq_strerror(zmq_errno()));
  long mark = number_option("high-water-mark", -1);
  if (mark >= 0) {
    set_number(socket, ZMQ_SNDHWM, (int)mark, "high-water mark");
    set_number(socket, ZMQ_RCVHWM, (int)mark, "high-water mark");
  }
  set_number(socket, ZMQ_BACKLOG, (int)number_option("backlog", 100), "backlog");
  if (strcmp(option("security", "null"), "curve") == 0) {
    set_key(socket, ZMQ_CURVE_PUBLICKEY, option("public-key", ""), "public key");
    set_key(socket, ZMQ_CURVE_SECRETKEY, option("secret-key", ""), "secret key");
    const char *server = option("server-key", NULL);
    if (server == NULL) set_number(socket, ZMQ_CURVE_SERVER, 1, "curve server");
    else set_key(socket, ZMQ_CURVE_SERVERKEY, server, "server key");
  }
  return socket;
}

void bind_socket(void *socket, const char *endpoint) {
  if (endpoint == NULL) fail("--endpoint is needed");
  if (zmq_bind(socket, endpoint) == -1) fail("bind %s: %s", endpoint, zmq_strerror(zmq_errno()));
}

void connect_socket(void *socket, const char *endpoint) {
  if (endpoint == NULL) fail("--endpoint is needed");
  if (zmq_connect(socket, endpoint) == -1) fail("connect %s: %s", endpoint, zmq_strerror(zmq_errno()));
}

void attach_socket(void *socket, const char *usual) {
  if (strcmp(option("attach", usual), "connect") == 0) {
    connect_socket(socket, side.endpoint);
    say_ready(NULL);
  } else {
    bind_socket(socket, side.endpoint);
    say_ready(socket);
  }
}
