// rx_sse.js: the page's half of a stream of server-sent events.
//
//     import { stream } from "/rx_sse.js";
//     const me = stream("/notifications/me");
//
// One connection serves every tab of an origin that asks for the same stream. Standard: WHATWG HTML §9.2, whose
// words stand beside the lines that follow them ([spec]), over fetch. Docs: docs/browser.md; types: rx_sse.d.ts.
//
// Two halves talk through messages. The *hub* owns the connection and lives in a SharedWorker, in the tab that
// holds a Web Lock, or in the one tab that shares with no other. A *tab* (`Stream`) owns the listeners. All hear all
// messages over one BroadcastChannel, which gives all tabs the same messages in the same order. So when a new
// hub says `claim`, every tab has seen exactly the same events before it: the new hub continues from there, and
// later messages of an old hub are ignored. Nothing is lost and nothing arrives twice.
//
// A tab says: hi (I am here, at this position), bye, ping, said (the answer to ask), online.
// A hub says: claim, go (it begins from this position), at (a late tab begins here), ev (events), st (state),
// pong, who (are there other tabs), ask (call a function of the options), due (no tab knows the position: it begins).

const PROTOCOL = "rx_sse 1 ";
const CALL = PROTOCOL; // stands for a function of the options: the hub asks a tab to call it
const MAX_TIME = 2 ** 31 - 1; // ms: what setTimeout can wait, and the longest `retry` of the server's half
const MAX_EVENT = 16 * 2 ** 20; // characters of one event
const MAX_DELAY = 30000; // ms: back-off grows no further, a person waits that long for a page
const ANSWER = 30000; // ms until the headers of an answer must be here
const RING = 1000, RING_SIZE = 2 ** 20; // events, and characters of them, that are kept for tabs that come late
const QUEUE = 10000; // events that wait for a slow async iteration
const TICK = 150; // ms between two looks at the hub: four without a sign of life, and it is replaced
const PATIENCE = 100; // ms that a new hub waits for a tab that knows the position, if the first does not

const random = () => Math.random().toString(36).slice(2);
const sleep = (ms, stop) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  stop((value) => { clearTimeout(timer); done(value); });
});
const same = (a, b) => a?.e === b?.e && a?.n === b?.n;

// Batches of events for tabs that come late, as many as may be kept; the first marks where the rest begins.
function keep(ring, batch) {
  ring.push(batch);
  let events = 0, size = 0, from = ring.length;
  while (from && events < RING && size < RING_SIZE)
    for (const event of ring[--from].v) (events++, size += event[1].length);
  ring.splice(0, from);
}

// ---- the standard's parser ---------------------------------------------------------------------------------------

/**
 * A parser of one response body: `feed(text)` gives the events in it as [type, data, lastEventId]; `id` and
 * `retry` are what the stream has set. `[":", text]` is a comment.
 */
export function parser(id = "", max = MAX_EVENT) {
  // [spec] The id buffer starts with the last event ID: a stream that sets none keeps it.
  let rest = "", cr = false, data, type = "", buffer = id;
  const parsed = { id, retry: undefined, feed };
  return parsed;

  function feed(text) {
    const events = [];
    if (!text) return events;
    // A CR at the end of a chunk ended its line at once; a LF that follows belongs to it.
    if (cr && text[0] === "\n") text = text.slice(1);
    cr = text.endsWith("\r") || (cr && !text);
    const lines = text.split(/\r\n?|\n/);
    lines[0] = rest + lines[0];
    rest = lines.pop();
    for (const line of lines) {
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      // [spec] If value starts with a U+0020 SPACE character, remove it from value.
      const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
      if (!line) {
        // [spec] Set the last event ID string to the buffer; without data, set the type to "" and return.
        parsed.id = buffer;
        if (data !== undefined) events.push([type || "message", data, buffer]);
        data = undefined;
        type = "";
      } else if (!colon) events.push([":", line.slice(1)]);
      else if (field === "data") data = data === undefined ? value : data + "\n" + value;
      else if (field === "event") type = value;
      else if (field === "id") buffer = value.includes("\0") ? buffer : value;
      else if (field === "retry" && /^\d+$/.test(value)) parsed.retry = +value;
    }
    if (rest.length + (data || "").length > max)
      throw failed("too large", "an event is over " + max, { final: true });
    return events;
  }
}

