// One EventSource for what everybody sees, one for a job, one for each of two people: four of the six connections that a browser
// opens to an origin over HTTP/1.1. A stream that says `stream-end` is closed here; any other break mends itself.

const $ = (selector, root = document) => root.querySelector(selector);
const post = (path, body) => fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body ?? {})});

function line(list, text, {note = false, aside = ""} = {}) {
  const item = document.createElement("li");
  item.textContent = text;
  if (aside) item.append(Object.assign(document.createElement("i"), {textContent: aside}));
  if (note) item.className = "note";
  list.prepend(item);
  while (list.children.length > 100) list.lastChild.remove();
}

// --- the state of a stream, and how many events a second come in -----------------------------------------------

function watch(source, badge) {
  let count = 0;
  const show = (state, text) => { badge.dataset.state = state; $("b", badge).textContent = text; };
  show("connecting", "connecting");
  source.addEventListener("open", () => show("open", "open"));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) show("closed", "closed");
    else show("connecting", "reconnecting …");
  });
  source.counted = () => { count += 1; };
  source.timer = setInterval(() => { $("span", badge).textContent = `${count} events/s`; count = 0; }, 1000);
  return source;
}

function listen(source, handlers) {
  for (const [type, handle] of Object.entries(handlers))
    source.addEventListener(type, event => { source.counted?.(); handle(event.data ? JSON.parse(event.data) : null, event); });
}

// --- plots -----------------------------------------------------------------------------------------------------

const plots = Object.fromEntries([...document.querySelectorAll("canvas")].map(canvas => [canvas.dataset.plot, {canvas, values: []}]));

function draw({canvas, values}, ceiling) {
  const scale = devicePixelRatio, width = canvas.clientWidth * scale, height = canvas.clientHeight * scale;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const context = canvas.getContext("2d"), most = ceiling ?? Math.max(1, ...values);
  context.clearRect(0, 0, width, height);
  context.strokeStyle = getComputedStyle($("code")).color;
  context.lineWidth = 1.5 * scale;
  context.lineJoin = "round";
  context.beginPath();
  values.forEach((value, index) => {
    const x = width * index / 119, y = height - 2 * scale - (height - 4 * scale) * value / most;
    index ? context.lineTo(x, y) : context.moveTo(x, y);
  });
  context.stroke();
  context.lineTo(width * (values.length - 1) / 119, height);
  context.lineTo(0, height);
  context.globalAlpha = .12;
  context.fillStyle = context.strokeStyle;
  context.fill();
  context.globalAlpha = 1;
}

