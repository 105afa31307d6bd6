// A topic, live, and test events for it.

import { locked, mayAct, perform } from "./actions.js";
import { connect } from "./connection.js";
import { bytes, count, time } from "./format.js";

const ROWS = 200; // entries in the page; older ones go
const $ = (selector) => document.querySelector(selector);
const form = $("#follow"), list = $("#entries"), note = $("#debugger-note"), pause = $("#pause"), clear = $("#clear");
let close = null, topic = "", held = [], seen = 0, over = false;

/** Follow a topic from now on. */
export function follow(name) {
  if (!mayAct) return;
  close?.();
  topic = form.topic.value = name;
  held = [];
  seen = 0;
  over = false;
  list.replaceChildren();
  pause.disabled = clear.disabled = false;
  press(false);
  note.textContent = `${topic}: connecting …`;
  close = connect(`follow?topic=${encodeURIComponent(name)}`, {
    state(text, failure) {
      if (over) return;
      const why = failure?.status ? ` (${failure.status})` : "";
      note.textContent = text ? `${topic}: ${text}${why}` : heard();
    },
    begin() { held = []; seen = 0; list.replaceChildren(); note.textContent = heard(); },
    entry(entry) { seen++; take(row(entry)); },
    gap({ reason, missed }) { take(line("gap", missed ? `${count(missed)} ${missed === 1 ? "entry is" : "entries are"} missing: ${reason}` : `entries are missing: ${reason}`)); },
    "stream-end"() { over = true; take(line("gap", "the topic has ended")); note.textContent = `${topic}: ended`; close?.(); close = null; },
    "stream-error"(problem) { take(line("gap", `the stream failed: ${problem?.detail ?? problem?.title ?? "no reason was given"}`)); },
  }, false);
}

const heard = () => `${topic}: ${count(seen)} ${seen === 1 ? "entry" : "entries"}${held.length ? `, ${count(held.length)} held back` : ""}`;

function take(item) {
  if (pause.getAttribute("aria-pressed") === "true") {
    held.push(item);
    if (held.length > ROWS) held.shift();
  } else put(item);
  note.textContent = heard();
}

function put(item) {
  list.prepend(item);
  while (list.children.length > ROWS) list.lastElementChild.remove();
}

function row({ event, id, at, data, size }) {
  const item = document.createElement("li"), head = document.createElement("p"), text = document.createElement("pre");
  const add = (tag, words) => { const made = document.createElement(tag); made.textContent = words; head.append(made); };
  add("time", time(at));
  add("b", event ?? "message");
  add("span", bytes(new Blob([data]).size));
  if (id) add("code", id);
  text.textContent = pretty(data) + (size > data.length ? `\n… ${count(size - data.length)} more characters` : "");
  item.append(head, text);
  return item;
}

function line(name, words) {
  const item = document.createElement("li");
  item.className = name;
  item.textContent = words;
  return item;
}

function pretty(data) {
  try {
    const value = JSON.parse(data);
    return typeof value === "object" && value ? JSON.stringify(value, null, 2) : data;
  } catch {
    return data;
  }
}

function press(on) {
  pause.setAttribute("aria-pressed", on);
  pause.textContent = on ? "Go on" : "Pause";
  if (!on) for (const item of held.splice(0)) put(item);
}

form.addEventListener("submit", (event) => { event.preventDefault(); follow(form.topic.value.trim()); });
pause.addEventListener("click", () => { press(pause.getAttribute("aria-pressed") !== "true"); note.textContent = heard(); });
clear.addEventListener("click", () => { held = []; seen = 0; list.replaceChildren(); note.textContent = heard(); });
$("#publish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { event: name, text, json } = event.target;
  if (!form.topic.reportValidity()) return;
  await perform("publish", { topic: form.topic.value.trim(), event: name.value.trim(), text: text.value, json: json.checked });
});

$("#locked").hidden = mayAct;
$("#locked").textContent = mayAct ? "" : locked;
$("#debugger").hidden = !mayAct;
