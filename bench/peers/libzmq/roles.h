/* Roles, one file per family. They never return, but wait for the end of standard input. */
#ifndef SHOAL_BENCH_ROLES_H
#define SHOAL_BENCH_ROLES_H

/* push-pull.c */
void play_consumer(void);
void play_producer(void);
void play_push_pull_inproc(void);
void play_ventilator(void);
void play_worker(void);
void play_sink(void);

/* pub-sub.c */
void play_publisher(void);
void play_subscriber(void);

/* echo.c */
void play_server(void);
void play_client(void);
void play_echo_inproc(void);

/* proxy.c */
void play_broker(void);
void play_forwarder(void);
void play_proxy(void);

/* broker.c */
void play_broker_worker(void);
void play_broker_client(void);

/* forwarder.c */
void play_feed(void);
void play_reader(void);

/* start-up.c */
void play_start_up(void);

#endif
