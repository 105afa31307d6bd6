/* Time on the wall and on the processor, in nanoseconds. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t id) {
    struct timespec t;
    return clock_gettime(id, &t) ? 0 : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* CPU time of another process, all its threads, user and system, to the nanosecond: /proc counts in ticks of 10 ms. */
static inline int64_t cpu_ns(pid_t pid) {
    clockid_t id;
    return clock_getcpuclockid(pid, &id) ? 0 : clock_ns(id);
}

#endif
