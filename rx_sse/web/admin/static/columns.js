// What the columns of each table show. Everything is put into the page as text.

import { ask, mayAct, perform } from "./actions.js";
import { chart, draw } from "./charts.js";
import { follow } from "./debugger.js";
import { bytes, count, counted, rate, span } from "./format.js";
import { button, part, say, set } from "./table.js";

const zero = (number, show) => (number ? show(number) : "0");
const shown = (list, more, noun) => list.join(", ") + (more ? ` and ${counted(more, noun)} more` : "");

/** A badge of a level, grey text where there is nothing to say. */
function badge(td, text, level) {
  const made = part(td, "badge");
  set(made, "className", `badge ${level}`);
  set(made, "textContent", text);
}

/** A number that has a colour unless it is 0. */
const alarm = (name, level) => (row, td) => badge(td, count(row[name]), row[name] ? level : "none");

/** The charts of the routes, by route; page.js sets them. */
export const rates = { routes: {}, points: 60 };

function spark(td, row, name, label, show) {
  const svg = td.firstElementChild ?? td.appendChild(chart());
  draw(svg, rates.routes[row.route]?.[name] ?? [], rates.points, `${row.route}, ${label}`, show);
}

/** Columns of the routes; `choose` is called with a route. */
export const routes = (choose, chosen) => [
  { title: "Route", kind: "name", cell(row, td) {
    button(td, "link", row.route, (it) => choose(it.route)).setAttribute("aria-pressed", chosen() === row.route);
  } },
  { title: "Open", number: true, cell: (row) => count(row.open) },
  { title: "Open, 5 min", kind: "spark", cell: (row, td) => spark(td, row, "open", "open streams", count) },
  { title: "Sent", number: true, cell: (row) => `${bytes(rates.routes[row.route]?.sent.at(-1) ?? 0)}/s` },
  { title: "Sent, 5 min", kind: "spark", cell: (row, td) => spark(td, row, "sent", "bytes per second", bytes) },
  { title: "Waiting", number: true, cell: (row) => zero(row.queued, bytes) },
  { title: "Behind", number: true, cell: alarm("behind", "wait") },
  { title: "Stalled", number: true, cell: alarm("stalled", "bad") },
  { title: "Dropped", number: true, cell: alarm("dropped", "bad") },
  { title: "Opened", number: true, cell: (row) => count(row.opened) },
];

/** Columns of the open streams; `search` is called with a user or a topic. */
export const streams = (search) => [
  { title: "Stream", kind: "name", cell(row, td) {
    say(td, "main", row.path);
    set(td, "title", `id ${row.id}`);
    const who = part(td, "soft");
    button(who, "link", row.user ?? "", (it) => search(it.user), row.user !== null);
    say(who, "address", [row.user === null && "no user", row.address].filter(Boolean).join(" · "));
  } },
  { title: "Topics", kind: "topics", cell(row, td) {
    [0, 1, 2].forEach((at) => button(td, `link topic-${at}`, row.topics[at] ?? "", (it) => search(it.topics[at]), at in row.topics));
    say(td, "soft", row.more_topics > 0 && `and ${counted(row.more_topics, "topic")} more`);
    say(td, "none", row.topics.length ? "" : "–");
    set(td, "title", row.cursor ? `at ${row.cursor}` : "");
  } },
  { title: "Age", number: true, cell: (row) => span(row.age) },
  { title: "Waiting", number: true, cell: (row) => (row.bytes ? `${counted(row.queued, "event")}, ${bytes(row.bytes)}` : "0") },
  { title: "Sent", number: true, cell: (row) => bytes(row.sent) },
  { title: "State", kind: "state", cell(row, td) {
    say(td, "badge bad", row.stalled && `stalled ${span(row.behind)}`);
    say(td, "badge wait", !row.stalled && row.behind > 0 && `behind ${span(row.behind)}`);
    say(td, "badge bad dropped", row.dropped > 0 && `${count(row.dropped)} dropped`);
    say(td, "badge soft ending", row.ending && "ending");
    say(td, "good", !row.stalled && !row.behind && !row.dropped && !row.ending && "up to date");
  } },
  { title: "Actions", kind: "actions", cell(row, td) {
    button(td, "end", "End", endStream, mayAct && !row.ending);
    button(td, "revoke", "Revoke user", revokeUser, mayAct && row.user !== null);
    say(td, "soft", mayAct ? "" : "–");
  } },
];

export const level = (row) => (row.stalled ? "bad" : row.dropped || row.behind ? "wait" : "");

