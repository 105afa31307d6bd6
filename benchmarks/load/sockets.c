#define _GNU_SOURCE
#include "sockets.h"

#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char FEW[] = "Host: 127.0.0.1\r\nAccept: text/event-stream\r\nUser-Agent: load\r\n";

static const char BROWSER[] =
    "Host: 127.0.0.1:8080\r\nConnection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n"
    "Accept: text/event-stream\r\nsec-ch-ua: \"Chromium\";v=\"156\", \"Not)A;Brand\";v=\"99\"\r\nCache-Control: no-cache\r\n"
    "sec-ch-ua-mobile: ?0\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
    "Referer: http://127.0.0.1:8080/dashboard\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\nCookie: session=3f6d1c0e9a7b4e52b8d0c1f2a3948576\r\n";

bool crowd_open(crowd *c, int epoll) {
    c->all = calloc((size_t)c->clients, sizeof *c->all);
    if (!c->all) return false;
    for (int i = 0; i < c->clients; i++) {
        c->all[i].fd = -1;
        c->all[i].index = i;
        c->all[i].expected = stream_step;
    }
    crowd_connect(c, epoll);
    return true;
}

static void drop(crowd *c, int epoll, stream *s) {
    if (s->phase == CLOSED) return;
    if (s->phase == BODY) c->ready--, c->closed++;
    else c->pending--, c->failed++;
    epoll_ctl(epoll, EPOLL_CTL_DEL, s->fd, NULL);
    close(s->fd);
    s->fd = -1;
    s->phase = CLOSED;
}

static void start(crowd *c, int epoll, stream *s) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)c->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct linger reset = {1, 0};
    int on = 1;
    stream_reset(s);
    s->stopped = s->index >= c->clients - c->stopped;
    s->phase = CONNECTING;
    c->pending++;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = s};
    if (s->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &event)) {
        drop(c, epoll, s);
        return;
    }
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(s->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) drop(c, epoll, s);
}

void crowd_connect(crowd *c, int epoll) {
    while (c->next < c->clients && c->pending < c->at_once) start(c, epoll, &c->all[c->next++]);
}

static void request(crowd *c, int epoll, stream *s) {
    char path[256], text[2048];
    snprintf(path, sizeof path, c->path, s->index);
    int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n%s%s%s%s\r\n", path, c->browser ? BROWSER : FEW,
                          s->id ? "Last-Event-ID: " : "", s->id ? s->id : "", s->id ? "\r\n" : "");
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = s};
    if (send(s->fd, text, (size_t)length, MSG_NOSIGNAL) != length || epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &event))
        drop(c, epoll, s);
    else
        s->phase = HEAD;
}

void crowd_ready(crowd *c, int epoll, stream *s, unsigned events) {
    static char data[262144];
    if (s->phase == CLOSED) return;
    if (s->phase == CONNECTING) {
        if (events & (EPOLLERR | EPOLLHUP)) drop(c, epoll, s);
        else request(c, epoll, s);
        return;
    }
    bool silent = s->stopped && s->phase == BODY;
    ssize_t n = silent ? 0 : recv(s->fd, data, sizeof data, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) {
        bool was_head = s->phase == HEAD;
        c->arrived = now_ns();
        bool good = stream_feed(s, data, (size_t)n);
        if (was_head && s->phase == BODY && good) {
            c->pending--;
            c->ready++;
            if (s->stopped) {
                struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = s};
                epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &event);
            }
        } else if (!good && was_head) {
            s->phase = HEAD;  /* a refusal counts as a failure to connect */
        }
        if (good && !s->finished) return;
    }
    drop(c, epoll, s);
}

void crowd_leave(crowd *c, int epoll) {
    for (int i = 0; i < c->clients; i++) {
        stream *s = &c->all[i];
        if (s->phase == CLOSED) continue;
        epoll_ctl(epoll, EPOLL_CTL_DEL, s->fd, NULL);
        close(s->fd);
        s->fd = -1;
        s->phase = CLOSED;
    }
    c->next = c->clients;  /* nobody comes back by himself */
    c->pending = c->ready = 0;
}
