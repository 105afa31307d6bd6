/* The publisher: tells a server what to broadcast, as lines on a socket or as POST requests. */
#ifndef FEED_H
#define FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int fd;
    const char *path;     /* of the POST, or NULL: lines */
    char *out;            /* not yet written */
    size_t waiting, room;
    char *padding;        /* the filler that brings an event to its size */
    int size;
    uint64_t published;
} feed;

bool feed_open(feed *f, int port, const char *path, int size);

/* Queue one event: `key`, a sequence number, the time it was due. */
void feed_publish(feed *f, const char *key, int64_t seq, int64_t sent);

/* Write what waits. Returns false when the server closed the socket. `*more` tells whether something waits still. */
bool feed_flush(feed *f, bool *more);

/* Throw away what the server answered. False: it closed. */
bool feed_drain(feed *f);

#endif
