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
// messages over one BroadcastChannel, which gives everybody the same messages in the same order. So when a new
// hub says `claim`, every tab has seen exactly the same events before it: the new hub goes on from there, and
// what an old hub still says afterwards is not heard. Nothing is lost and nothing comes twice.
//
// A tab says: hi (I am here, at this position), bye, ping, said (the answer to ask), online.
// A hub says: claim, go (it begins from this position), at (a late tab begins here), ev (events), st (state),
// pong, who (is there anybody), ask (call a function of the options).

const PROTOCOL = "rx_sse 1 ";
const MAX_TIME = 2 ** 31 - 1; // what setTimeout can wait, and what the server's half calls the longest `retry`
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
      else if (field === "retry" && /^\d+$/.test(value)) parsed.retry = Math.min(value, MAX_TIME);
    }
    if (rest.length + (data || "").length > max)
      throw failed("too large", `an event is over ${max} characters`, { final: true });
    return events;
  }
}

const failed = (reason, message, more) => ({ reason, message, ...more });

/** Milliseconds until the next attempt: never under `retry`, growing with failures in a row, spread by chance. */
export function delay(retry, failures, atLeast = 0) {
  // [spec] Wait a delay equal to the reconnection time. Optionally, wait some more.
  const spread = retry * (1 + Math.random() / 4);
  const ceiling = Math.min(Math.max(retry, 100) * 2 ** Math.min(failures, 32), Math.max(retry, MAX_DELAY));
  return Math.min(Math.max(spread, failures && ceiling * (1 + Math.random()) / 2, atLeast), MAX_TIME);
}

// ---- lines: how hub and tabs hear each other ---------------------------------------------------------------------