const request = ({ headers }, token) => ({
  Accept: "text/event-stream",
  ...headers,
  ...(token && { Authorization: "Bearer " + token }),
});
const failed = (reason, message, more) => ({ reason, message, ...more });
const words = (error) => String(error?.message || error);

/** Milliseconds until the next attempt: never under `retry`, growing with failures in a row, spread by chance. */
export function delay(retry, failures, atLeast = 0) {
  // [spec] Wait a delay equal to the reconnection time. Optionally, wait some more.
  const spread = retry * (1 + Math.random() / 5);
  const ceiling = Math.min(Math.max(retry, 100) * 2 ** failures, Math.max(retry, MAX_DELAY));
  return Math.min(Math.max(spread, failures && ceiling * (1 + Math.random()) / 2, atLeast), MAX_TIME);
}

// ---- lines: how hub and tabs hear each other ---------------------------------------------------------------------

// Two channels: what goes out through one comes in through the other too, in its place among all messages.
const shared = (name) => (receive) => {
  const incoming = new BroadcastChannel(name), outgoing = new BroadcastChannel(name);
  incoming.onmessage = (event) => receive(event.data);
  return {
    post: (message) => outgoing.postMessage(message),
    close() { incoming.onmessage = null; incoming.close(); outgoing.close(); },
  };
};

const alone = () => {
  const ends = new Set();
  return (receive) => (ends.add(receive), {
    post: (message) => ends.forEach((end) => queueMicrotask(() => ends.has(end) && end(message))),
    close: () => ends.delete(receive),
  });
};

// ---- the hub: one connection, over all its attempts --------------------------------------------------------------

