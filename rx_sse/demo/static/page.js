// One EventSource for the whole page, since a browser opens no more than six HTTP/1.1 connections to an origin, over all of its tabs.
// Each card has event names of its own. A page that is not shown lets go of its connection; shown again, it resumes where it was.

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

// --- the stream: signed in by a short token, resumed from the last id ----------------------------------------------

const handlers = {};  // by the name of the event; the cards below add theirs
const slider = $("#throttle"), badge = $("#live-state");
let source, viewer, renewal, cursor = "", count = 0, left = true;

function tell(state, text) { badge.dataset.state = state; $("b", badge).textContent = text; }
setInterval(() => { $("span", badge).textContent = left ? "" : `${count} events/s`; count = 0; }, 1000);

async function signIn(seconds) {
  clearTimeout(renewal);
  try {
    const answer = await fetch(viewer ? `/viewers/${viewer}/sign-in?seconds=${seconds}` : "/viewers", {method: "POST"});
    if (!answer.ok) throw new Error(answer.statusText);
    viewer ??= (await answer.json()).viewer;
  } catch {
    renewal = setTimeout(() => signIn(seconds), 2000);  // the server is not there: ask again
    return;
  }
  if (left) return;
  // A fresh token before the old one ends; the stream ends with the token it was opened with, and resumes with the new one.
  renewal = setTimeout(() => signIn(60), seconds * 600);
  if (!source || source.readyState === EventSource.CLOSED) open();
}

function open() {
  // A new EventSource knows nothing of the one before it: the query says where that was.
  const opened = source = new EventSource(`/viewers/${viewer}/events?seconds=${slider.value}&lastEventId=${cursor}`);
  tell("connecting", "connecting");
  opened.addEventListener("open", () => tell("open", "open"));
  opened.addEventListener("error", () => {
    if (opened !== source) return;
    tell("connecting", "reconnecting …");
    if (opened.readyState === EventSource.CLOSED) renewal = setTimeout(() => signIn(60), 1000);
  });
  for (const [type, handle] of Object.entries(handlers))
    opened.addEventListener(type, event => {
      count += 1;
      cursor = event.lastEventId || cursor;
      handle(event.data ? JSON.parse(event.data) : null, event);
    });
}

function enter() {
  if (!left) return;
  left = false;
  signIn(60);
}

function leave() {
  left = true;
  clearTimeout(renewal);
  source?.close();
  tell("connecting", "paused");
}

document.addEventListener("visibilitychange", () => document.hidden ? leave() : enter());
addEventListener("pagehide", leave);  // a page that is kept for the back button would keep its connection for a minute
addEventListener("pageshow", event => { if (event.persisted) enter(); });

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

handlers.clock = ({ticks}) => { $("#clock output").textContent = ticks; };
handlers.machine = reading => {
  for (const [name, value] of Object.entries(reading)) {
    const plot = plots[name];
    plot.values.push(value);
    if (plot.values.length > 120) plot.values.shift();
    $(`[data-value=${name}]`).textContent = units[name](value);
    draw(plot, name === "network" ? undefined : 100);
  }
};
handlers.said = ({text}) => line($("#said"), text, {aside: new Date().toLocaleTimeString()});

function show() {
  const seconds = Number(slider.value);  // none: as they come, ten a second
  $("#pace").textContent = seconds ? `.pipe(throttle_latest(${seconds.toFixed(1)}))` : "";
  $("#every").textContent = `${Math.max(0.1, seconds).toFixed(1)} s`;
}

slider.addEventListener("input", () => { show(); post(`/viewers/${viewer}/throttle`, {seconds: slider.value}); });
$("#everyone form").addEventListener("submit", event => {
  event.preventDefault();
  const field = event.target.text;
  if (field.value) post("/say", {text: field.value}).then(() => { field.value = ""; });
});

// --- a job that goes on whether or not its page is shown ----------------------------------------------------------

const job = {bar: $("#job progress"), list: $("#files"), said: $("#job-line"), total: {files: 0, bytes: 0}, begun: 0};

$("#job form").addEventListener("submit", async event => {
  event.preventDefault();
  job.said.textContent = "looking …";
  const answer = await post(`/viewers/${viewer}/job`, {folder: event.target.folder.value});
  if (!answer.ok) job.said.textContent = await answer.text();
});
handlers.total = found => {
  Object.assign(job, {total: found, begun: performance.now()});
  job.list.replaceChildren();
  job.bar.value = 0;
};
handlers.progress = ({file, sha256, number, bytes}) => {
  job.bar.value = job.total.bytes ? bytes / job.total.bytes : 1;
  job.said.textContent = `${number} of ${job.total.files} files`;
  line(job.list, file, {aside: sha256.slice(0, 12)});
};
handlers.done = ({files}) => {
  job.bar.value = 1;
  job.said.textContent = `${files} files in ${((performance.now() - job.begun) / 1000).toFixed(1)} s: done`;
};

// --- two people ------------------------------------------------------------------------------------------------

const called = name => name[0].toUpperCase() + name.slice(1);
const people = $("#people"), cards = [];

function person(name, other) {
  const card = $("template", people).content.firstElementChild.cloneNode(true), list = $("ol", card);
  $("h3", card).textContent = called(name);
  $("input", card).placeholder = `to ${called(other)}`;
  $(".pair", people).append(card);
  cards.push(list);
  handlers[name] = ({from, to, text}) => line(list, from === name ? `→ ${called(to)}: ${text}` : `${called(from)}: ${text}`);
  $("form", card).addEventListener("submit", async event => {
    event.preventDefault();
    const field = event.target.text;
    if (!field.value) return;
    await post(`/viewers/${viewer}/send`, {from: name, to: other, text: field.value});
    field.value = "";
  });
}

const note = text => cards.forEach(list => line(list, text, {note: true}));
handlers["stream-cursor"] = ({resumed}) => note(resumed ? "resumed where it broke" : "a new stream");
handlers["stream-gap"] = ({reason, missed}) => note(`a gap: ${missed ?? "some"} events are missing (${reason})`);
handlers["stream-expired"] = ({reason}) => { note(reason); source.close(); signIn(60); };

$("[data-do=cut]").addEventListener("click", () => post(`/viewers/${viewer}/cut`));
$("[data-do=shorten]").addEventListener("click", async () => {
  clearTimeout(renewal);
  await fetch(`/viewers/${viewer}/sign-in?seconds=5`, {method: "POST"});
  source.close();
  open();
  note("a token of 5 s");
});

person("ada", "ben");
person("ben", "ada");
show();
if (!document.hidden) enter();
