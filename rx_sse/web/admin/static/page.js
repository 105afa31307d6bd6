// The admin page: what the server says once a second, put into its place.

import { bars, chart, draw } from "./charts.js";
import * as columns from "./columns.js";
import { connect } from "./connection.js";
import "./debugger.js";
import { bytes, count, counted, rate, span, time } from "./format.js";
import { set, show } from "./table.js";

const $ = (selector) => document.querySelector(selector);
const wanted = new URLSearchParams(location.search);
const search = $("#search"), sort = $("#sort"), rows = $("#rows"), filter = $("#route-filter");
let close = null, news = 0, latest = null;

// ---- what is shown ----------------------------------------------------------------------------------------------

const TILES = [
  { name: "open", title: "Open streams", now: ({ open }) => count(open), more: ({ limit }) => limit && `of ${count(limit)} allowed`, show: count, alarm: ({ open, limit }) => limit && open > 0.9 * limit && "wait" },
  { name: "opened", title: "Opened", now: (_, last) => rate(last), more: ({ stats }) => `${count(stats.opened)} in all`, show: rate },
  { name: "ended", title: "Ended", now: (_, last) => rate(last), more: ({ stats }) => `${count(Object.values(stats.ended).reduce((sum, number) => sum + number, 0))} in all`, show: rate },
  { name: "sent", title: "Sent", now: (_, last) => `${bytes(last)}/s`, show: (value) => `${bytes(value)}/s` },
  { name: "published", title: "Published", now: (_, last) => rate(last), more: ({ bus }) => `${count(bus.published)} in all`, show: rate },
  { name: "delivered", title: "Delivered", now: (_, last) => rate(last), more: ({ bus }) => `${count(bus.delivered)} in all`, show: rate },
  { name: "queued", title: "Waiting", now: ({ stats }) => bytes(stats.queued), show: bytes },
  { name: "stalled", title: "Stalled", now: ({ stats }) => count(stats.stalled), show: count, alarm: ({ stats }) => stats.stalled && "bad" },
  { name: "dropped", title: "Dropped", now: (_, last) => rate(last), more: ({ stats }) => `${counted(stats.dropped, "event")} in all`, show: rate, alarm: (_, last) => last && "bad" },
  { name: "shed", title: "Refused", now: (_, last) => rate(last), more: ({ stats }) => `${counted(stats.shed, "request")} in all`, show: rate, alarm: (_, last) => last && "wait" },
  { name: "lag", title: "Delivery lag", now: (_, last) => (last ? span(last) : "–"), more: () => "at most, in 5 s", show: span, alarm: (_, last) => last > 0.5 && "bad" },
  { name: "stall", title: "Loop stall", now: (_, last) => (last ? span(last) : "–"), more: () => "at most, in 5 s", show: span, alarm: (_, last) => last > 0.1 && "bad" },
];

function tiles(found) {
  const series = rates?.series ?? {};
  for (const tile of TILES) {
    const values = series[tile.name] ?? [], last = values.at(-1) ?? 0;
    if (!found.bus && ["published", "delivered", "lag"].includes(tile.name)) continue;
    const box = (tile.box ??= tileOf(tile.title));
    set(box.querySelector("b"), "textContent", tile.now(found, last));
    set(box.querySelector("small"), "textContent", tile.more?.(found) ?? "");
    set(box, "className", `tile ${tile.alarm?.(found, last) || ""}`);
    if (tile.drawn !== rates) draw(box.querySelector("svg"), values, rates?.points ?? 60, tile.title, tile.show);
    tile.drawn = rates;
  }
}

function tileOf(title) {
  const box = document.createElement("div"), name = document.createElement("span");
  name.textContent = title;
  box.append(name, document.createElement("b"), document.createElement("small"), chart());
  $("#tiles").append(box);
  return box;
}

const upto = (rows, what, first) => rows.map(({ upto: bound, count: number }, index) =>
  [bound === null ? `over ${what(rows[index - 1].upto)}` : bound === 0 ? first : `up to ${what(bound)}`, number, index]);

