/*
 * A ZeroMQ program in C that shoal's tests talk to: the system's libzmq, driven
 * by lines of words. It does the same as peer.py, but for certificates:
 *
 *   OP id=s1 count=60 prefix=x6869,x …      ->   ok [endpoint=… | frames=x6869,x | …]   or   error WHY
 *
 * Frames are in hex, an x before each. Commands run one after the other, and none
 * waits longer than LIMIT for a message. One file, so that the test can give it
 * to any compiler.
 */
#include <zmq.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 15000
#define MAX_FRAMES 16
#define MAX_SOCKETS 64
#define MIB 1048576

/* Failures end a command, not the program. */

static char failure[512];

static int fail (const char *format, ...)
{
    va_list args;
    va_start (args, format);
    if (!failure[0])
        vsnprintf (failure, sizeof failure, format, args);
    va_end (args);
    return -1;
}

static int fail_zmq (const char *what)
{
    return fail ("%s: %s", what, errno == EAGAIN ? "nothing came, or nothing could go" : zmq_strerror (errno));
}

static double now (void)
{
    struct timespec time;
    clock_gettime (CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* Messages: frames that point into memory that stays, or belong to libzmq. */

typedef struct {
    int count;
    struct { const void *data; size_t size; } frames[MAX_FRAMES];
} message_t;

static unsigned char pattern[256 * 4097];
static char texts[2][64];

static void add (message_t *message, const void *data, size_t size)
{
    if (message->count == MAX_FRAMES)
        return;
    message->frames[message->count].data = data;
    message->frames[message->count++].size = size;
}

static void add_body (message_t *message, size_t size, long seed)
{
    add (message, pattern + seed % 256, size);
}

static void add_text (message_t *message, const char *format, long a, long b)
{
    char *text = texts[0];
    add (message, text, snprintf (text, sizeof texts[0], format, a, b));
}

/* The same as in messages.js. It stands until the next call. */
static void make (message_t *message, long number, long seed)
{
    message->count = 0;
    if (number % 100 == 50) {
        add_text (message, "%ld", number, 0);
        add_body (message, MIB, number + seed);
        return;
    }
    switch (number % 6) {
        case 0: add_text (message, "message %ld of %ld", number, seed); break;
        case 1: add (message, "", 0); break;
        case 2:
            add_text (message, "%ld", number, 0);
            add (message, "", 0);
            add_body (message, number % 300, number + seed);
            break;
        case 3:
            for (int k = 0; k < 10; k++)
                add_body (message, number % 17 + k, number + k);
            break;
        case 4:
            add (message, "", 0);
            add (message, "", 0);
            add_text (message, "%ld", number + seed, 0);
            break;
        default: add_body (message, 20000, number + seed);
    }
}

/* All frames of many messages as one batch; `write` gets each message's part. */
static int each_piece (long count, long seed, int (*write) (void *, const void *, size_t), void *state)
{
    static char piece[2 * MIB];
    for (long number = 0; number < count; number++) {
        message_t message;
        size_t size = 0;
        make (&message, number, seed);
        for (int i = 0; i < message.count; i++) {
            memcpy (piece + size, message.frames[i].data, message.frames[i].size);
            size += message.frames[i].size;
        }
        if (size == 0)
            piece[size++] = '-';
        if (write (state, piece, size))
            return -1;
    }
    return 0;
}

static int check (const message_t *got, int strip, long number, long seed)
{
    message_t expected;
    make (&expected, number, seed);
    int same = got->count - strip == expected.count;
    for (int i = 0; same && i < expected.count; i++) {
        size_t size = expected.frames[i].size;
        same = got->frames[strip + i].size == size
               && !memcmp (got->frames[strip + i].data, expected.frames[i].data, size);
    }
    return same ? 0 : fail ("message %ld of %ld came with %d frames, and is another", number, seed, got->count);
}

/* Sockets */

typedef struct {
    char id[16];
    void *socket, *monitor;
    long joins, leaves;
} entry_t;

static void *context;
static entry_t entries[MAX_SOCKETS];
static zmq_msg_t received[MAX_FRAMES];
static int held;

static entry_t *entry_of (const char *id)
{
    for (int i = 0; i < MAX_SOCKETS; i++)
        if (entries[i].socket && !strcmp (entries[i].id, id))
            return entries + i;
    fail ("no socket %s", id);
    return NULL;
}

static int send_message (void *socket, const message_t *prefix, const message_t *message)
{
    int total = prefix->count + message->count;
    for (int i = 0; i < total; i++) {
        const message_t *from = i < prefix->count ? prefix : message;
        int at = i < prefix->count ? i : i - prefix->count;
        int more = i + 1 < total ? ZMQ_SNDMORE : 0;
        double deadline = now () + LIMIT;
        /* A mandatory ROUTER may not know its peer yet. */
        while (zmq_send (socket, from->frames[at].data, from->frames[at].size, more) < 0) {
            if (errno != EHOSTUNREACH || now () > deadline)
                return fail_zmq ("send");
            usleep (5000);
        }
    }
    return 0;
}

/* What it gives stands until the next call. */
static int receive_message (void *socket, message_t *message)
{
    int more;
    while (held > 0)
        zmq_msg_close (&received[--held]);
    message->count = 0;
    do {
        zmq_msg_t *frame = &received[held];
        zmq_msg_init (frame);
        if (zmq_msg_recv (frame, socket, 0) < 0)
            return fail_zmq ("receive");
        add (message, zmq_msg_data (frame), zmq_msg_size (frame));
        more = zmq_msg_more (frame);
        if (more && ++held == MAX_FRAMES)
            return fail ("a message of too many frames");
    } while (more);
    held++;
    return 0;
}

/* Commands */

typedef struct { const char *op; char *words[24]; int count; } command_t;

static char output[65536];
static const message_t NOTHING = {0};

static const char *word (const command_t *command, const char *name)
{
    size_t length = strlen (name);
    for (int i = 0; i < command->count; i++)
        if (!strncmp (command->words[i], name, length) && command->words[i][length] == '=')
            return command->words[i] + length + 1;
    return NULL;
}

static long number_of (const command_t *command, const char *name)
{
    const char *text = word (command, name);
    return text ? atol (text) : 0;
}

static void frames_of (const command_t *command, const char *name, message_t *message)
{
    static unsigned char bytes[65536];
    unsigned char *at = bytes;
    const char *text = word (command, name);
    message->count = 0;
    while (text && *text == 'x') {
        unsigned char *start = at;
        unsigned byte;
        for (text++; sscanf (text, "%2x", &byte) == 1 && *text != ','; text += 2)
            *at++ = byte;
        add (message, start, at - start);
        if (*text == ',')
            text++;
    }
}

static int type_of (const char *name)
{
    static const char *NAMES[] = {"PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB", "STREAM"};
    for (int i = 0; i < 12; i++)
        if (!strcmp (NAMES[i], name))
            return i; /* In the order of zmq.h. */
    return fail ("no socket type %s", name);
}

static const struct { const char *name; int option; int is_number; } OPTIONS[] = {
    {"ROUTING_ID", ZMQ_ROUTING_ID, 0},
    {"ROUTER_MANDATORY", ZMQ_ROUTER_MANDATORY, 1},
    {"PLAIN_SERVER", ZMQ_PLAIN_SERVER, 1},
    {"PLAIN_USERNAME", ZMQ_PLAIN_USERNAME, 0},
    {"PLAIN_PASSWORD", ZMQ_PLAIN_PASSWORD, 0},
    {"CURVE_SERVER", ZMQ_CURVE_SERVER, 1},
    {"CURVE_SERVERKEY", ZMQ_CURVE_SERVERKEY, 0},
    {"CURVE_PUBLICKEY", ZMQ_CURVE_PUBLICKEY, 0},
    {"CURVE_SECRETKEY", ZMQ_CURVE_SECRETKEY, 0},
    {"ZAP_DOMAIN", ZMQ_ZAP_DOMAIN, 0},
    {"SNDHWM", ZMQ_SNDHWM, 1},
    {"RCVHWM", ZMQ_RCVHWM, 1},
};

static int set_number (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value);
}

static int op_open (const command_t *command)
{
    static int monitors;
    int at = 0, type = type_of (word (command, "type"));
    while (at < MAX_SOCKETS && entries[at].socket)
        at++;
    if (type < 0 || at == MAX_SOCKETS)
        return fail ("no place for a socket");
    entry_t *entry = &entries[at];
    memset (entry, 0, sizeof *entry);
    snprintf (entry->id, sizeof entry->id, "%s", word (command, "id"));
    void *socket = zmq_socket (context, type);
    set_number (socket, ZMQ_LINGER, 0);
    set_number (socket, ZMQ_RECONNECT_IVL, 20);
    set_number (socket, ZMQ_SNDTIMEO, LIMIT);
    set_number (socket, ZMQ_RCVTIMEO, LIMIT);
    for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++) {
        const char *value = word (command, OPTIONS[i].name);
        if (!value)
            continue;
        int failed = OPTIONS[i].is_number ? set_number (socket, OPTIONS[i].option, atoi (value))
                                          : zmq_setsockopt (socket, OPTIONS[i].option, value, strlen (value));
        if (failed)
            return fail_zmq (OPTIONS[i].name);
    }
    char endpoint[32];
    snprintf (endpoint, sizeof endpoint, "inproc://monitor-%d", ++monitors);
    zmq_socket_monitor (socket, endpoint, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED);
    entry->monitor = zmq_socket (context, ZMQ_PAIR);
    zmq_connect (entry->monitor, endpoint);
    entry->socket = socket;
    return 0;
}

