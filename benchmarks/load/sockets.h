/* The client's many connections: opening them a few at a time, reading them, noticing their end. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "stream.h"

typedef struct {
    int port, clients, stopped, at_once;   /* the last `stopped` clients read their head and then nothing more */
    const char *path;                      /* with %d for the client's number, where each has its own */
    bool browser;                          /* send the request headers of Chromium's EventSource instead of three */
    stream *all;
    int next, pending, ready, failed, closed;
    int64_t arrived;                       /* when the bytes being parsed came */
} crowd;

bool crowd_open(crowd *c, int epoll);

/* Start as many connections as `at_once` allows. */
void crowd_connect(crowd *c, int epoll);

/* What epoll said about a stream. */
void crowd_ready(crowd *c, int epoll, stream *s, unsigned events);

/* Leave with a reset: no TIME_WAIT, so that the next run finds its ports free. */
void crowd_leave(crowd *c, int epoll);

#endif