function distributions({ age, queue, behind }) {
  bars($("#age"), upto(age, span).map(([label, number]) => [label, number, ""]), count);
  bars($("#queue"), upto(queue, bytes, "nothing").map(([label, number, at]) => [label, number, ["", "", "", "wait", "bad", "bad"][at]]), count);
  bars($("#behind"), upto(behind, span, "up to date").map(([label, number, at]) => [label, number, ["", "wait", "wait", "bad", "bad"][at]]), count);
}

const left = (rows, all, noun, hint) => (rows < all ? `${count(rows)} of ${counted(all, noun)}; ${hint}` : counted(all, noun));

function streams(found) {
  const { find, route } = Object.fromEntries(wanted);
  const among = found.matching < found.open ? ` of ${count(found.open)} open` : "";
  $("#streams-note").textContent =
    left(found.streams.length, found.matching, "stream", "search, choose a route, or another order, to see the others") + among;
  show($("#streams"), streamColumns, found.streams, {
    key: (row) => row.id,
    level: columns.level,
    empty: find || route ? "No open stream fits the search." : "No stream is open.",
  });
}

function ended({ ended: rows, stats }) {
  const reasons = Object.entries(stats.ended).sort((a, b) => b[1] - a[1]), all = reasons.reduce((sum, [, number]) => sum + number, 0);
  const which = wanted.get("find") ? `${count(rows.length)} that fit the search are listed` : `the last ${count(rows.length)} are listed`;
  $("#ended-note").textContent = all ? `${count(all)} since the start${rows.length < all ? `; ${which}` : ""}` : "";
  const box = $("#reasons");
  while (box.children.length > reasons.length) box.lastChild.remove();
  reasons.forEach(([reason, number], index) => {
    const item = box.children[index] ?? box.appendChild(document.createElement("span"));
    set(item, "className", `badge ${columns.worry(reason)}`);
    set(item, "textContent", `${reason} ${count(number)}`);
  });
  const keyed = rows.map((row, index) => ({ ...row, index }));
  const empty = wanted.get("find") ? "No stream that has ended lately fits the search." : "No stream has ended.";
  show($("#ended"), columns.ended, keyed, { key: (row) => row.index, empty });
}

function topics(found) {
  $("#topics-part").hidden = !found;
  if (!found) return;
  const among = found.matching < found.all ? ` of ${count(found.all)} in this process` : " in this process";
  $("#topics-note").textContent = left(found.rows.length, found.matching, "topic", "search to see the others") + among;
  const empty = wanted.get("find") ? "No topic fits the search." : "No topic is in use in this process.";
  show($("#topics"), columns.topics, found.rows, { key: (row) => row.topic, empty });
  const names = $("#names"), known = found.rows.map(({ topic }) => topic);
  if (names.dataset.known !== known.join("\n")) {
    names.dataset.known = known.join("\n");
    names.replaceChildren(...known.map((name) => new Option(name, name)));
  }
}

function runs(found) {
  $("#runs-part").hidden = !found;
  if (!found) return;
  $("#runs-note").textContent = found.failed ?? `${left(found.rows.length, found.all, "run", "the newest, those that are running first")}, ${count(found.running)} running, in all processes`;
  show($("#runs"), columns.runs, found.rows, { key: (row) => row.topic, empty: "No run is known: bus.run(…) starts one." });
}

function processes({ bus, shared, known, rows, left_out: more }) {
  $("#processes-note").textContent = !shared
    ? bus === "none" ? "this application has no bus, so it knows of no other process" : `a ${bus} is in this process alone`
    : known ? `${`${count(rows.length + more)} ${rows.length + more === 1 ? "process" : "processes"}`} of this ${bus} with an admin page${more ? `, ${count(more)} not listed` : ""}; each shows its own streams and topics` : `asking the ${bus} …`;
  show($("#processes"), columns.processes, rows, { key: (row) => `${row.host} ${row.pid} ${row.started}`, level: () => "", empty: "" });
  const own = rows.find((row) => row.here);
  if (own) $("#where").textContent = `${own.host} · process ${own.pid} · rx_sse ${own.version} · up ${span(Date.now() / 1000 - own.started)}`;
}