static void close_entry (entry_t *entry)
{
    zmq_socket_monitor (entry->socket, NULL, 0);
    set_number (entry->monitor, ZMQ_LINGER, 0);
    zmq_close (entry->monitor);
    zmq_close (entry->socket);
    entry->socket = NULL;
}

static int op_bind (const command_t *command, entry_t *entry)
{
    char endpoint[256];
    size_t size = sizeof endpoint;
    if (zmq_bind (entry->socket, word (command, "endpoint")))
        return fail_zmq ("bind");
    zmq_getsockopt (entry->socket, ZMQ_LAST_ENDPOINT, endpoint, &size);
    snprintf (output, sizeof output, " endpoint=%s", endpoint);
    return 0;
}

static int op_connect (const command_t *command, entry_t *entry)
{
    return zmq_connect (entry->socket, word (command, "endpoint")) ? fail_zmq ("connect") : 0;
}

static int op_subscribe (const command_t *command, entry_t *entry)
{
    (void) command;
    return zmq_setsockopt (entry->socket, ZMQ_SUBSCRIBE, "", 0) ? fail_zmq ("subscribe") : 0;
}

static int op_close (const command_t *command, entry_t *entry)
{
    (void) command;
    close_entry (entry);
    return 0;
}

/* Waits until so many peers have come and gone since the socket was opened. */
static int op_wait (const command_t *command, entry_t *entry)
{
    double deadline = now () + LIMIT;
    while (entry->joins < number_of (command, "joins") || entry->leaves < number_of (command, "leaves")) {
        zmq_pollitem_t item = {entry->monitor, 0, ZMQ_POLLIN, 0};
        if (now () > deadline || zmq_poll (&item, 1, LIMIT) < 1)
            return fail ("only %ld peers have come, and %ld gone", entry->joins, entry->leaves);
        message_t event;
        if (receive_message (entry->monitor, &event))
            return -1;
        unsigned short kind;
        memcpy (&kind, event.frames[0].data, sizeof kind);
        if (kind == ZMQ_EVENT_DISCONNECTED)
            entry->leaves++;
        else
            entry->joins++;
    }
    return 0;
}