async function endStream(row) {
  const text = `${row.path}${row.user === null ? "" : ` of ${row.user}`}: its client gets a stream-reconnect.`;
  if (await ask("End this stream?", text, "End the stream")) perform("end", { stream: row.id });
}

async function revokeUser(row) {
  const text = `Tokens of ${row.user} that were issued before now are refused from now on, and the streams opened with them end, in every process of the bus. A new token lets the user in again.`;
  if (await ask(`Revoke ${row.user}?`, text, "Revoke the user")) perform("revoke", { user: row.user });
}

export const ended = [
  { title: "Stream", kind: "name", cell(row, td) { say(td, "main", row.path); say(td, "soft", row.user); } },
  { title: "Reason", cell(row, td) { badge(td, row.reason, worry(row.reason)); } },
  { title: "Was open", number: true, cell: (row) => span(row.age) },
  { title: "Ended", number: true, cell: (row) => `${span(row.ago)} ago` },
];

/** How much an end reason should worry an operator. */
export const worry = (reason) =>
  ["failed", "overflow", "stuck"].includes(reason) ? "bad" : ["shed", "revoked", "operator"].includes(reason) ? "wait" : "soft";

const before = new Map(); // topic → [time, entries] some seconds ago

function flow(row) {
  const now = performance.now() / 1000, past = (before.get(row.topic) ?? []).filter(([at]) => now - at < 10);
  past.push([now, row.entries ?? 0]);
  before.set(row.topic, past);
  if (before.size > 500) before.delete(before.keys().next().value);
  const [[at, entries]] = past;
  return now - at < 1 ? "" : rate(Math.max(0, (row.entries ?? 0) - entries) / (now - at));
}

export const topics = [
  { title: "Topic", kind: "name", cell: (row) => row.topic },
  { title: "Entries", number: true, cell: (row) => count(row.entries) },
  { title: "Published", number: true, cell: flow },
  { title: "Kept here", number: true, cell: (row) => (row.kept ? `${count(row.kept)}, ${bytes(row.bytes)}` : "0") },
  { title: "Listeners", number: true, cell: (row) => count(row.listeners) },
  { title: "Present", kind: "people", cell(row, td) {
    say(td, "main", count(row.present));
    say(td, "soft", row.users.length ? shown(row.users, row.more_users, "user") : "");
  } },
  { title: "State", cell(row, td) { say(td, "badge soft", row.ended && "ended"); say(td, "good", !row.ended && "live"); } },
  { title: "Actions", kind: "actions", cell(row, td) {
    button(td, "follow", "Follow", openDebugger, mayAct);
    say(td, "soft", mayAct ? "" : "–");
  } },
];

function openDebugger(row) {
  follow(row.topic);
  document.getElementById("debugger-part").scrollIntoView({ block: "start" });
  document.getElementById("entries").focus({ preventScroll: true });
}

const STATES = { running: "good", completed: "soft", stopped: "soft", failed: "bad", lost: "bad" };

export const runs = [
  { title: "Run", kind: "name", cell: (row) => row.name },
  { title: "State", cell(row, td) { badge(td, row.state, STATES[row.state] ?? "soft"); } },
  { title: "Entries", number: true, cell: (row) => count(row.entries) },
  { title: "Took", number: true, cell: (row) => span(row.lasted) },
  { title: "Ended", number: true, cell: (row) => (row.state === "running" ? "–" : `${span(row.ago)} ago`) },
  { title: "Actions", kind: "actions", cell(row, td) {
    button(td, "stop", "Stop", stopRun, mayAct && row.state === "running");
    button(td, "follow", "Follow", openDebugger, mayAct);
    say(td, "soft", mayAct ? "" : "–");
  } },
];

async function stopRun(row) {
  const text = `${row.name}: its source is closed, wherever it runs, and its readers get a stream-end.`;
  if (await ask("Stop this run?", text, "Stop the run")) perform("stop", { run: row.name });
}

export const processes = [
  { title: "Process", kind: "name", cell(row, td) {
    say(td, "main", `${row.host} · ${row.pid}`);
    say(td, "badge soft", row.here && "this one");
  } },
  { title: "Version", cell: (row) => row.version },
  { title: "Up", number: true, cell: (row) => span(Math.max(0, Date.now() / 1000 - row.started)) },
  { title: "Streams", number: true, cell: (row) => count(row.streams) },
  { title: "Stalled", number: true, cell: alarm("stalled", "bad") },
  { title: "Topics", number: true, cell: (row) => count(row.topics) },
  { title: "Published", number: true, cell: (row) => count(row.published) },
  { title: "Sent", number: true, cell: (row) => bytes(row.sent) },
];