function figures({ stats, bus }) {
  if (!$("#processes-part details").open) return;
  const list = $("#figures"), said = { ...stats, ...Object.fromEntries(Object.entries(bus ?? {}).map(([name, value]) => [`bus ${name}`, value])) };
  const flat = Object.entries(said).filter(([, value]) => typeof value !== "object");
  flat.forEach(([name, value], index) => {
    const pair = list.children[index] ?? list.appendChild(document.createElement("div"));
    if (!pair.firstChild) pair.append(document.createElement("dt"), document.createElement("dd"));
    set(pair.firstChild, "textContent", name.replaceAll("_", " "));
    set(pair.lastChild, "textContent", typeof value === "number" ? count(value) : value ? "yes" : "no");
  });
}

let rates = null;
const streamColumns = columns.streams((text) => { search.find.value = text; change("find", text); });
const routes = columns.routes((route) => change("route", wanted.get("route") === route ? "" : route), () => wanted.get("route"));

function render(found) {
  latest = found;
  news = Date.now();
  document.title = found.stats.stalled ? `${count(found.stats.stalled)} stalled · rx_sse admin` : "rx_sse admin";
  if (found.rates) {
    rates = found.rates;
    Object.assign(columns.rates, rates);
  }
  tiles(found);
  $("#routes-note").textContent = left(found.routes.length, found.routes_all, "route", "those with the most streams") + "; charts of the last five minutes";
  show($("#routes"), routes, found.routes, { key: (row) => row.route, level: columns.level, empty: "No stream has been opened." });
  distributions(found.distributions);
  streams(found);
  ended(found);
  topics(found.topics);
  runs(found.runs);
  processes(found.processes);
  figures(found);
}

// ---- the connection ---------------------------------------------------------------------------------------------

function state(text) {
  $("#state").textContent = text;
  document.body.classList.toggle("old", text !== "");
  const stale = $("#stale");
  stale.hidden = text === "" || news === 0;
  if (!stale.hidden) stale.textContent = `No data from the server since ${time(news / 1000)}: what you see is old (${text}).`;
}

function open() {
  close?.();
  const query = wanted.toString();
  close = connect(`streams${query && `?${query}`}`, { state, message: render });
}

// ---- search, filter, order, keys --------------------------------------------------------------------------------

function change(name, value) {
  if ((wanted.get(name) ?? "") === value) return;
  if (value) wanted.set(name, value);
  else wanted.delete(name);
  const query = wanted.toString();
  history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash);
  controls();
  open();
}

function controls() {
  const route = wanted.get("route");
  filter.hidden = !route;
  filter.textContent = route ? `only ${route} ✕` : "";
  filter.setAttribute("aria-label", route ? `Show the streams of all routes, not only of ${route}` : "");
  if (document.activeElement !== search.find) search.find.value = wanted.get("find") ?? "";
  sort.value = wanted.get("sort") || "queue";
  rows.value = wanted.get("rows") || "25";
}

let typing = 0;
search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => change("find", search.find.value.trim()), 300); });
search.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); change("find", search.find.value.trim()); });
sort.addEventListener("change", () => change("sort", sort.value === "queue" ? "" : sort.value));
rows.addEventListener("change", () => change("rows", rows.value === "25" ? "" : rows.value));
filter.addEventListener("click", () => change("route", ""));
$("#processes-part details").addEventListener("toggle", () => latest && figures(latest));
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select, dialog") && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.find.focus();
    search.find.select();
  }
});
addEventListener("pagehide", () => close?.());
addEventListener("pageshow", (event) => { if (event.persisted) open(); });

controls();
open();