static int op_send_one (const command_t *command, entry_t *entry)
{
    message_t message;
    frames_of (command, "frames", &message);
    return send_message (entry->socket, &NOTHING, &message);
}

static int op_receive_one (const command_t *command, entry_t *entry)
{
    (void) command;
    message_t message;
    if (receive_message (entry->socket, &message))
        return -1;
    char *at = output + sprintf (output, " frames=");
    for (int i = 0; i < message.count; i++) {
        at += sprintf (at, i ? ",x" : "x");
        for (size_t k = 0; k < message.frames[i].size && at < output + sizeof output - 8; k++)
            at += sprintf (at, "%02x", ((const unsigned char *) message.frames[i].data)[k]);
    }
    return 0;
}

static int op_send (const command_t *command, entry_t *entry)
{
    message_t prefix, message;
    long from = number_of (command, "from"), end = from + number_of (command, "count");
    frames_of (command, "prefix", &prefix);
    for (long number = from; number < end; number++) {
        make (&message, number, number_of (command, "seed"));
        if (send_message (entry->socket, &prefix, &message))
            return -1;
    }
    return 0;
}

static int is_sync (const message_t *message)
{
    return message->count == 1 && message->frames[0].size == 4 && !memcmp (message->frames[0].data, "sync", 4);
}

