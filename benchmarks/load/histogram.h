/* Latencies in buckets that are 1/64 of a power of two wide: an error below 1.6 %, whatever the range. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <string.h>

enum { STEPS = 64, BUCKETS = 48 * STEPS };

typedef struct {
    uint64_t count, in[BUCKETS];
    int64_t max;
} histogram;

static inline int bucket_of(uint64_t v) {
    if (v < STEPS) return (int)v;
    int power = 63 - __builtin_clzll(v) - 6;
    int index = (power + 1) * STEPS + (int)((v >> power) - STEPS);
    return index < BUCKETS ? index : BUCKETS - 1;
}

static inline int64_t bucket_top(int index) {
    if (index < STEPS) return index;
    int power = index / STEPS - 1;
    return ((int64_t)(index % STEPS + STEPS + 1) << power) - 1;
}

static inline void histogram_add(histogram *h, int64_t ns) {
    if (ns < 0) ns = 0;
    h->in[bucket_of((uint64_t)ns)]++;
    h->count++;
    if (ns > h->max) h->max = ns;
}

static inline int64_t histogram_at(const histogram *h, double share) {
    uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += h->in[i];
        if (seen > wanted) return bucket_top(i) < h->max ? bucket_top(i) : h->max;
    }
    return h->max;
}

#endif