function hub(line, patience, onstop, tail) {
  const e = random(), members = new Map(), asked = new Map();
  let config, claimed, started, over, position, ring, retry, user, controller, watchdog, best, since, served;
  let wake = () => {}, state = { s: "connecting" }, failures = 0;
  const { post, close } = line(receive);
  const say = (k, more) => post({ k, e, ...more });
  const timers = [setInterval(roll, 10000)];
  say("claim");
  return stop;

  function stop() {
    if (over) return;
    over = true;
    timers.map(clearInterval);
    clearTimeout(watchdog);
    controller?.abort();
    wake("stop");
    close();
    onstop?.();
  }

  function receive(m) {
    if (m.k === "claim") {
      if (m.e === e) claimed = true;
      else if (claimed) stop(); // the last hub that claims has the stream
    } else if (m.k === "ping") say("pong");
    else if (m.k === "hi") {
      members.delete(m.t); // and to the end: a function of the options is asked of whom was heard last
      members.set(m.t, 0);
      config = { ...config, ...m.c };
      if (started) m.fresh && greet(m);
      else if (m.live && m.e === e) begin(m.p); // every live tab has the same position at the claim
      else {
        if (m.p && !(best?.at > m.p.at)) best = m.p;
        if (claimed && !timers[1]) timers[1] = setTimeout(() => say("due"), patience);
      }
      wake("hi");
    } else if (m.k === "bye") {
      if (members.delete(m.t) && !members.size) controller?.abort(failed("idle"));
    } else if (m.k === "due" && m.e === e) begin(best); // after whatever was said before it, however busy we are
    else if (m.k === "said") asked.get(m.i)?.(m);
    else if (m.k === "online") wake("online");
  }

  // Tabs that crashed say no bye: who has not answered two calls is not there.
  function roll() {
    for (const [t, absent] of members) absent > 1 ? members.delete(t) : members.set(t, absent + 1);
    if (!members.size) controller?.abort(failed("idle"));
    say("who");
  }

  function begin(from) {
    if (started || over) return;
    started = true;
    position = from || { e, n: 0, id: "" };
    ring = tail?.(position) || [{ ...position, v: [] }];
    say("go", { p: from });
    run();
  }

  // A tab that comes late gets what it missed, as far as that is kept; or the last events, if it wants a replay.
  function greet({ t, p, r }) {
    const index = p ? ring.findIndex((batch) => same(batch, p)) : -1;
    const all = ring.slice(index + 1).flatMap((batch) => batch.v);
    const v = index >= 0 ? all : !p && r ? all.slice(-r) : [];
    say("at", { t, v, p: position, ok: index >= 0, st: state });
  }

  function tell(s, more) {
    state = { s, u: user, ...more };
    say("st", state);
  }

  function publish(v, id) {
    if (!v.length && id === position.id) return;
    position = { e, n: position.e === e ? position.n + 1 : 1, id };
    keep(ring, { ...position, v });
    say("ev", { n: position.n, v, id });
  }

  async function ask(f, a) {
    for (const [t] of [...members].reverse()) {
      const i = random();
      const answer = await sleep(10000, (done) => { asked.set(i, done); say("ask", { t, i, f, a }); });
      asked.delete(i);
      if (answer?.x) throw failed(f, answer.x);
      if (answer) return answer.v;
    }
    throw failed(f, "no tab answered");
  }

  async function run() {
    while (!over) {
      if (!members.size) await new Promise((done) => { wake = done; }); // all tabs are hidden, or have left
      if (over) return;
      tell("connecting");
      controller = new AbortController();
      let failure;
      since = Infinity;
      served = false;
      try {
        failure = await attempt(controller.signal);
      } catch (error) {
        failure = error?.reason ? error : failed("network", words(error));
      }
      controller.abort();
      clearTimeout(watchdog);
      if (over) return;
      if (failure.reason === "idle") continue;
      const lived = Date.now() - since;
      if (served || lived >= 5000) failures = 0;
      const at_once = failure.reason === "expired" && lived >= 1000;
      // What was refused fails a native EventSource for good. A function decides about that, and nothing else.
      let again = !failure.final && config.reconnect !== false;
      if (again && failure.status && config.reconnect !== true)
        again = config.reconnect === CALL && await ask("reconnect", failure).catch(() => false);
      if (over) return;
      if (!again) {
        tell("closed", { failure });
        return stop();
      }
      const wait = at_once ? 0 : delay(retry ?? config.retry, failures, failure.retryAfter);
      const offline = globalThis.navigator?.onLine === false;
      failures += !at_once;
      tell("waiting", { failure, delay: wait, offline });
      await sleep(offline ? Math.max(wait, MAX_DELAY) : wait, (done) => { wake = (why) => (why === "stop" || offline && why === "online") && done(); });
    }
  }

  // Resolves with how the connection ended, or throws it.
  async function attempt(signal) {
    const { url, method, body, credentials, timeout, max } = config;
    const own = controller;
    const touch = (ms) => {
      clearTimeout(watchdog);
      if (ms) watchdog = setTimeout(() => own.abort(failed("timeout", `silent for ${ms} ms`)), ms);
    };
    const token = config.token === CALL ? await ask("token") : config.token;
    const id = position.id;
    touch(ANSWER);
    const response = await fetch(url, {
      method, body, credentials, signal,
      cache: "no-store", // [spec] Set request's cache mode to "no-store": that sends Cache-Control: no-cache.
      headers: {
        ...request(config, token),
        // [spec] Set (`Last-Event-ID`, lastEventIDValue), encoded as UTF-8.
        ...(id && { "Last-Event-ID": String.fromCharCode(...new TextEncoder().encode(id)) }),
      },
    });
    const header = (name) => response.headers.get(name);
    const { status } = response, type = header("Content-Type") || "";
    if (status === 204) return failed("end", "204", { status, final: true });
    if (status !== 200 || !/^\s*text\/event-stream\s*(;|$)/i.test(type)) {
      const after = header("Retry-After");
      const ms = /^\d+$/.test(after) ? after * 1000 : Date.parse(after) - Date.now();
      return failed("refused", status === 200 ? "no event stream but " + type.slice(0, 99)
        : status + " " + response.statusText, { status, retryAfter: ms > 0 ? ms : 0 });
    }
    const limit = timeout ?? header("Stream-Heartbeat") * 3000;
    user = header("Stream-User") || undefined;
    since = Date.now();
    tell("open");
    touch(limit);
    // [spec] Always UTF-8, whatever the type says; one BOM at the beginning is dropped.
    const decoder = new TextDecoder(), reader = response.body.getReader(), parsed = parser(id, max);
    let failure = failed("ended", "");
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return failure;
      touch(limit);
      const events = parsed.feed(decoder.decode(value, { stream: true }));
      retry = parsed.retry ?? retry;
      const kept = config.comments ? events : events.filter(([type]) => type !== ":");
      const end = kept.findIndex(([type]) => type === "stream-end" || type === "stream-expired");
      if (end >= 0) kept.splice(end + 1);
      served ||= kept.some(([type]) => !/^(:|stream-)/.test(type));
      publish(kept, parsed.id);
      for (const [type, data] of kept) {
        if (type === "stream-end") return failed("end", type, { final: true });
        if (type === "stream-expired") return failed("expired", data);
        if (type === "stream-error") failure = failed("error", data);
      }
    }
  }
}