static int op_receive (const command_t *command, entry_t *entry)
{
    long number = number_of (command, "from"), end = number + number_of (command, "count");
    while (number < end) {
        message_t message;
        if (receive_message (entry->socket, &message))
            return -1;
        if (is_sync (&message))
            continue;
        if (check (&message, number_of (command, "strip"), number, number_of (command, "seed")))
            return -1;
        number++;
    }
    return 0;
}

/* Sends every message back as it came; `strip` frames in front are its address. */
static int op_echo (const command_t *command, entry_t *entry)
{
    for (long number = 0; number < number_of (command, "count"); number++) {
        message_t message;
        if (receive_message (entry->socket, &message)
            || check (&message, number_of (command, "strip"), number, number_of (command, "seed"))
            || send_message (entry->socket, &NOTHING, &message))
            return -1;
    }
    return 0;
}

/* Sends messages and checks that each comes back; `window` may be on their way. */
static int op_ask (const command_t *command, entry_t *entry)
{
    message_t prefix, message;
    long count = number_of (command, "count"), seed = number_of (command, "seed"), sent = 0;
    frames_of (command, "prefix", &prefix);
    for (long number = 0; number < count; number++) {
        for (; sent < count && sent - number < number_of (command, "window"); sent++) {
            make (&message, sent, seed);
            if (send_message (entry->socket, &prefix, &message))
                return -1;
        }
        if (receive_message (entry->socket, &message))
            return -1;
        for (int i = 0; i < prefix.count; i++)
            if (i >= message.count || message.frames[i].size != prefix.frames[i].size
                || memcmp (message.frames[i].data, prefix.frames[i].data, prefix.frames[i].size))
                return fail ("reply %ld has another address", number);
        if (check (&message, prefix.count, number, seed))
            return -1;
    }
    return 0;
}

/* Numbered messages of one size, [number | body]. */
static int op_number (const command_t *command, entry_t *entry)
{
    long from = number_of (command, "from"), end = from + number_of (command, "count");
    for (long number = from; number < end; number++) {
        message_t message = {0};
        add_text (&message, "%ld", number, 0);
        add_body (&message, number_of (command, "size"), number);
        if (send_message (entry->socket, &NOTHING, &message))
            return -1;
    }
    return 0;
}

/*
 * Receives numbered messages until the last; answers with the first, and those that do not follow on another of
 * their sender's. A sender has a million numbers.
 */
static int op_follow (const command_t *command, entry_t *entry)
{
    long first = -1, before[16], number = -1, last = number_of (command, "last"), size = number_of (command, "size");
    char *at = output + sizeof output / 2;
    char *jumps = at;
    *at = 0;
    memset (before, -1, sizeof before);
    while (number != last) {
        message_t message;
        if (receive_message (entry->socket, &message))
            return -1;
        char text[24] = "";
        if (message.frames[0].size < sizeof text)
            memcpy (text, message.frames[0].data, message.frames[0].size);
        number = atol (text);
        if (message.count != 2 || (long) message.frames[1].size != size
            || memcmp (message.frames[1].data, pattern + number % 256, size))
            return fail ("message %ld is damaged", number);
        long *previous = &before[number / 1000000 % 16];
        if (first < 0)
            first = number;
        if (*previous >= 0 && number != *previous + 1 && at < output + sizeof output - 32)
            at += sprintf (at, at == jumps ? "%ld" : ",%ld", number);
        *previous = number;
    }
    int length = snprintf (output, sizeof output / 2, " first=%ld jumps=", first);
    memmove (output + length, jumps, strlen (jumps) + 1);
    return 0;
}

static int write_stream (void *state, const void *data, size_t size)
{
    void **parts = state;
    const message_t *peer = parts[1];
    message_t message = {0};
    add (&message, data, size);
    return send_message (parts[0], peer, &message);
}

/* Bytes to the only peer of a STREAM. */
static int op_stream_send (const command_t *command, entry_t *entry)
{
    message_t peer;
    frames_of (command, "peer", &peer);
    void *parts[2] = {entry->socket, &peer};
    return each_piece (number_of (command, "count"), number_of (command, "seed"), write_stream, parts);
}

typedef struct { void *socket; message_t message; size_t at; } reading_t;

