/* The load client: thousands of event streams on one thread, and the publisher that feeds the server.

   client KEY=VALUE…   one run; the result is one line of JSON on standard output.

   mode=live    connect, publish for `warm` seconds, then measure for `seconds`: paced at `rate` events a second,
                or saturated (rate=0): at most `window` events are under way, fewer for a slow server.
   mode=open    connect, report, hold the streams until standard input ends, report again.
   mode=resume  connect, leave, publish `count` events to nobody, come back with Last-Event-ID, measure the replay.

   A stall is the longest time in which the client waited for something that was due, and nothing came from any stream:
   whatever the server did meanwhile, a collection or a long turn of its loop, it did nothing for anybody.

   The clock of a latency starts when the event was due, not when it was sent: a late publisher hides nothing. */
#define _GNU_SOURCE
#include "clock.h"
#include "feed.h"
#include "histogram.h"
#include "sockets.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static struct {
    const char *mode, *post;
    int feed_port, size, window, count, users;
    double rate, warm, seconds, drain, settle, limit;
    pid_t pids[64];
    struct { const char *name; pid_t pid; } beside[8];
    int pid_count, beside_count;
} set = {.mode = "live", .size = 128, .window = 64, .count = 100, .warm = 1, .seconds = 3, .drain = 1, .settle = 0.3, .limit = 60};

static crowd people = {.clients = 1, .path = "/events", .at_once = 64};
static feed out;
static histogram latency;
static int epoll, timer;
static bool measuring, feed_waiting, pacing, saturating, input_ended;
static int64_t received, forgiven;           /* events since the first; those that are no longer waited for */
static int64_t last_event, due, seq_all, *seq_user, give_up, under_way = 4;
static int64_t silent_since, longest_silence; /* while something was due and nothing came; 0: nothing is due */

static void fail(const char *what) {
    printf("{\"error\":\"%s\",\"ready\":%d,\"failed\":%d,\"closed\":%d,\"status\":%d}\n", what, people.ready, people.failed,
           people.closed, people.all && people.clients ? people.all[0].status : 0);
    exit(3);
}

void on_event(stream *s) {
    received++;
    last_event = people.arrived;
    if (measuring) histogram_add(&latency, people.arrived - s->sent);
}

static void publish(int64_t when) {
    static uint64_t random = 88172645463325252ULL;
    char key[24] = "all";
    int64_t seq;
    if (set.users) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        int user = (int)(random % (uint64_t)set.users);
        snprintf(key, sizeof key, "u%d", user);
        seq = ++seq_user[user];
    } else {
        seq = ++seq_all;
    }
    feed_publish(&out, key, seq, when);
}

/* Events that have to come before the server owes nothing, for each that was published. */
static int64_t readers_each(void) {
    int64_t readers = people.ready - people.stopped;
    return set.users || readers < stream_step ? 1 : readers / stream_step;
}

static bool owed(void) {
    return people.pending || (int64_t)out.published * readers_each() > received + forgiven;
}

static void flush(void) {
    bool more;
    if (!feed_flush(&out, &more)) fail("the server closed the feed");
    if (more == feed_waiting) return;
    feed_waiting = more;
    struct epoll_event event = {.events = EPOLLIN | (more ? EPOLLOUT : 0), .data.ptr = &out};
    epoll_ctl(epoll, EPOLL_CTL_MOD, out.fd, &event);
}