// ---- a tab -------------------------------------------------------------------------------------------------------

/** An event of the stream. */
export class StreamEvent extends MessageEvent {
  /** The data, read as JSON. */
  json() {
    return JSON.parse(this.data);
  }
}

const page = typeof document === "object";
const plain = (value) => (typeof value === "function" ? CALL : value);
const note = (type, detail) => new CustomEvent(type, { detail });

/** A stream, as one tab sees it: made by `stream()`. */
class Stream extends EventTarget {
  constructor(url, options) {
    super();
    const {
      signal, token, user, replay, hidden, position = "session", lastEventId = "",
      method = "GET", reconnect = method === "GET", headers, body, credentials = "same-origin", retry = 3000, timeout, comments,
      maxEventSize: max = MAX_EVENT,
      share = page && method === "GET" && (plain(token) !== CALL || user !== undefined),
      worker = /\/rx_sse(\.min)?\.js(\?|$)/.test(import.meta.url) && import.meta.url,
    } = options;
    url = new URL(url, globalThis.location?.href);
    // [spec] Set the origin attribute to the serialization of the origin of the event stream's final URL. Here that
    // of the first URL: a tab does not learn where redirects led.
    const { origin, href } = url;
    const config = {
      url: href, method, headers: { ...headers }, body, credentials, retry, timeout, comments, max,
      token: plain(token), reconnect: plain(reconnect),
    };
    // Who differs in any of these has another stream. A token stays out of the name, a mark of it does not.
    const name = PROTOCOL + JSON.stringify([href, user, config.headers, credentials, mark(config.token), lastEventId, comments]);
    const storage = page && globalThis[position + "Storage"], t = random();
    const observers = new Set(), gone = new AbortController();
    let key = name, mode = !share || !globalThis.BroadcastChannel ? "own" : worker && globalThis.SharedWorker ? "worker" : "lock";
    let left = true, missed = 0, generation = 0, ring = [], link, timer, own, unlock; // the way to the hub
    let e, live, at, who; // the hub's epoch; whether events are delivered; the position; the user

    // -- there, and away --

    const hi = (more) => link.post({ k: "hi", t, e, p: at, live, c: config, r: replay, ...more });
    const join = () => {
      if (!left || this.state === "closed") return;
      left = live = false;
      try {
        at ||= JSON.parse(storage.getItem(key));
      } catch {} // no storage for this page
      at ||= lastEventId ? { n: 0, id: lastEventId } : undefined;
      this.lastEventId = at?.id || "";
      const line = mode === "own" ? alone() : shared(key);
      link = line(receive);
      hi({ fresh: 1 });
      if (mode === "own") own = hub(line, 0);
      else timer = setInterval(look, TICK + Math.random() * 50);
      lead();
    };
    const save = () => {
      try {
        at?.id ? storage.setItem(key, JSON.stringify(at)) : storage.removeItem(key);
      } catch {} // no storage, or it is full
    };
    const leave = () => {
      if (left) return;
      left = true;
      e = undefined;
      clearInterval(timer);
      save();
      link.post({ k: "bye", t });
      link.close();
      resign();
    };
    const resign = () => {
      generation++;
      own?.();
      unlock?.();
      own = unlock = undefined;
    };

    // -- who has the connection --

    const lead = (steal) => {
      const locks = () => {
        mode = "lock";
        left || lead();
      };
      if (mode === "worker")
        try {
          // Is it there already, then this does nothing but wake it. A policy may forbid it, soon or at once.
          new SharedWorker(worker, { type: "module", name: key }).onerror = locks;
        } catch {
          locks();
        }
      else if (mode === "lock")
        if (navigator.locks) compete(steal);
        else {
          leave();
          mode = "own";
          join();
        }
    };
    // The tab that gets the lock is the hub, until it stops, leaves, or the lock is taken from it.
    const compete = (steal) => {
      const mine = ++generation, given_up = new AbortController();
      unlock?.();
      unlock = () => given_up.abort();
      navigator.locks.request(key, steal ? { steal } : { signal: given_up.signal }, () => new Promise((release) => {
        if (mine !== generation) return release();
        unlock = release;
        own = hub(shared(key), PATIENCE, release, (p) => same(ring.at(-1), p) && [...ring]);
      })).catch(() => {}).then(() => {
        if (mine !== generation) return;
        own?.();
        own = unlock = undefined;
        compete();
      });
    };
    // Nothing heard of the hub: ask it, ask who else is there, replace it.
    const look = () => {
      missed++;
      if (missed === 2) link.post({ k: "ping" });
      if (missed === 3) {
        // A live tab goes on hearing this hub until another claims: it may only be slow.
        if (!live) e = undefined;
        hi({ fresh: 1 });
      }
      if (missed === 30) mode = "lock"; // the worker does not start
      if (missed % 4 === 0 && (missed > 9 || document.visibilityState === "visible")) lead(true);
    };

    // -- what the hub says --

    const receive = (m) => {
      if (left) return;
      const { k, p } = m, to_me = m.t === t;
      if (k === "claim" || k === "go" && !e || k === "at" && to_me && !(live && e)) e = m.e;
      if (!m.e || m.e !== e || m.c) return; // with a configuration it is a tab that speaks
      missed = 0;
      if (k === "claim" || k === "who") hi();
      else if (k === "go") {
        if (live) same(at, p) || lost("tabs");
        else if (!at || same(at, p)) live = true;
        else hi({ fresh: 1 });
      } else if (k === "at" && to_me) greeted(m);
      else if (k === "ask" && to_me) answer(m);
      else if (k === "st") became(m);
      else if (k === "ev" && live) {
        if (m.n !== (at?.e === e ? at.n + 1 : 1)) lost("tabs");
        at = { e, n: m.n, id: m.id, at: Date.now() };
        if (mode === "lock") keep(ring, { ...at, v: m.v });
        deliver(m.v, m.id);
      }
    };
    const greeted = async ({ p, v, ok, st }) => {
      if (live) return became(st); // it has heard every event of this hub
      if (user === undefined && st.u && st.u !== who) {
        // Another user may have signed in since that stream was opened: ask who we are before we listen.
        who ??= await whoami();
        if (left) return;
        if (who === st.u) return hi({ fresh: 1 });
        leave();
        if (who) key = name + who;
        else mode = "own";
        at = undefined;
        ring = [];
        return join();
      }
      const late = at && !ok;
      at = { ...p, at: Date.now() };
      live = true;
      this.dispatchEvent(note("joined", { resumed: ok, events: v.length, lastEventId: at.id }));
      if (late) lost("joined");
      deliver(v, at.id);
      became(st);
    };
    const whoami = async () => {
      try {
        const bearer = config.token === CALL ? await token() : token;
        return (await fetch(href, { method: "HEAD", credentials, headers: request(config, bearer) })).headers.get("Stream-User");
      } catch {} // then it is no tab to share with
    };
    const answer = async ({ i, f, a }) => {
      const said = {};
      try {
        said.v = await { token, reconnect }[f](a);
      } catch (error) {
        said.x = words(error);
      }
      left || link.post({ k: "said", t, i, ...said });
    };

    // -- what the listeners hear --

    const deliver = (events, id) => {
      for (const [type, data, its] of events) {
        if (left) return;
        this.lastEventId = its ?? this.lastEventId;
        dispatch(type, data);
      }
      this.lastEventId = id;
    };
    const lost = (reason) => dispatch("stream-gap", JSON.stringify({ reason }));
    const dispatch = (type, data) => {
      const comment = type === ":";
      const event = new StreamEvent(comment ? "comment" : type, { data, origin, lastEventId: this.lastEventId });
      if (type === "stream-gap") this.dispatchEvent(note("gap", event.json()));
      this.dispatchEvent(event);
      if (!comment && type !== "stream-end") for (const observer of observers) observer.next?.(event);
    };
    const became = ({ s, u, ...more }) => {
      if (left || s === this.state && !more.failure) return;
      if (who && u && u !== who) return finish(failed("user", "another user signed in"));
      who = u || who;
      if (s === "closed") finish(more.failure);
      else tell(s, more);
    };
    const tell = (state, more) => {
      this.state = state;
      const { failure } = more;
      if (failure && !/^(end|ended|expired)$/.test(failure.reason)) this.dispatchEvent(note("error", failure));
      this.dispatchEvent(note("state", { state, ...more }));
      if (state === "open") this.dispatchEvent(new Event("open"));
    };
    const finish = (failure) => {
      if (this.state === "closed") return;
      if (failure?.reason === "end") at = undefined; // all is said: a reload starts anew
      leave();
      gone.abort();
      tell("closed", { failure });
      const error = failure && !/^end/.test(failure.reason) && Object.assign(new Error(failure.message), failure);
      for (const observer of observers) error ? observer.error?.(error) : observer.complete?.();
      observers.clear();
    };

    // -- the outside --

    Object.assign(this, {
      url: href, state: "connecting", lastEventId,
      close: () => finish(),
      subscribe: (observer) => {
        if (typeof observer === "function") observer = { next: observer };
        if (this.state === "closed") observer.complete?.();
        else observers.add(observer);
        return { unsubscribe: () => void observers.delete(observer) };
      },
    });
    if (signal?.aborted) return finish();
    if (!/^http/.test(href)) return queueMicrotask(() => finish(failed("url", href)));
    const hear = (object, type, listener) => object.addEventListener(type, listener, { signal: gone.signal });
    const shown = () => {
      if (document.visibilityState === "visible") join();
      else if (hidden === "pause") {
        leave();
        tell("waiting", { hidden: true });
      } else save();
    };
    if (signal) hear(signal, "abort", this.close);
    if (page) {
      hear(globalThis, "pagehide", leave);
      hear(globalThis, "pageshow", ({ persisted }) => persisted && join());
      hear(globalThis, "online", () => left || link.post({ k: "online" }));
      hear(document, "visibilitychange", shown);
      // A frozen page still hears messages, but gets nothing from the network.
      hear(document, "freeze", () => mode === "lock" && resign());
      hear(document, "resume", () => left || mode === "lock" && lead());
    }
    if (page && hidden === "pause" && document.visibilityState === "hidden") this.state = "waiting";
    else join();
  }