static int compare_stream (void *state, const void *data, size_t size)
{
    reading_t *reading = state;
    for (size_t done = 0; done < size;) {
        if (reading->message.count < 2 || reading->at == reading->message.frames[1].size) {
            if (receive_message (reading->socket, &reading->message))
                return -1;
            reading->at = 0;
            continue;
        }
        size_t left = reading->message.frames[1].size - reading->at;
        size_t part = left < size - done ? left : size - done;
        if (memcmp ((const char *) reading->message.frames[1].data + reading->at, (const char *) data + done, part))
            return fail ("other bytes than were sent");
        reading->at += part;
        done += part;
    }
    return 0;
}

static int op_stream_receive (const command_t *command, entry_t *entry)
{
    reading_t reading = {entry->socket, {0}, 0};
    return each_piece (number_of (command, "count"), number_of (command, "seed"), compare_stream, &reading);
}

/* Threads of libzmq's own kinds: the authenticator and the proxy. */

static char allowed[3][128];

/* 27/ZAP: lets in who has this password, or this key. */
static void *authenticator (void *socket)
{
    message_t request;
    for (;;) {
        zmq_msg_t frames[8];
        int count = 0, more = 1;
        while (more && count < 8) {
            zmq_msg_init (&frames[count]);
            if (zmq_msg_recv (&frames[count], socket, 0) < 0)
                return NULL;
            more = zmq_msg_more (&frames[count++]);
        }
        request.count = 0;
        for (int i = 0; i < count; i++)
            add (&request, zmq_msg_data (&frames[i]), zmq_msg_size (&frames[i]));
        char text[2][128] = {"", ""}, key[41] = "";
        for (int i = 6; i < count && i < 8; i++)
            snprintf (text[i - 6], sizeof text[0], "%.*s", (int) request.frames[i].size, (const char *) request.frames[i].data);
        int good = count == 8 && !strcmp (text[0], allowed[0]) && !strcmp (text[1], allowed[1]);
        if (count == 7 && request.frames[6].size == 32) {
            zmq_z85_encode (key, request.frames[6].data, 32);
            good = !strcmp (key, allowed[2]);
        }
        zmq_send (socket, "1.0", 3, ZMQ_SNDMORE);
        zmq_send (socket, request.frames[1].data, request.frames[1].size, ZMQ_SNDMORE);
        zmq_send (socket, good ? "200" : "400", 3, ZMQ_SNDMORE);
        zmq_send (socket, "", 0, ZMQ_SNDMORE);
        zmq_send (socket, "", 0, ZMQ_SNDMORE);
        zmq_send (socket, "", 0, 0);
        while (count > 0)
            zmq_msg_close (&frames[--count]);
    }
}

static int op_authenticate (const command_t *command)
{
    static int started;
    const char *names[] = {"username", "password", "key"};
    for (int i = 0; i < 3; i++)
        snprintf (allowed[i], sizeof allowed[i], "%s", word (command, names[i]));
    pthread_t thread;
    if (started++)
        return 0;
    void *socket = zmq_socket (context, ZMQ_REP);
    if (zmq_bind (socket, "inproc://zeromq.zap.01"))
        return fail_zmq ("zap");
    return pthread_create (&thread, NULL, authenticator, socket);
}

static void *proxy_ends[2];
static void *proxy_control;
static pthread_t proxy_thread;

static void *proxy (void *control)
{
    zmq_proxy_steerable (proxy_ends[0], proxy_ends[1], NULL, control);
    zmq_close (control);
    return NULL;
}

/* Runs libzmq's proxy between two sockets in a thread, until close_all. */
static int op_proxy (const command_t *command)
{
    entry_t *ends[2] = {entry_of (word (command, "frontend")), entry_of (word (command, "backend"))};
    if (!ends[0] || !ends[1])
        return -1;
    proxy_ends[0] = ends[0]->socket;
    proxy_ends[1] = ends[1]->socket;
    proxy_control = zmq_socket (context, ZMQ_PAIR);
    void *inner = zmq_socket (context, ZMQ_PAIR);
    /* libzmq gives up an inproc name some time after its socket's close: each proxy has its own. */
    static int proxies;
    char endpoint[32];
    snprintf (endpoint, sizeof endpoint, "inproc://proxy-%d", ++proxies);
    if (zmq_bind (proxy_control, endpoint) || zmq_connect (inner, endpoint))
        return fail_zmq ("proxy");
    return pthread_create (&proxy_thread, NULL, proxy, inner);
}

