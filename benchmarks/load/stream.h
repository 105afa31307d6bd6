/* One event stream as a client sees it: HTTP response head, chunked coding, lines, blocks. No sockets in here. */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum phase { CLOSED, CONNECTING, HEAD, BODY };

enum { ID_ROOM = 512 };

typedef struct stream {
    int fd, index;
    uint8_t phase, chunk;
    bool chunked, stopped, finished;
    bool has_data, named, control, gap; /* of the block being read */
    int status;
    uint64_t left;                   /* bytes of the chunk still to come */
    char *carry;                     /* a line, or the head, of which the end has not come yet */
    uint32_t carried, carry_room;
    int64_t seq, sent;               /* of the block being read */
    int64_t expected;                /* the next sequence number */
    char *id;                        /* the last event ID, kept only when `stream_keep_ids` */
} stream;

/* What all streams saw together. */
typedef struct {
    uint64_t events, bytes, missing, repeated, controls, gaps, comments;
} tally;

extern tally seen;
extern bool stream_keep_ids;
extern bool stream_loose;            /* sequence numbers may jump: a server that throttles */
extern int64_t stream_step;          /* distance of two sequence numbers: 2 where a server filters every other event out */

/* Called for each complete event. */
extern void on_event(stream *s);

void stream_reset(stream *s);

/* Feed what the socket gave. False: this is no event stream, or not HTTP. */
bool stream_feed(stream *s, const char *data, size_t length);

#endif