const bytes = n => n < 1e3 ? `${n} B/s` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB/s` : `${(n / 1e6).toFixed(1)} MB/s`;
const units = {cpu: v => `${v.toFixed(0)} %`, memory: v => `${v.toFixed(0)} %`, network: bytes};

// --- what everybody sees ---------------------------------------------------------------------------------------

const viewer = crypto.randomUUID(), slider = $("#throttle");
let live;

function connect() {
  live = watch(new EventSource(`/live?viewer=${viewer}&seconds=${slider.value}`), $("#live-state"));
  listen(live, {
    clock: ({ticks}) => { $("#clock output").textContent = ticks; },
    machine: reading => {
      for (const [name, value] of Object.entries(reading)) {
        const plot = plots[name];
        plot.values.push(value);
        if (plot.values.length > 120) plot.values.shift();
        $(`[data-value=${name}]`).textContent = units[name](value);
        draw(plot, name === "network" ? undefined : 100);
      }
    },
    said: ({text}) => line($("#said"), text, {aside: new Date().toLocaleTimeString()}),
    "stream-gap": ({missed}) => line($("#said"), `this page was too slow: ${missed ?? "some"} events dropped`, {note: true}),
  });
}

function show() {
  const seconds = Number(slider.value);  // none: as they come, ten a second
  $("#pace").textContent = seconds ? `.pipe(throttle_latest(${seconds.toFixed(1)}))` : "";
  $("#every").textContent = `${Math.max(0.1, seconds).toFixed(1)} s`;
}

slider.addEventListener("input", () => { show(); post("/live/throttle", {viewer, seconds: slider.value}); });
$("#everyone form").addEventListener("submit", event => {
  event.preventDefault();
  const field = event.target.text;
  if (field.value) post("/say", {text: field.value}).then(() => { field.value = ""; });
});

// --- a job that ends -------------------------------------------------------------------------------------------

let job;
$("#job form").addEventListener("submit", event => {
  event.preventDefault();
  job?.close();
  const bar = $("#job progress"), list = $("#files"), said = $("#job-line");
  let total = {files: 0, bytes: 0}, begun = performance.now();
  list.replaceChildren();
  bar.value = 0;
  said.textContent = "looking …";
  job = new EventSource(`/job?folder=${encodeURIComponent(event.target.folder.value)}`);
  listen(job, {
    total: found => { total = found; },
    progress: ({file, sha256, number, bytes}) => {
      bar.value = total.bytes ? bytes / total.bytes : 1;
      said.textContent = `${number} of ${total.files} files`;
      line(list, file, {aside: sha256.slice(0, 12)});
    },
    "stream-end": () => {
      job.close();  // otherwise the browser asks once more, and is told 204
      bar.value = 1;
      said.textContent = `${total.files} files in ${((performance.now() - begun) / 1000).toFixed(1)} s: stream-end`;
    },
    "stream-error": problem => { said.textContent = problem.detail ?? problem.title; job.close(); },
  });
  job.addEventListener("error", () => { if (job.readyState === EventSource.CLOSED && !bar.value) said.textContent = "no such folder"; });
});

// --- two people ------------------------------------------------------------------------------------------------

const called = name => name[0].toUpperCase() + name.slice(1);

function person(name, other) {
  const card = $("#people template").content.firstElementChild.cloneNode(true);
  const list = $("ol", card), base = `/people/${name}`;
  let source, renewal, cursor = "";
  $("h3", card).textContent = called(name);
  $("input", card).placeholder = `to ${called(other)}`;
  $("#people .pair").append(card);

  async function signIn(seconds) {
    clearTimeout(renewal);
    try {
      const answer = await fetch(`${base}/sign-in?seconds=${seconds}`, {method: "POST"});
      if (!answer.ok) throw new Error(answer.statusText);
    } catch {
      renewal = setTimeout(() => signIn(seconds), 2000);  // the server is not there: ask again
      return;
    }
    // A fresh token before the old one ends; the stream ends with the token it was opened with, and resumes with the new one.
    renewal = setTimeout(() => signIn(60), seconds * 600);
    if (!source || source.readyState === EventSource.CLOSED) open();
  }

  function open() {
    if (source) clearInterval(source.timer);
    // A new EventSource knows nothing of the one before it: the query says where that was.
    source = watch(new EventSource(`${base}/events?lastEventId=${cursor}`), $(".state", card));
    const keep = event => { cursor = event.lastEventId || cursor; };
    for (const type of ["message", "stream-cursor", "stream-gap"]) source.addEventListener(type, keep);
    listen(source, {
      message: ({from, to, text}, event) => line(list, from === name ? `→ ${called(to)}: ${text}` : `${called(from)}: ${text}`, {aside: event.lastEventId.split(".")[1] ? `#${event.lastEventId.split(".")[1]}` : ""}),
      "stream-cursor": ({resumed}) => line(list, resumed ? "resumed where it broke" : "a new stream", {note: true}),
      "stream-gap": ({reason, missed}) => line(list, `a gap: ${missed ?? "some"} messages are missing (${reason})`, {note: true}),
      "stream-expired": ({reason}) => { line(list, reason, {note: true}); signIn(60); },
      "stream-end": () => source.close(),
    });
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) signIn(60); });
  }

  $("form", card).addEventListener("submit", async event => {
    event.preventDefault();
    const field = event.target.text;
    if (!field.value) return;
    await post(`${base}/send`, {to: other, text: field.value});
    field.value = "";
  });
  $("[data-do=cut]", card).addEventListener("click", () => post(`${base}/cut`));
  $("[data-do=shorten]", card).addEventListener("click", async () => {
    clearTimeout(renewal);
    await fetch(`${base}/sign-in?seconds=5`, {method: "POST"});
    source.close();
    open();
    line(list, "a token of 5 s", {note: true});
  });
  signIn(60);
  return () => source?.close();
}

const closers = [];
function begin() {
  connect();
  closers.push(() => { live.close(); clearInterval(live.timer); });
}
begin();
show();
closers.push(person("ada", "ben"), person("ben", "ada"));
// A page that is kept for the back button would keep its streams for a minute: let go of them, and come back whole.
addEventListener("pagehide", () => { job?.close(); closers.forEach(close => close()); });
addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