static int op_close_all (const command_t *command)
{
    (void) command;
    if (proxy_control) {
        zmq_send (proxy_control, "TERMINATE", 9, 0);
        pthread_join (proxy_thread, NULL);
        zmq_close (proxy_control);
        proxy_control = NULL;
    }
    for (int i = 0; i < MAX_SOCKETS; i++)
        if (entries[i].socket)
            close_entry (&entries[i]);
    return 0;
}

/* Lines of standard input, read without a buffer that poll cannot see. */

static char input[262144];
static size_t filled;
static int ended;

/* @returns whether a line is there, or the end */
static int line_waits (int timeout)
{
    struct pollfd descriptor = {0, POLLIN, 0};
    if (ended || memchr (input, '\n', filled))
        return 1;
    if (poll (&descriptor, 1, timeout) < 1)
        return 0;
    ssize_t count = read (0, input + filled, sizeof input - filled);
    if (count <= 0)
        ended = 1;
    else
        filled += count;
    return ended || memchr (input, '\n', filled) != NULL;
}

/* Publishes [sync] until the next command is there: by then the subscriber has heard one. */
static int op_sync (const command_t *command, entry_t *entry)
{
    (void) command;
    while (!line_waits (5))
        zmq_send (entry->socket, "sync", 4, 0);
    return 0;
}

/* Lets libzmq work for all sockets until the next command is there. */
static int op_attend (const command_t *command)
{
    (void) command;
    while (!line_waits (5))
        for (int i = 0; i < MAX_SOCKETS; i++) {
            int events;
            size_t size = sizeof events;
            if (entries[i].socket)
                zmq_getsockopt (entries[i].socket, ZMQ_EVENTS, &events, &size);
        }
    return 0;
}

static const struct { const char *name; int (*run) (const command_t *, entry_t *); } SOCKET_OPS[] = {
    {"bind", op_bind},
    {"connect", op_connect},
    {"subscribe", op_subscribe},
    {"close", op_close},
    {"wait", op_wait},
    {"send_one", op_send_one},
    {"receive_one", op_receive_one},
    {"send", op_send},
    {"receive", op_receive},
    {"echo", op_echo},
    {"ask", op_ask},
    {"number", op_number},
    {"follow", op_follow},
    {"stream_send", op_stream_send},
    {"stream_receive", op_stream_receive},
    {"sync", op_sync},
};

static int run (const command_t *command)
{
    if (!strcmp (command->op, "open"))
        return op_open (command);
    if (!strcmp (command->op, "close_all"))
        return op_close_all (command);
    if (!strcmp (command->op, "authenticate"))
        return op_authenticate (command);
    if (!strcmp (command->op, "proxy"))
        return op_proxy (command);
    if (!strcmp (command->op, "attend"))
        return op_attend (command);
    if (!strcmp (command->op, "pause"))
        return 0;
    for (size_t i = 0; i < sizeof SOCKET_OPS / sizeof *SOCKET_OPS; i++) {
        if (strcmp (command->op, SOCKET_OPS[i].name))
            continue;
        entry_t *entry = entry_of (word (command, "id"));
        return entry ? SOCKET_OPS[i].run (command, entry) : -1;
    }
    return fail ("no command %s", command->op);
}

int main (void)
{
    int major, minor, patch;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i & 255;
    zmq_version (&major, &minor, &patch);
    context = zmq_ctx_new ();
    printf ("ok libzmq=%d.%d.%d\n", major, minor, patch);
    fflush (stdout);
    for (;;) {
        while (!line_waits (-1))
            ;
        char *end = memchr (input, '\n', filled);
        if (!end)
            return 0;
        *end = 0;
        command_t command = {0};
        for (char *save, *text = strtok_r (input, " ", &save); text; text = strtok_r (NULL, " ", &save))
            if (!command.op)
                command.op = text;
            else if (command.count < 24)
                command.words[command.count++] = text;
        /* The command has to go before `sync` and `attend` can see the next. */
        static char line[sizeof input];
        size_t length = end + 1 - input;
        memcpy (line, input, length);
        for (int i = 0; i < command.count; i++)
            command.words[i] = line + (command.words[i] - input);
        command.op = line;
        filled -= length;
        memmove (input, input + length, filled);
        failure[0] = output[0] = 0;
        if (run (&command))
            printf ("error %s, %s\n", command.op, failure);
        else
            printf ("ok%s\n", output);
        fflush (stdout);
    }
}
