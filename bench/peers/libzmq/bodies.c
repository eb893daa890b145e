/* Creates and checks messages: see bodies.h. */
#include "bodies.h"
#include "side.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 16

static uint8_t *kinds[KINDS];
static size_t size;
static int width; /* bytes of the counter */

void bodies_prepare(long wanted) {
  if (wanted < 1) fail("a message has at least 1 byte; got %ld", wanted);
  size = (size_t)wanted;
  width = wanted < 4 ? (int)wanted : 4;
  for (int kind = 0; kind < KINDS; kind++) {
    kinds[kind] = malloc(size);
    if (kinds[kind] == NULL) fail("no memory");
    for (size_t i = 0; i < size; i++) kinds[kind][i] = (uint8_t)((31 * (size_t)kind + i) % 251);
  }
}

void body_make(zmq_msg_t *message, uint64_t k) {
  checked(zmq_msg_init_size(message, size), "message");
  uint8_t *bytes = zmq_msg_data(message);
  memcpy(bytes, kinds[k % KINDS], size);
  for (int i = width - 1; i >= 0; i--, k >>= 8) bytes[i] = (uint8_t)k;
}

int body_send(void *socket, uint64_t k, int flags) {
  zmq_msg_t message;
  body_make(&message, k);
  int sent = zmq_msg_send(&message, socket, flags);
  if (sent == -1) {
    if (zmq_errno() != EAGAIN) checked(-1, "send");
    zmq_msg_close(&message);
  }
  return sent;
}

void topic_of(char *text, uint64_t i) { snprintf(text, 9, "%08llu", (unsigned long long)(i % 100000000)); }

void tally_open(struct tally *tally, enum sequence sequence, uint64_t warmup, uint64_t count, uint64_t strides) {
  memset(tally, 0, sizeof *tally);
  tally->sequence = sequence;
  tally->warmup = warmup;
  tally->total = warmup + count;
  tally->ordered = 1;
  if (sequence != IN_ORDER && width < 4) fail("messages of several senders need 4 bytes; got %zu", size);
  if (sequence == BY_STRIDE) {
    tally->strides = strides;
    tally->next = malloc(strides * sizeof *tally->next);
    for (uint64_t i = 0; i < strides; i++) tally->next[i] = i;
  } else if (sequence == ONCE) {
    tally->marks = calloc((size_t)(tally->total + 7) / 8, 1);
  }
}

void tally_take(struct tally *tally, const uint8_t *bytes, size_t length) {
  if (length != size) {
    fail("message %llu has %zu bytes in place of %zu", (unsigned long long)tally->seen, length, size);
  }
  uint64_t counter = 0;
  for (int i = 0; i < width; i++) counter = counter << 8 | bytes[i];
  uint64_t position = tally->seen++;
  if (tally->sequence == IN_ORDER) {
    uint64_t mask = ((uint64_t)1 << (8 * width)) - 1;
    if (counter != (position & mask)) tally->ordered = 0;
  } else {
    position = counter;
    if (counter >= tally->total) {
      tally->ordered = 0;
    } else if (tally->sequence == BY_STRIDE) {
      uint64_t *next = &tally->next[counter % tally->strides];
      if (counter != *next) tally->ordered = 0;
      *next = counter + tally->strides;
    } else {
      uint8_t bit = (uint8_t)(1 << (counter & 7));
      if (tally->marks[counter >> 3] & bit) tally->ordered = 0;
      tally->marks[counter >> 3] |= bit;
    }
  }
  if (position >= tally->warmup) tally->checksum += (uint32_t)bytes[0] + bytes[size >> 1] + bytes[size - 1];
}

int tally_good(const struct tally *tally) { return tally->ordered && tally->seen == tally->total; }
