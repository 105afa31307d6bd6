#define _GNU_SOURCE
#include "stream.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

tally seen;
bool stream_keep_ids, stream_loose;
int64_t stream_step = 1;

enum chunk_state { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, LAST };

void stream_reset(stream *s) {
    free(s->carry);
    s->carry = NULL;
    s->carried = s->carry_room = 0;
    s->chunk = SIZE;
    s->left = 0;
    s->chunked = s->has_data = s->named = s->control = s->gap = s->finished = false;
    s->status = 0;
    s->seq = -1;
}

static bool carry(stream *s, const char *data, size_t length) {
    if (s->carried + length > s->carry_room) {
        uint32_t room = s->carry_room ? s->carry_room : 256;
        while (room < s->carried + length) room *= 2;
        char *grown = realloc(s->carry, room);
        if (!grown) return false;
        s->carry = grown;
        s->carry_room = room;
    }
    memcpy(s->carry + s->carried, data, length);
    s->carried += (uint32_t)length;
    return true;
}

/* The integer after `"name":`, which stands near the start of the data. */
static int64_t number(const char *line, size_t length, const char *name) {
    size_t span = length < 160 ? length : 160;
    const char *at = memmem(line, span, name, strlen(name)), *end = line + length;
    if (!at) return -1;
    at += strlen(name);
    while (at < end && *at == ' ') at++;
    int64_t value = 0;
    const char *first = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0');
    return at == first ? -1 : value;
}

static void dispatch(stream *s) {
    if (s->control) {
        seen.controls++;
        seen.gaps += s->gap;
    } else if (s->has_data && s->seq >= 0) {
        seen.events++;
        if (!stream_loose) {
            if (s->seq > s->expected) seen.missing += (uint64_t)((s->seq - s->expected) / stream_step);
            else if (s->seq < s->expected) seen.repeated++;
        }
        if (s->seq >= s->expected) s->expected = s->seq + stream_step;
        on_event(s);
    } else if (s->named && !s->has_data) {
        seen.comments++;  /* nchan's heartbeat: a type and nothing else */
    }
    s->has_data = s->named = s->control = s->gap = false;
    s->seq = -1;
}

static void line(stream *s, const char *text, size_t length) {
    if (length && text[length - 1] == '\r') length--;
    if (length == 0) {
        dispatch(s);
    } else if (text[0] == ':') {
        seen.comments++;
    } else if (length > 5 && !memcmp(text, "data:", 5)) {
        if (!s->has_data) {
            s->seq = number(text, length, "\"seq\":");
            s->sent = number(text, length, "\"t\":");
        }
        s->has_data = true;
    } else if (length > 6 && !memcmp(text, "event:", 6)) {
        const char *type = text + 6 + (text[6] == ' ');
        size_t rest = length - (size_t)(type - text);
        s->named = true;
        s->control = rest >= 7 && !memcmp(type, "stream-", 7);
        s->gap = rest == 10 && !memcmp(type, "stream-gap", 10);
    } else if (stream_keep_ids && length > 3 && !memcmp(text, "id:", 3)) {
        const char *id = text + 3 + (text[3] == ' ');
        size_t rest = length - (size_t)(id - text);
        if (rest < ID_ROOM && (s->id || (s->id = malloc(ID_ROOM)))) {
            memcpy(s->id, id, rest);
            s->id[rest] = 0;
        }
    }
}

/* Body bytes, free of chunk framing. Whole lines are read where they lie; only a torn one is copied. */
static bool body(stream *s, const char *data, size_t length) {
    const char *end = data + length;
    while (data < end) {
        const char *lf = memchr(data, '\n', (size_t)(end - data));
        if (!lf) return carry(s, data, (size_t)(end - data));
        if (s->carried) {
            if (!carry(s, data, (size_t)(lf - data))) return false;
            line(s, s->carry, s->carried);
            s->carried = 0;
        } else {
            line(s, data, (size_t)(lf - data));
        }
        data = lf + 1;
    }
    return true;
}

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool dechunk(stream *s, const char *data, size_t length) {
    const char *end = data + length;
    while (data < end) {
        switch (s->chunk) {
        case SIZE:
            if (hex(*data) >= 0) s->left = s->left * 16 + (uint64_t)hex(*data);
            else if (*data == '\r') s->chunk = SIZE_LF;
            else if (*data == ';') s->chunk = EXTENSION;
            else return false;
            data++;
            break;
        case EXTENSION:
            if (*data++ == '\r') s->chunk = SIZE_LF;
            break;
        case SIZE_LF:
            if (*data++ != '\n') return false;
            s->chunk = s->left ? DATA : LAST;
            break;
        case DATA: {
            size_t part = (size_t)(end - data) < s->left ? (size_t)(end - data) : (size_t)s->left;
            if (!body(s, data, part)) return false;
            data += part;
            if (!(s->left -= part)) s->chunk = DATA_CR;
            break;
        }
        case DATA_CR:
            if (*data++ != '\r') return false;
            s->chunk = DATA_LF;
            break;
        case DATA_LF:
            if (*data++ != '\n') return false;
            s->chunk = SIZE;
            break;
        default:
            s->finished = true;
            return true;
        }
    }
    return true;
}

/* Returns how much of `data` belonged to the head, or -1. */
static long head(stream *s, const char *data, size_t length) {
    size_t before = s->carried;
    if (!carry(s, data, length)) return -1;
    const char *end = memmem(s->carry, s->carried, "\r\n\r\n", 4);
    if (!end) return s->carried > 16384 ? -1 : (long)length;
    size_t size = (size_t)(end - s->carry) + 4;
    if (size < 12 || memcmp(s->carry, "HTTP/1.", 7)) return -1;
    s->status = atoi(s->carry + 9);
    s->carry[size - 1] = 0;
    s->chunked = strcasestr(s->carry, "\r\ntransfer-encoding: chunked") != NULL;
    bool events = strcasestr(s->carry, "\r\ncontent-type: text/event-stream") != NULL;
    s->carried = 0;
    free(s->carry);
    s->carry = NULL;
    s->carry_room = 0;
    s->phase = BODY;
    return s->status == 200 && events ? (long)(size - before) : -1;
}

bool stream_feed(stream *s, const char *data, size_t length) {
    seen.bytes += length;
    if (s->phase == HEAD) {
        long used = head(s, data, length);
        if (used < 0) return false;
        data += used;
        length -= (size_t)used;
    }
    if (s->phase != BODY || !length) return true;
    return s->chunked ? dechunk(s, data, length) : body(s, data, length);
}
