// What an operator does: asked for once, sent, and answered in the page, also if it fails.

import { base } from "./connection.js";

const { act, scope, viewer } = document.documentElement.dataset;
const dialog = document.getElementById("ask"), said = document.getElementById("said");

/** Whether this viewer may act. */
export const mayAct = act === "yes";

/** Why not, and what to do. */
export const locked = viewer
  ? `Read only: ${viewer} has no token with the scope “${scope}”, which actions and the debugger need.`
  : `Read only: actions and the debugger need a token with the scope “${scope}”, and this page was opened without one. ` +
    "Mount it with admin_app(auth=…), or with admin_app(scope=None) where only operators reach it.";

let timer = 0;
said.querySelector("button").onclick = () => { said.hidden = true; };

/** Say how something went; a failure stays until it is closed. */
export function tell(text, failed) {
  clearTimeout(timer);
  said.firstElementChild.textContent = text;
  said.className = failed ? "failed" : "done";
  said.hidden = false;
  if (!failed) timer = setTimeout(() => { said.hidden = true; }, 8000);
}

/** Ask before something is done. */
export function ask(title, text, verb) {
  if (dialog.open) return Promise.resolve(false);
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("#ask-text").textContent = text;
  dialog.querySelector(".strong").textContent = verb;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => {
    // The event of the question before may come after this one was opened.
    dialog.onclose = () => dialog.open || done(dialog.returnValue === "yes");
  });
}

/** Do something; true if it was done. */
export async function perform(action, body) {
  let answer;
  try {
    answer = await fetch(`${base}actions/${action}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    tell(`${action}: the server cannot be reached, so nothing is known to have been done`, true);
    return false;
  }
  const found = await answer.json().catch(() => ({}));
  tell(answer.ok ? found.done : `${action} failed (${answer.status}): ${found.detail ?? answer.statusText}`, !answer.ok);
  return answer.ok;
}