static void arm(void) {
    struct itimerspec at = {.it_value = {due / 1000000000, due % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Every event that is due. */
static void pace(void) {
    int64_t now = now_ns(), step = (int64_t)(1e9 / set.rate);
    for (; pacing && due <= now; due += step) publish(due);
    arm();
    flush();
}

/* As much as the server takes while no event needs longer than SLOW to reach everybody: the number of events under way
   grows by one with each that was quick, and shrinks with each that was slow. A fixed number would flatter nobody: slow
   servers would get seconds of work at once, and fast ones too little to do. */
static void saturate(void) {
    enum { QUICK = 100000000, SLOW = 200000000, RING = 8192 };
    static int64_t sent[RING], done;
    int64_t now = now_ns(), each = readers_each();
    for (; done < (int64_t)out.published && received + forgiven >= (done + 1) * each; done++) {
        int64_t took = now - sent[done % RING];
        if (took < QUICK && under_way < set.window) under_way++;
        else if (took > SLOW && under_way > 2) under_way--;
    }
    if (now - last_event > 2000000000) {  /* something was lost: forget it rather than wait for it for ever */
        forgiven = (int64_t)out.published * each - received;
        last_event = now;
    }
    while ((int64_t)out.published - done < under_way) {
        sent[out.published % RING] = now;
        publish(now);
    }
    flush();
}

static void turn(int64_t until) {
    struct epoll_event events[512];
    int64_t before = now_ns(), wait = (until - before) / 1000000;
    if (!owed()) silent_since = 0;
    else if (!silent_since) silent_since = before;
    int n = epoll_wait(epoll, events, 512, wait < 0 ? 0 : wait > 50 ? 50 : (int)wait + 1);
    int64_t woken = now_ns(), arrived = people.arrived;
    if (woken > give_up) fail("out of time");
    for (int i = 0; i < n; i++) {
        void *who = events[i].data.ptr;
        if (who == &timer) {
            uint64_t ticks;
            if (read(timer, &ticks, sizeof ticks) > 0 && pacing) pace();
        } else if (who == &out) {
            if (!feed_drain(&out)) fail("the server closed the feed");
            flush();
        } else if (who == &input_ended) {
            char text[256];
            input_ended = read(0, text, sizeof text) <= 0;
        } else {
            crowd_ready(&people, epoll, who, events[i].events);
        }
    }
    if (people.arrived != arrived) {  /* up to here the client waited; what it does itself is nobody's silence */
        if (silent_since && woken - silent_since > longest_silence) longest_silence = woken - silent_since;
        silent_since = 0;
    }
    if (saturating) saturate();
    crowd_connect(&people, epoll);
}

static void pass(double seconds) {
    for (int64_t until = now_ns() + (int64_t)(seconds * 1e9); now_ns() < until;) turn(until);
}

/* Returns whether `done` became true within `seconds`. */
static bool wait_for(bool (*done)(void), double seconds) {
    int64_t until = now_ns() + (int64_t)(seconds * 1e9);
    while (!done() && now_ns() < until) turn(until);
    return done();
}

static bool all_connected(void) { return people.next == people.clients && people.pending == 0; }
static bool never(void) { return input_ended; }

static bool all_have_ids(void) {
    for (int i = 0; i < people.clients; i++)
        if (!people.all[i].id || people.all[i].expected <= seq_all) return false;
    return true;
}

static bool all_caught_up(void) {
    if (people.closed + people.failed) return true;
    for (int i = 0; i < people.clients; i++)
        if (people.all[i].expected <= seq_all) return false;
    return true;
}

/* Events that were published and never came. */
static int64_t outstanding(void) {
    int64_t left = 0;
    for (int i = 0; i < people.clients - people.stopped; i++) {
        const stream *s = &people.all[i];
        int64_t last = set.users ? seq_user[i] : seq_all - seq_all % stream_step;
        if (last >= s->expected) left += (last - s->expected) / stream_step + 1;
    }
    return left;
}

static bool drained(void) { return !stream_loose ? outstanding() == 0 : now_ns() - last_event > 300000000; }

/* Open files of the server, its sockets among them: how a client that reads nothing sees that it was dismissed, for the end
   of its stream stands behind the bytes that it does not read. */
static int server_files(void) {
    int count = 0;
    for (int i = 0; i < set.pid_count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/fd", (int)set.pids[i]);
        DIR *folder = opendir(path);
        for (; folder && readdir(folder);) count++;
        if (folder) closedir(folder);
    }
    return count;
}

static int64_t server_cpu(void) {
    int64_t sum = 0;
    for (int i = 0; i < set.pid_count; i++) sum += cpu_ns(set.pids[i]);
    return sum;
}

/* The two ends of what is measured. */
static struct {
    int64_t at, server, client, beside[8];
    uint64_t published;
    tally seen;
} from, to;

static void begin(void) {
    longest_silence = silent_since = 0;
    from.seen = seen;
    from.published = out.published;
    from.client = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < set.beside_count; i++) from.beside[i] = cpu_ns(set.beside[i].pid);
    from.server = server_cpu();
    from.at = now_ns();
}

static void finish(void) {
    to.at = now_ns();
    to.server = server_cpu();
    for (int i = 0; i < set.beside_count; i++) to.beside[i] = cpu_ns(set.beside[i].pid);
    to.client = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    to.published = out.published;
    to.seen = seen;
}

static double us(double share) { return (double)histogram_at(&latency, share) / 1e3; }

/* Times and counts are those between `begin` and `finish`; what was lost is counted from the first event on. */
static void report(const char *phase) {
#define COUNT(name) (long long)(to.seen.name - from.seen.name)
    printf("{\"phase\":\"%s\",\"seconds\":%.6f,\"server_cpu\":%.9f,\"client_cpu\":%.9f,", phase,
           (double)(to.at - from.at) / 1e9, (double)(to.server - from.server) / 1e9, (double)(to.client - from.client) / 1e9);
    printf("\"beside\":{");
    for (int i = 0; i < set.beside_count; i++)
        printf("%s\"%s\":%.9f", i ? "," : "", set.beside[i].name, (double)(to.beside[i] - from.beside[i]) / 1e9);
    printf("},");
    printf("\"clients\":%d,\"ready\":%d,\"failed\":%d,\"closed\":%d,\"files\":%d,", people.clients, people.ready,
           people.failed, people.closed, server_files());
    printf("\"published\":%lld,\"delivered\":%lld,\"bytes\":%lld,\"comments\":%lld,", (long long)(to.published - from.published),
           COUNT(events), COUNT(bytes), COUNT(comments));
    printf("\"missing\":%lld,\"repeated\":%lld,\"late\":%lld,\"controls\":%lld,\"gaps\":%lld,", (long long)seen.missing,
           (long long)seen.repeated, (long long)(stream_loose ? 0 : outstanding()), (long long)seen.controls, (long long)seen.gaps);
    printf("\"stall\":%.1f,", (double)longest_silence / 1e3);
    printf("\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n", us(0.5), us(0.9), us(0.99), us(0.999),
           (double)latency.max / 1e3);
    fflush(stdout);
}

static void go(bool on) {
    pacing = on && set.rate > 0;
    saturating = on && set.rate <= 0;
    last_event = now_ns();
    if (pacing) due = now_ns(), arm();
}

static void connect_all(void) {
    begin();
    if (!crowd_open(&people, epoll)) fail("no memory");
    if (!wait_for(all_connected, set.limit)) fail("connecting took too long");
    finish();
    pass(0.01);  /* a process on a processor has its time counted at the next tick, or when it waits: 4 ms, 40 streams */
    to.server = server_cpu();
    report("connected");
    if (people.ready != people.clients) fail("not every client could connect");
    pass(set.settle);
}

static void live(void) {
    go(true);
    pass(set.warm);
    if (pacing) {  /* a clean start: what was published in the warm-up has arrived, and costs nothing any more */
        go(false);
        wait_for(drained, set.drain);
    }
    begin();
    measuring = true;
    go(true);
    pass(set.seconds);
    bool paced = pacing;
    go(false);
    if (paced) wait_for(drained, set.drain);
    finish();
    measuring = false;
    if (!paced) wait_for(drained, set.drain * 5);
    report("measured");
}

static void hold(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &input_ended};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event)) input_ended = true;
    begin();
    wait_for(never, set.limit);
    finish();
    report("held");
}

