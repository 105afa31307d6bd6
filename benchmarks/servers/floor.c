/* The floor: the least a server can do for an event. One thread, one epoll loop, every event framed once, HTTP/1.1
   chunk included, and one send() for each client. No history, no limits, no heartbeat, no policy: not a product. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 65536, USERS = 65536, LINE = 65536 };

typedef struct {
    int fd, place;               /* place in `everyone`, or -1 before the request has come */
    char *backlog;
    size_t waiting, room;
} reader;

static reader *by_fd[MOST], *everyone[MOST], *user[USERS];
static int count, epoll, people_socket, feed_socket;

static void leave(reader *r) {
    if (r->place >= 0) {
        everyone[r->place] = everyone[--count];
        everyone[r->place]->place = r->place;
    }
    for (int i = 0; r->place < -1 && i < USERS; i++)
        if (user[i] == r) user[i] = NULL;
    close(r->fd);
    by_fd[r->fd] = NULL;
    free(r->backlog);
    free(r);
}

static void watch(int fd, unsigned events, int how) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    epoll_ctl(epoll, how, fd, &event);
}

/* False: the reader has gone. */
static bool give(reader *r, const char *data, size_t length) {
    ssize_t sent = r->waiting ? 0 : send(r->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent < 0) sent = 0;
    if ((size_t)sent == length) return true;
    size_t rest = length - (size_t)sent;
    if (!r->waiting) watch(r->fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    if (r->waiting + rest > r->room) r->backlog = realloc(r->backlog, r->room = (r->waiting + rest) * 2);
    memcpy(r->backlog + r->waiting, data + sent, rest);
    r->waiting += rest;
    return true;
}

static bool catch_up(reader *r) {
    ssize_t sent = send(r->fd, r->backlog, r->waiting, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN;
    r->waiting -= (size_t)sent;
    memmove(r->backlog, r->backlog + sent, r->waiting);
    if (!r->waiting) watch(r->fd, EPOLLIN, EPOLL_CTL_MOD);
    return true;
}

static void publish(char *line, size_t length) {
    static char chunk[LINE + 64];
    char *space = memchr(line, ' ', length);
    if (!space) return;
    size_t data = length - (size_t)(space + 1 - line);
    size_t size = (size_t)sprintf(chunk, "%zx\r\ndata: ", data + 8);
    memcpy(chunk + size, space + 1, data);
    memcpy(chunk + size + data, "\n\n\r\n", 4);
    size += data + 4;
    if (line[0] == 'u') {
        unsigned number = (unsigned)atoi(line + 1);
        reader *r = number < USERS ? user[number] : NULL;
        if (r && !give(r, chunk, size)) leave(r);
        return;
    }
    for (int i = count - 1; i >= 0; i--)
        if (!give(everyone[i], chunk, size)) leave(everyone[i]);
}

static void read_feed(int fd) {
    static char lines[LINE];
    static size_t have;
    ssize_t n = recv(fd, lines + have, LINE - have, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        close(fd);
        have = 0;
        feed_socket = -1;
        return;
    }
    have += (size_t)n;
    char *at = lines, *end;
    while ((end = memchr(at, '\n', have - (size_t)(at - lines)))) {
        publish(at, (size_t)(end - at));
        at = end + 1;
    }
    have -= (size_t)(at - lines);
    memmove(lines, at, have);
}

static void read_reader(reader *r) {
    static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n";
    char text[8192];
    ssize_t n = recv(r->fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        leave(r);
        return;
    }
    if (r->place != -1) return;
    text[n] = 0;
    unsigned number;
    if (sscanf(text, "GET /users/%u", &number) == 1 && number < USERS) {
        user[number] = r;
        r->place = -2;
    } else {
        r->place = count;
        everyone[count++] = r;
    }
    if (!give(r, HEAD, sizeof HEAD - 1)) leave(r);
}

static int listen_on(const char *port) {
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096)) {
        perror("floor");
        exit(1);
    }
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    return fd;
}

static void accept_on(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MOST) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (listener == people_socket) {
            by_fd[fd] = calloc(1, sizeof(reader));
            *by_fd[fd] = (reader){.fd = fd, .place = -1};
        } else {
            feed_socket = fd;
        }
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
}

int main(int arguments, char **argument) {
    if (arguments < 3) return 2;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    people_socket = listen_on(argument[1]);
    int feeds = listen_on(argument[2]);
    feed_socket = -1;
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == people_socket || fd == feeds) accept_on(fd);
            else if (fd == feed_socket) read_feed(fd);
            else if (by_fd[fd]) {
                reader *r = by_fd[fd];
                if (events[i].events & EPOLLOUT && r->waiting && !catch_up(r)) leave(r);
                else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_reader(r);
            }
        }
    }
}
