// The clients in JavaScript, each behind the same two calls: `start(order, report)`, which returns `stop()`.
// An order is that of service.py, times in milliseconds. Loaded by a page and by Node alike; script_clients.py says
// what each offers.

function rx_sse(module, options) {
  return (order, report) => {
    const source = module.stream(order.url, {
      method: order.method, headers: order.headers, body: order.body ?? undefined, lastEventId: order.lastEventId,
      retry: order.initialDelay ?? 3000, timeout: order.readTimeout ?? undefined,
      comments: true, reconnect: "standard", position: "none", ...options,
    });
    source.subscribe((event) => report.event(event.type, event.data, event.lastEventId));
    source.addEventListener("comment", (event) => report.comment(event.data));
    source.addEventListener("error", (event) => report.error(event.detail.message));
    return () => source.close();
  };
}

function listening(source, order, report) {
  for (const type of order.types) source.addEventListener(type, (event) => report.event(event.type, event.data, event.lastEventId));
  source.onerror = () => source.readyState === 2 && report.error("closed");
  return () => source.close();
}

export const clients = {
  "rx_sse.js": {
    module: "/rx_sse/rx_sse.js",
    start: (module) => rx_sse(module, { share: false }),
  },
  "rx_sse.min.js, shared": {
    module: "/rx_sse/rx_sse.min.js",
    start: (module) => rx_sse(module, { share: true }),
  },
  EventSource: {
    start: () => (order, report) => listening(new EventSource(order.url), order, report),
  },
  eventsource: {
    module: "/node_modules/eventsource/dist/index.js",
    start: ({ EventSource }) => (order, report) => listening(new EventSource(order.url, {
      fetch: (url, init) => fetch(url, {
        ...init, method: order.method, body: order.body ?? undefined,
        headers: { ...(order.lastEventId && { "Last-Event-ID": order.lastEventId }), ...init.headers, ...order.headers },
      }),
    }), order, report),
  },
  "fetch-event-source": {
    module: "/node_modules/@microsoft/fetch-event-source/lib/esm/index.js",
    start: ({ fetchEventSource }) => (order, report) => {
      const stopped = new AbortController();
      fetchEventSource(order.url, {
        method: order.method, body: order.body ?? undefined, signal: stopped.signal, openWhenHidden: true,
        headers: { ...order.headers, ...(order.lastEventId && { "Last-Event-ID": order.lastEventId }) },
        onmessage: ({ event, data, id }) => report.event(event || "message", data, id),
        onclose() {
          throw Object.assign(new Error("ended"), { ended: true }); // as its README has it for whoever wants to reconnect
        },
        onerror(error) {
          if (!error.ended) report.error(String(error));
          if (!error.ended && !/network|fetch/i.test(error)) throw error; // a refused answer
          return order.initialDelay ?? undefined;
        },
      }).catch(() => {});
      return () => stopped.abort();
    },
  },
};

/** What takes commands, and tells through `send` what comes of them. */
export function commanded(load, send) {
  const running = new Map();
  return async ({ id, client, order }) => {
    if (!order) {
      running.get(id)?.();
      running.delete(id);
      return send({ id, kind: "stopped" });
    }
    const { module, start } = clients[client];
    const report = {
      event: (type, data, id_) => send({ id, kind: "event", event: { type, data, id: id_ } }),
      comment: (comment) => send({ id, kind: "comment", comment }),
      error: (error) => send({ id, kind: "error", error }),
    };
    try {
      running.set(id, start(module && await load(module))(order, report));
    } catch (error) {
      report.error(String(error?.stack ?? error));
    }
  };
}