static void resume(void) {
    publish(now_ns());
    flush();
    if (!wait_for(all_have_ids, 5)) fail("no event IDs: nothing to resume from");
    pass(set.settle);
    crowd_leave(&people, epoll);
    pass(set.settle);
    for (int left = set.count; left > 0; left -= 20) {  /* in small steps, so that nobody's inbox is what is measured */
        for (int i = 0; i < 20 && i < left; i++) publish(now_ns());
        flush();
        pass(0.005);
    }
    pass(set.settle);
    begin();
    people.next = 0;
    crowd_connect(&people, epoll);
    wait_for(all_caught_up, set.seconds);
    finish();
    report("measured");
}

static void option(char *text) {
    char *value = strchr(text, '=');
    if (!value) fail("an option without =");
    *value++ = 0;
    if (!strcmp(text, "mode")) set.mode = value;
    else if (!strcmp(text, "port")) people.port = atoi(value);
    else if (!strcmp(text, "path")) people.path = value;
    else if (!strcmp(text, "clients")) people.clients = atoi(value);
    else if (!strcmp(text, "stopped")) people.stopped = atoi(value);
    else if (!strcmp(text, "at_once")) people.at_once = atoi(value);
    else if (!strcmp(text, "browser")) people.browser = atoi(value);
    else if (!strcmp(text, "feed")) set.feed_port = atoi(value);
    else if (!strcmp(text, "post")) set.post = *value ? value : NULL;
    else if (!strcmp(text, "size")) set.size = atoi(value);
    else if (!strcmp(text, "window")) set.window = atoi(value);
    else if (!strcmp(text, "count")) set.count = atoi(value);
    else if (!strcmp(text, "users")) set.users = atoi(value);
    else if (!strcmp(text, "rate")) set.rate = atof(value);
    else if (!strcmp(text, "warm")) set.warm = atof(value);
    else if (!strcmp(text, "seconds")) set.seconds = atof(value);
    else if (!strcmp(text, "drain")) set.drain = atof(value);
    else if (!strcmp(text, "settle")) set.settle = atof(value);
    else if (!strcmp(text, "limit")) set.limit = atof(value);
    else if (!strcmp(text, "step")) stream_step = atoi(value);
    else if (!strcmp(text, "loose")) stream_loose = atoi(value);
    else if (!strcmp(text, "pids"))
        for (char *pid = strtok(value, ","); pid && set.pid_count < 64; pid = strtok(NULL, ",")) set.pids[set.pid_count++] = atoi(pid);
    else if (!strcmp(text, "beside"))
        for (char *name = strtok(value, ":"), *pid; name && (pid = strtok(NULL, ",")) && set.beside_count < 8; name = strtok(NULL, ":")) {
            set.beside[set.beside_count].name = name;
            set.beside[set.beside_count++].pid = atoi(pid);
        }
    else fail("an unknown option");
}

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) option(arguments[i]);
    give_up = now_ns() + (int64_t)(set.limit * 1e9);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    seq_user = calloc((size_t)set.users + 1, sizeof *seq_user);
    struct epoll_event timing = {.events = EPOLLIN, .data.ptr = &timer}, feeding = {.events = EPOLLIN, .data.ptr = &out};
    if (epoll < 0 || timer < 0 || !seq_user || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &timing)) fail("no memory");
    if (set.feed_port) {
        if (!feed_open(&out, set.feed_port, set.post, set.size)) fail("no feed");
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, out.fd, &feeding)) fail("no feed");
    }
    stream_keep_ids = !strcmp(set.mode, "resume");
    connect_all();
    if (!strcmp(set.mode, "live")) live();
    else if (!strcmp(set.mode, "open")) hold();
    else if (!strcmp(set.mode, "resume")) resume();
    else fail("an unknown mode");
    crowd_leave(&people, epoll);
    return 0;
}
