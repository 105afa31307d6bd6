// A stream of the page. Tabs share one connection where the application serves rx_sse.js; without it each has its own.

const { client } = document.documentElement.dataset;

/** Where the page stands, whatever a proxy cut off. */
export const base = new URL("./", location.href).pathname;

const loaded = client ? import(new URL(client, location.origin + base)).catch(() => null) : Promise.resolve(null);

/**
 * Open a stream.
 *
 * `on` has a function for each event, given its data, and `state(text, failure)`: "" while it is open. `share` is
 * whether all tabs have it together. Returns a function that closes it.
 */
export function connect(path, on, share = true) {
  let source = null, closed = false;
  loaded.then((module) => {
    if (closed) return;
    const url = base + path;
    source = module ? module.stream(url, { position: "none", replay: 8, share }) : new EventSource(url);
    const names = { open: "", closed: "closed" };
    if (module) {
      source.addEventListener("state", ({ detail }) => on.state(names[detail?.state] ?? "reconnecting …", detail));
    } else {
      source.addEventListener("open", () => on.state(""));
      source.addEventListener("error", () => on.state(source.readyState === 2 ? "closed" : "reconnecting …"));
    }
    for (const [name, take] of Object.entries(on))
      if (name !== "state") source.addEventListener(name, (event) => take(event.data === undefined ? null : JSON.parse(event.data)));
  });
  return () => { closed = true; source?.close(); };
}
