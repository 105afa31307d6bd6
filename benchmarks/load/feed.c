#define _GNU_SOURCE
#include "feed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool feed_open(feed *f, int port, const char *path, int size) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1;
    memset(f, 0, sizeof *f);
    f->path = path;
    f->size = size;
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (f->fd < 0 || connect(f->fd, (struct sockaddr *)&to, sizeof to)) return false;
    setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    f->padding = malloc((size_t)size + 1);
    if (!f->padding) return false;
    for (int i = 0; i < size; i++) f->padding[i] = (char)('a' + i % 26);
    f->padding[size] = 0;
    return true;
}

void feed_publish(feed *f, const char *key, int64_t seq, int64_t sent) {
    size_t most = (size_t)f->size + 512;
    if (f->waiting + most > f->room) {
        f->room = (f->room ? f->room * 2 : 65536) + most;
        f->out = realloc(f->out, f->room);
        if (!f->out) abort();
    }
    char start[96];
    int length = snprintf(start, sizeof start, "{\"seq\":%lld,\"t\":%lld,\"text\":\"", (long long)seq, (long long)sent);
    int filler = f->size - length - 2;
    if (filler < 0) filler = 0;
    char *at = f->out + f->waiting;
    if (f->path)
        at += sprintf(at, "POST %s%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", f->path, key, length + filler + 2);
    else
        at += sprintf(at, "%s ", key);
    at += sprintf(at, "%s%.*s\"}", start, filler, f->padding);
    if (!f->path) *at++ = '\n';
    f->waiting = (size_t)(at - f->out);
    f->published++;
}

bool feed_flush(feed *f, bool *more) {
    while (f->waiting) {
        ssize_t n = send(f->fd, f->out, f->waiting, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) return false;
        f->waiting -= (size_t)n;
        memmove(f->out, f->out + n, f->waiting);
    }
    *more = f->waiting > 0;
    return true;
}

bool feed_drain(feed *f) {
    char answers[65536];
    for (;;) {
        ssize_t n = recv(f->fd, answers, sizeof answers, MSG_DONTWAIT);
        if (n > 0) continue;
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
}
