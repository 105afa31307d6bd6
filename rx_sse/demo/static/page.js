// The cards of the page. Each has event names of its own, on the one stream that all tabs of this browser share; a job,
// which begins and ends, has its own.

import { Lanes } from "/lanes.js";
import { Plot } from "/plot.js";
import { enter, history, open, post } from "/session.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const number = new Intl.NumberFormat("en").format;

function line(list, text, { note = false, aside = "" } = {}) {
  const item = document.createElement("li");
  item.append(Object.assign(document.createElement("bdi"), { textContent: text }));  // its direction ends with it
  if (aside) item.append(Object.assign(document.createElement("i"), { textContent: aside }));
  if (note) item.className = "note";
  list.prepend(item);
  while (list.children.length > 100) list.lastChild.remove();
}

function on_submit(form, send) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [field] = form.elements, button = $("button", form);
    button.disabled = true;  // once
    if (await send(field.value)) field.value = "";
    button.disabled = false;
  });
}

const handlers = {};  // by the name of the event: transient ones, and a notice of the stream itself
const kept = {};  // those of topics: what the history has, and the stream goes on with

// --- the pipeline, and the slow reader -------------------------------------------------------------------------------

const marbles = new Lanes($("#pipeline canvas"), ["source", "result"], 9);
const numbers = new Lanes($("#slow canvas"), ["published", "read"], 6);
const color = (n) => `hsl(${n * 40 + 200} 65% ${matchMedia("(prefers-color-scheme: dark)").matches ? 68 : 42}%)`;
const OPERATORS = {
  throttle_latest: "rx_sse.throttle_latest(1.0)",
  debounce: "ops.debounce(0.5)",
  filter: "ops.filter(lambda n: n % 2 == 0)",
  scan: "ops.scan(lambda total, n: (total + n) % 100)",
  buffer_with_count: "ops.buffer_with_count(3)",
  distinct_until_changed: "ops.distinct_until_changed(lambda n: n // 3)",
};
const SETTINGS = {
  operator: { choices: Object.keys(OPERATORS), code: (name) => OPERATORS[name] },
  policy: { choices: ["disconnect", "drop_oldest", "drop_newest", "latest"], code: (name) => name },
};

for (const [name, { choices }] of Object.entries(SETTINGS))
  $(`[data-setting=${name}]`).append(...choices.map((value) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: value });
    button.addEventListener("click", () => post("/viewers/{viewer}/settings", { name, value }));
    return button;
  }));
handlers.settings = (chosen) => {
  for (const [name, { code }] of Object.entries(SETTINGS)) {
    const choices = $(`[data-setting=${name}]`);
    for (const button of choices.children) button.ariaPressed = String(button.textContent === chosen[name]);
    $("mark", choices.parentElement).textContent = code(chosen[name]);
  }
};
handlers.source = (n) => marbles.add(0, n, { color: color(n) });
handlers.result = (n) => marbles.add(1, Array.isArray(n) ? n.join(" ") : n, { color: color(Array.isArray(n) ? n[0] : n) });
$("[data-do=marble]").addEventListener("click", () => post("/viewers/{viewer}/marble", { number: Math.floor(Math.random() * 10) }));

let missed = 0;
handlers.slow = ({ pushed, read, gap }) => {
  const count = (name, value) => { $(`[data-count=${name}]`).textContent = number(value); };
  if (pushed !== undefined) numbers.add(0, pushed % 100);
  if (read !== undefined) numbers.add(1, read % 100);
  if (gap) numbers.add(1, `−${gap.missed ?? "?"}`, { gap: true });
  if (gap) missed += gap.missed ?? 0;
  count("missed", missed);
  if (pushed !== undefined) count("pushed", pushed);
  if (read !== undefined) count("read", read);
};

// --- the machine, the clock, the people who are here -----------------------------------------------------------------