// Two channels: what goes out through one comes in through the other too, in its place among everybody's.
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
  let config, claimed, started, over, position, ring, retry, user, limit, controller, watchdog, best;
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
      else if (claimed) stop(); // whoever claims last has the stream
    } else if (m.k === "ping") say("pong");
    else if (m.k === "hi") {
      members.delete(m.t); // and to the end: a function of the options is asked of whom was heard last
      members.set(m.t, 0);
      config = { ...config, ...m.c };
      if (started) m.fresh && greet(m);
      else if (m.live && m.e === e) begin(m.p); // every live tab has the same position at the claim
      else {
        if (m.p && !(best?.at > m.p.at)) best = m.p;
        if (claimed && !timers[1]) timers[1] = setTimeout(() => begin(best), patience);
      }
      wake("hi");
    } else if (m.k === "bye") {
      if (members.delete(m.t) && !members.size) controller?.abort(failed("idle"));
    } else if (m.k === "said") asked.get(m.i)?.(m);
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
    ring.push({ ...position, v });
    say("ev", { n: position.n, v, id });
    let events = 0, size = 0, keep = ring.length;
    while (keep && events < RING && size < RING_SIZE)
      for (const event of ring[--keep].v) (events++, size += event[1].length);
    ring.splice(0, keep); // the first that stays marks where the rest begins
  }

  async function ask(f, a) {
    for (const [t] of [...members].reverse()) {
      const i = random();
      const answer = await sleep(10000, (done) => { asked.set(i, done); say("ask", { t, i, f, a }); });
      asked.delete(i);
      if (answer?.x) throw failed(f, answer.x);
      if (answer) return answer.v;
    }
    throw failed(f, `no tab answered for ${f}()`);
  }

  async function run() {
    while (!over) {
      if (!members.size) await new Promise((done) => { wake = done; }); // everybody is hidden, or has left
      if (over) return;
      tell("connecting");
      controller = new AbortController();
      const progress = { since: Infinity };
      let failure;
      try {
        failure = await attempt(progress, controller.signal);
      } catch (error) {
        failure = error?.reason ? error : failed("network", String(error?.message || error));
      }
      controller.abort();
      clearTimeout(watchdog);
      if (over) return;
      if (failure.reason === "idle") continue;
      const lived = Date.now() - progress.since;
      if (progress.served || lived >= 5000) failures = 0;
      const at_once = failure.reason === "expired" && lived >= 1000;
      const again = config.f.includes("reconnect") ? failure.status === undefined || ask("reconnect", failure)
        : config.reconnect === "standard" ? failure.status === undefined : config.reconnect !== false;
      const comes_back = !failure.final && await Promise.resolve(again).catch(() => false);
      if (over) return;
      if (!comes_back) {
        tell("closed", { f: failure });
        return stop();
      }
      const wait = at_once ? 0 : delay(retry ?? config.retry, failures, failure.retryAfter);
      const offline = globalThis.navigator?.onLine === false;
      failures += !at_once;
      tell("waiting", { f: failure, delay: wait, offline });
      await sleep(offline ? Math.max(wait, MAX_DELAY) : wait, (done) => { wake = (why) => (why === "stop" || offline && why === "online") && done(); });
    }
  }

  // Resolves with how the connection ended, or throws it.
  async function attempt(progress, signal) {
    const { url, method, headers, body, credentials, timeout, max } = config;
    const own = controller;
    const touch = (ms) => {
      clearTimeout(watchdog);
      if (ms) watchdog = setTimeout(() => own.abort(failed("timeout", `nothing came for ${ms / 1000} s`)), ms);
    };
    const token = config.f.includes("token") ? await ask("token") : config.token;
    const id = position.id;
    touch(ANSWER);
    const response = await fetch(url, {
      method, body, credentials, signal,
      cache: "no-store", // [spec] Set request's cache mode to "no-store": that sends Cache-Control: no-cache.
      headers: {
        Accept: "text/event-stream",
        ...headers,
        ...(token && { Authorization: "Bearer " + token }),
        // [spec] Set (`Last-Event-ID`, lastEventIDValue), encoded as UTF-8.
        ...(id && { "Last-Event-ID": String.fromCharCode(...new TextEncoder().encode(id)) }),
      },
    });
    const header = (name) => response.headers.get(name);
    const { status } = response, type = header("Content-Type") || "";
    if (status === 204) return failed("end", "204 No Content", { status, final: true });
    if (status !== 200 || !/^\s*text\/event-stream\s*(;|$)/i.test(type)) {
      const after = header("Retry-After");
      const ms = /^\d+$/.test(after) ? after * 1000 : Date.parse(after) - Date.now();
      return failed("refused", status === 200 ? `the answer is ${type.slice(0, 100) || "of no type"}, no event stream`
        : `${status} ${response.statusText}`, { status, retryAfter: ms > 0 ? ms : 0 });
    }
    limit = timeout ?? header("Stream-Heartbeat") * 3000;
    user = header("Stream-User") || undefined;
    progress.since = Date.now();
    tell("open");
    touch(limit);
    // [spec] Always UTF-8, whatever the type says; one BOM at the beginning is dropped.
    const decoder = new TextDecoder(), reader = response.body.getReader(), parsed = parser(id, max);
    let failure = failed("ended", "the server ended the stream");
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return failure;
      touch(limit);
      const events = parsed.feed(decoder.decode(value, { stream: true }));
      retry = parsed.retry ?? retry;
      const kept = config.comments ? events : events.filter(([type]) => type !== ":");
      const end = kept.findIndex(([type]) => type === "stream-end" || type === "stream-expired");
      if (end >= 0) kept.splice(end + 1);
      progress.served ||= kept.some(([type]) => !/^(:|stream-)/.test(type));
      publish(kept, parsed.id);
      for (const [type, data] of kept) {
        if (type === "stream-end") return failed("end", "the stream has ended", { final: true });
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
const note = (type, detail) => new CustomEvent(type, { detail });

/** A stream, as one tab sees it: made by `stream()`. */
class Stream extends EventTarget {
  #observers = new Set();
  #close;

  constructor(url, options) {
    super();
    const {
      signal, token, user, replay = 0, hidden = "keep", position = "session", lastEventId = "", reconnect = true,
      method = "GET", headers = {}, body, credentials = "same-origin", retry = 3000, timeout, comments = false,
      maxEventSize = MAX_EVENT, share = page && method === "GET" && (typeof token !== "function" || user !== undefined),
      worker = /\/rx_sse(\.min)?\.js(\?|$)/.test(import.meta.url) && import.meta.url,
    } = options;
    url = String(new URL(url, globalThis.location?.href));
    const functions = { token, reconnect };
    const f = Object.keys(functions).filter((name) => typeof functions[name] === "function");
    const plain = (name) => (f.includes(name) ? undefined : functions[name]);
    const config = {
      url, method, headers: { ...headers }, credentials, retry, timeout, comments, max: maxEventSize, f,
      body,
      token: plain("token"), reconnect: plain("reconnect"),
    };
    // Who differs in any of these has another stream. A token stays out of the name, a mark of it does not.
    const name = PROTOCOL + JSON.stringify([url, user, method, config.headers, credentials, mark(config.token), lastEventId, worker]);
    let key = name;
    const storage = page && { session: "sessionStorage", local: "localStorage" }[position];
    const t = random();

    let link, timer, e, live, at, who, left = true, missed = 0, unlock, generation = 0, own, ring = [];
    let mode = !share || typeof BroadcastChannel !== "function" ? "own"
      : worker && globalThis.SharedWorker ? "worker" : globalThis.navigator?.locks ? "lock" : "own";
    Object.assign(this, { url, state: "connecting", lastEventId });
    const hi = (more) => link.post({ k: "hi", t, e, p: at, live, c: config, ...more });

    const join = () => {
      if (!left || this.state === "closed") return;
      left = live = false;
      at ||= stored() || (lastEventId && { e: "", n: 0, id: lastEventId, at: 0 }) || undefined;
      this.lastEventId = at?.id || "";
      const line = mode === "own" ? alone() : shared(key);
      link = line(receive);
      hi({ fresh: 1, r: replay });
      if (mode === "own") own = hub(line, 0);
      else timer = setInterval(look, TICK + Math.random() * 50);
      lead();
    };
    const leave = () => {
      if (left) return;
      left = true;
      e = undefined;
      generation++;
      clearInterval(timer);
      save();
      link.post({ k: "bye", t });
      link.close();
      own?.();
      unlock?.();
      own = unlock = undefined;
    };
    const lead = (steal) => {
      if (mode === "worker") {
        try {
          new SharedWorker(worker, { type: "module", name: key }).onerror = () => {
            mode = "lock"; // forbidden by a policy
            left || lead();
          };
        } catch {
          mode = "lock"; // of another origin
        }
      }
      if (mode === "lock" && !globalThis.navigator?.locks) return void (leave(), mode = "own", join());
      if (mode === "lock") compete(steal);
    };
    // Whoever gets the lock is the hub, until it stops, leaves, or the lock is taken from it.
    const compete = (steal) => {
      const mine = ++generation, signal = new AbortController();
      unlock?.();
      unlock = () => signal.abort();
      navigator.locks.request(key, steal ? { steal } : { signal: signal.signal }, () => new Promise((release) => {
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
    // Nothing heard of the hub: ask, ask who else is there, replace it.
    const look = () => {
      missed++;
      if (missed === 2) link.post({ k: "ping" });
      if (missed === 3) (e = undefined, hi({ fresh: 1, r: replay }));
      if (missed === 30) mode = "lock"; // the worker does not start
      if (missed % 4 === 0 && (missed > 9 || document.visibilityState === "visible")) lead(true);
    };

    const receive = (m) => {
      if (left) return;
      if (m.k === "claim") {
        e = m.e;
        missed = 0;
        return hi();
      }
      if (m.k === "go" && !e) e = m.e;
      if (m.k === "at" && m.t === t && !(live && e)) e = m.e;
      if (!m.e || m.e !== e) return;
      missed = 0;
      if (m.k === "go") {
        if (live && !same(at, m.p)) lost("tabs");
        else if (!at || same(at, m.p)) live = true;
        else if (!live) return hi({ fresh: 1 });
      } else if (m.k === "at" && m.t === t) greeted(m);
      else if (m.k === "who") hi();
      else if (m.k === "ask" && m.t === t) answer(m);
      else if (m.k === "st") became(m);
      else if (m.k === "ev" && live) {
        if (m.n !== (at?.e === e ? at.n + 1 : 1)) lost("tabs");
        at = { e, n: m.n, id: m.id, at: Date.now() };
        if (mode === "lock") keep({ ...at, v: m.v });
        deliver(m.v, m.id);
      }
    };
    const keep = (batch) => {
      ring.push(batch);
      let events = 0, size = 0, from = ring.length;
      while (from && events < RING && size < RING_SIZE)
        for (const event of ring[--from].v) (events++, size += event[1].length);
      ring.splice(0, from);
    };
    // [spec] Set the attributes: data, lastEventId, origin.
    const origin = new URL(url).origin;
    const deliver = (events, id) => {
      for (const [type, data, own] of events) {
        if (left) return;
        this.lastEventId = own ?? this.lastEventId;
        this.#dispatch(type, data, origin);
      }
      this.lastEventId = id ?? this.lastEventId;
    };
    const lost = (reason) => this.#dispatch("stream-gap", JSON.stringify({ reason }), origin);
    const greeted = async (m) => {
      if (user === undefined && m.st.u && m.st.u !== who) {
        // Another user may have signed in since that stream was opened: ask who we are before we listen.
        const mine = who ?? await whoami();
        if (left) return;
        who = mine;
        if (who === m.st.u) return hi({ fresh: 1, r: replay });
        leave();
        if (who) key = name + who;
        else mode = "own";
        at = ring = undefined;
        ring = [];
        return join();
      }
      const late = at && !m.ok;
      at = { ...m.p, at: Date.now() };
      live = true;
      this.dispatchEvent(note("joined", { resumed: m.ok, events: m.v.length, lastEventId: at.id }));
      if (late) lost("joined");
      deliver(m.v, at.id);
      became(m.st);
    };
    const whoami = async () => {
      try {
        const bearer = config.token || await token?.();
        const auth = bearer && { Authorization: "Bearer " + bearer };
        const response = await fetch(url, { method: "HEAD", credentials, headers: { Accept: "text/event-stream", ...headers, ...auth } });
        return response.headers.get("Stream-User") || "";
      } catch {
        return "";
      }
    };
    const answer = async ({ i, f, a }) => {
      let said;
      try {
        said = { v: await functions[f](a) };
      } catch (error) {
        said = { x: String(error?.message || error) };
      }
      if (!left) link.post({ k: "said", t, i, ...said });
    };
    const became = ({ s, f, u, delay, offline }) => {
      if (left || s === this.state && !f) return;
      if (who && u && u !== who) f = failed("user", "another user has signed in", { final: true });
      else if (u) who = u;
      const closed = s === "closed" || f?.final;
      if (closed) return finish(f);
      this.#become(s, { failure: f, delay, offline });
    };
    const finish = (failure) => {
      const clean = !failure || /^end/.test(failure.reason);
      if (this.state === "closed") return;
      if (failure?.reason === "end") at = undefined;
      this.state = "closed";
      leave();
      for (const [object, type, listener] of heard) object.removeEventListener(type, listener);
      this.#become("closed", { failure });
      for (const observer of this.#observers) clean ? observer.complete?.() : observer.error?.(this.#error(failure));
      this.#observers.clear();
    };

    const stored = () => {
      try {
        return JSON.parse(globalThis[storage]?.getItem(key));
      } catch {} // no storage for this page
    };
    const save = () => {
      try {
        at?.id ? globalThis[storage].setItem(key, JSON.stringify(at)) : globalThis[storage].removeItem(key);
      } catch {} // none, or it is full
    };

    const heard = [];
    const hear = (object, type, listener) => (object.addEventListener(type, listener), heard.push([object, type, listener]));
    if (page) {
      const pause = () => {
        if (hidden !== "pause") return document.visibilityState === "hidden" && save();
        if (document.visibilityState === "visible") return join();
        leave();
        this.#become("waiting", { hidden: true });
      };
      hear(globalThis, "pagehide", leave);
      hear(globalThis, "pageshow", ({ persisted }) => persisted && join());
      hear(globalThis, "online", () => !left && link.post({ k: "online" }));
      hear(document, "visibilitychange", pause);
    }
    this.#close = finish;
    if (signal?.aborted) return finish();
    signal?.addEventListener("abort", () => finish(), { once: true });
    if (!/^https?:/.test(url)) queueMicrotask(() => finish(failed("network", `${url} is no http or https URL`, { final: true })));
    else if (!(hidden === "pause" && page && document.visibilityState === "hidden")) join();
    else this.state = "waiting";
  }

  /** Let go of the stream. Other tabs keep theirs. */
  close() {
    this.#close();
  }

  /** Observe every event of the stream; the result has `unsubscribe()`. */
  subscribe(observer, error, complete) {
    if (typeof observer === "function") observer = { next: observer, error, complete };
    if (this.state === "closed") observer.complete?.();
    else this.#observers.add(observer);
    return { unsubscribe: () => void this.#observers.delete(observer) };
  }

  [Symbol.asyncIterator]() {
    const queue = [];
    let wake, over, error, missed = 0;
    const done = (failure) => { over = true; error = failure; wake?.(); };
    const subscription = this.subscribe({
      next(event) {
        if (queue.push(event) > QUEUE) (queue.shift(), missed++);
        wake?.();
      },
      error: done,
      complete: done,
    });
    return {
      async next() {
        while (!queue.length && !over) await new Promise((resolve) => { wake = resolve; });
        if (missed) {
          const data = JSON.stringify({ reason: "overflow", missed });
          missed = 0;
          return { value: new StreamEvent("stream-gap", { data }), done: false };
        }
        if (queue.length) return { value: queue.shift(), done: false };
        if (error) throw error;
        return { value: undefined, done: true };
      },
      async return(value) {
        subscription.unsubscribe();
        done();
        queue.length = 0;
        return { value, done: true };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  #error(failure) {
    return Object.assign(new Error(failure.message), failure);
  }

  #become(state, { failure, ...more }) {
    this.state = state;
    if (failure && !/^(end|ended|expired)$/.test(failure.reason)) this.dispatchEvent(note("error", failure));
    this.dispatchEvent(note("state", { state, failure, ...more }));
    if (state === "open") this.dispatchEvent(new Event("open"));
  }

  #dispatch(type, data, origin) {
    const event = new StreamEvent(type === ":" ? "comment" : type, { data, origin, lastEventId: this.lastEventId });
    if (type === "stream-gap") this.dispatchEvent(note("gap", JSON.parse(data)));
    this.dispatchEvent(event);
    if (type === ":" || type === "stream-end") return;
    for (const observer of this.#observers) observer.next?.(event);
  }
}

// RxJS looks for one of these two, whichever it found when it was loaded.
for (const name of new Set([Symbol.observable ?? "@@observable", "@@observable"]))
  Stream.prototype[name] = function () {
    return this;
  };

// 53 bits that tell tokens apart (cyrb53).
function mark(text) {
  let a = 0xdeadbeef, b = 0x41c6ce57;
  for (const character of text || "") {
    a = Math.imul(a ^ character.codePointAt(), 2654435761);
    b = Math.imul(b ^ character.codePointAt(), 1597334677);
  }
  return text && (a >>> 0).toString(36) + (b >>> 0).toString(36);
}

/** Open a stream of server-sent events, or join it where another tab has it open. */
export const stream = (url, options = {}) => new Stream(url, options);

// ---- in the SharedWorker: the hub of the stream that its name tells ----------------------------------------------

if (globalThis.SharedWorkerGlobalScope && globalThis instanceof SharedWorkerGlobalScope && name.startsWith(PROTOCOL)) {
  let current;
  onconnect = () => { current ??= hub(shared(name), PATIENCE, () => { current = undefined; }); };
}