  async *[Symbol.asyncIterator]() {
    const queue = [];
    let wake, over, error, missed = 0;
    const done = (failure) => {
      over = true;
      error = failure;
      wake?.();
    };
    const next = (event) => {
      if (queue.push(event) > QUEUE) {
        queue.shift();
        missed++;
      }
      wake?.();
    };
    const { unsubscribe } = this.subscribe({ next, error: done, complete: done });
    try {
      for (;;) {
        if (missed) {
          const data = JSON.stringify({ reason: "overflow", missed });
          missed = 0;
          yield new StreamEvent("stream-gap", { data });
        } else if (queue.length) yield queue.shift();
        else if (error) throw error;
        else if (over) return;
        else await new Promise((resolve) => { wake = resolve; });
      }
    } finally {
      unsubscribe();
    }
  }
}

// RxJS looks for one of these two, whichever it found when it was loaded.
for (const name of [Symbol.observable ?? "@@observable", "@@observable"])
  Stream.prototype[name] = function () {
    return this;
  };

// Bits that tell tokens apart.
function mark(text) {
  let a = 0xdeadbeef, b = 0x41c6ce57;
  for (const character of text || "") {
    a = Math.imul(a ^ character.codePointAt(), 2654435761);
    b = Math.imul(b ^ character.codePointAt(), 1597334677);
  }
  return text && [a, b];
}

/** Open a stream of server-sent events, or join it where another tab has it open. */
export const stream = (url, options = {}) => new Stream(url, options);

// ---- in the SharedWorker: the hub of the stream that its name tells ----------------------------------------------

if (globalThis.SharedWorkerGlobalScope && name.startsWith(PROTOCOL)) {
  let current;
  onconnect = () => { current ??= hub(shared(name), PATIENCE, () => { current = undefined; }); };
}