const plots = Object.fromEntries($$("[data-plot]").map((canvas) => {
  const { plot } = canvas.dataset;
  return [plot, new Plot(canvas, plot === "network" ? undefined : 100)];
}));
const bytes = (n) => n < 1e3 ? `${n} B/s` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB/s` : `${(n / 1e6).toFixed(1)} MB/s`;
const percent = (n) => `${n.toFixed(0)} %`;
const units = { cpu: percent, memory: percent, network: bytes };
handlers.machine = (reading) => {
  for (const [name, value] of Object.entries(reading)) {
    plots[name].push(value);
    $(`[data-value=${name}]`).textContent = units[name](value);
  }
};
handlers.clock = ({ ticks, people, process }) => {
  serving = process;
  $("#page output").textContent = ticks;
  $("#process").textContent = `, from process ${process}`;
  $("#people").textContent = people;
  $(".here span").textContent = people === 1 ? "person here" : "people here";
};

// --- what is kept: messages, and a job -------------------------------------------------------------------------------

const time = (seconds) => new Date(seconds * 1000).toLocaleTimeString();
kept.said = ({ text }, at) => line($("#said"), text, { aside: time(at) });
on_submit($("#everyone form"), (text) => text && post("/say", { text }));

// A job is a run: it has a stream of its own, which begins at its beginning and ends with it.
const job = { bar: $("#job progress"), list: $("#files"), said: $("#job-line"), stop: $("[data-do=stop]") };
on_submit($("#job form"), (folder) => post("/viewers/{viewer}/job", { folder }));
job.stop.addEventListener("click", () => post("/viewers/{viewer}/job/stop"));
kept.job = ({ topic }) => {
  job.topic = topic;
  queueMicrotask(follow);  // of a history, the newest
};

function follow() {
  if (job.topic === job.followed) return;
  job.followed = job.topic;
  job.source?.close();
  const source = job.source = open(`/viewers/{viewer}/job/${job.topic}`, {
    position: "none", replay: 100, reconnect: ({ status }) => status !== 404,
  });
  const told = (type, handle) => source.addEventListener(type, (event) => {
    count++;
    handle(event.json());
  });
  const over = (reason) => {
    job.stop.disabled = true;
    if (reason !== "completed") job.said.textContent += `: ${reason}`;
  };
  const show = (done, text) => {
    job.bar.value = done;
    job.said.textContent = text;
  };
  job.list.replaceChildren();
  job.stop.disabled = false;
  show(0, "started");
  told("total", ({ files, process }) => show(0, `0 of ${files} files, process ${process}`));
  told("progress", ({ file, sha256, number: n, files, bytes: done, of, process }) => {
    show(of ? done / of : 1, `${n} of ${files} files, process ${process}`);
    line(job.list, file, { aside: sha256.slice(0, 12) });
  });
  told("done", ({ files, seconds }) => show(1, `${files} files in ${seconds.toPrecision(2)} s: done`));
  told("stream-end", ({ reason }) => over(reason));
  told("stream-error", ({ title, detail }) => {
    source.close();  // it would receive the same again
    over(detail ?? title);
  });
  source.addEventListener("error", ({ detail: { status } }) => { if (status === 404) over("no longer kept"); });
}

const called = (name) => String(name).replace(/^./, (first) => first.toUpperCase());
const cards = [];
function person(name, other) {
  const card = $("template").content.firstElementChild.cloneNode(true), list = $("ol", card);
  $("h3", card).textContent = called(name);
  $("input", card).placeholder = `to ${called(other)}`;
  $("#break .pair").append(card);
  cards.push(list);
  kept[name] = ({ from = "unknown", to = "", text }) =>
    line(list, from === name ? `→ ${called(to)}: ${text}` : `${called(from)}: ${text}`);
  on_submit($("form", card), (text) => text && post("/viewers/{viewer}/send", { from: name, to: other, text }));
}
person("ada", "ben");
person("ben", "ada");

const note = (text) => cards.forEach((list) => line(list, text, { note: true }));
handlers["stream-cursor"] = ({ resumed }) => note(resumed ? "resumed where it broke" : "a new stream");
handlers["stream-expired"] = ({ reason }) => note(`the token ended: ${reason}`);
$("[data-do=cut]").addEventListener("click", () => post("/viewers/{viewer}/cut"));
$("[data-do=shorten]").addEventListener("click", async () => {
  // The stream reconnects with the new token, and again when that has expired.
  if (await post("/viewers/{viewer}/token", { seconds: 5 }) && await post("/viewers/{viewer}/cut")) note("a token of 5 s");
});

let serving;  // the process that has this connection: a post may reach another one
$("[data-do=kill]").addEventListener("click", () => post("/viewers/{viewer}/kill", { process: serving }));

// --- the stream ------------------------------------------------------------------------------------------------------

let count = 0, shown, waiting = [], since = 0;

// What was published by hand may be any text, and has no key: it gets its time as one, of which there are no two. Whole
// microseconds: in seconds, a millionth is below what a number of this size can be added to exactly.
let latest = 0;
const now = () => latest = Math.max(latest + 1, Date.now() * 1000);
function entry(type, text, microseconds) {
  let data;
  try {
    data = JSON.parse(text);
  } catch {}
  if (typeof data !== "object" || !data) data = { from: "unknown", text: String(data ?? text) };
  return { type, data, time: microseconds / 1e6, key: data.key ?? `${microseconds}000`.padStart(20, "0") };
}

function keep({ type, data, time, key }) {
  if (shown.has(type + key)) return;
  shown.add(type + key);
  kept[type]?.(data, time);
}

// A page that is new, or that has missed something, begins with what the topics have kept; the stream goes on meanwhile.
// Keys sort by time: what the stream brings may be older than the end of the history.
async function begin() {
  shown = undefined;
  let found;
  try {
    found = await history();
  } catch {
    setTimeout(begin, 2000);
    return;
  }
  shown = new Set();
  for (const list of [$("#said"), ...cards]) list.replaceChildren();
  handlers.settings(found.settings);
  $("[data-do=kill]").hidden = !found.supervised;
  const past = found.entries.map(({ type, data, time: at }, index) => entry(type, data, Math.round(at * 1e6) + index));
  const entries = [...past, ...waiting];
  waiting = [];
  entries.sort((one, other) => one.key < other.key ? -1 : 1).forEach(keep);
}

function tell({ state, failure, offline }) {
  const open = state === "open";
  if (failure?.reason === "user") location.reload();  // its cookies were deleted: it is another viewer
  $("#live-state").dataset.state = state;
  $("#live-state b").textContent = state === "waiting" ? offline ? "offline" : "reconnecting …" : state;
  since = open ? 0 : since || Date.now();
  for (const lanes of [marbles, numbers]) open ? lanes.go() : lanes.stop();
}

setInterval(() => {
  const gone = since ? Math.round((Date.now() - since) / 1000) : 0;
  $("#live-state span").textContent = since ? "" : `${count} events/s`;
  count = 0;
  document.body.classList.toggle("old", gone > 1);
  $("#stale").hidden = gone <= 1;
  $("#stale").textContent = `No connection for ${gone} s: what you see is old. It goes on by itself.`;
}, 1000);

const me = await enter();
for (const [type, handle] of Object.entries(handlers))
  me.addEventListener(type, (event) => { count++; handle(event.json()); });
for (const type of Object.keys(kept))
  me.addEventListener(type, (event) => {
    count++;
    const found = entry(type, event.data, now());
    shown ? keep(found) : waiting.push(found);
  });
me.addEventListener("gap", ({ detail: { reason, missed } }) => {
  begin().then(() => note(`a gap: ${missed === 1 ? "1 event was" : `${missed ?? "some"} events were`} missing (${reason}); read again`));
});
me.addEventListener("state", ({ detail }) => tell(detail));
me.addEventListener("open", begin, { once: true });
tell(me);
