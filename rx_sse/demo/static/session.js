// Who this browser is, its one stream, and what it posts.

import { stream } from "/rx_sse.js";

const $ = (selector) => document.querySelector(selector);
let viewer;

/** Show for some seconds what failed. */
export function failed(text) {
  const box = $("#failed");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(failed.timer);
  failed.timer = setTimeout(() => { box.hidden = true; }, 8000);
}

// The token is in a cookie; a new one is asked for before each attempt. One tab at a time: the first gets a viewer, the others have it.
async function signIn() {
  const ask = () => fetch("/viewers", { method: "POST" });
  const answer = await (navigator.locks?.request("rx_sse demo", ask) ?? ask());
  if (!answer.ok) throw new Error(await answer.text());
  return (await answer.json()).viewer;
}

async function request(path, options) {
  let answer = await fetch(path.replace("{viewer}", viewer), options);
  if (answer.status === 401) {  // the token ended just now
    await signIn();
    answer = await fetch(path.replace("{viewer}", viewer), options);
  }
  if (!answer.ok) throw new Error(await answer.text() || answer.statusText);
  return answer.json();
}

/** Post JSON; resolves with whether that was taken. What failed is shown. */
export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  try {
    await request(path, { method: "POST", headers, body: JSON.stringify(body) });
    return true;
  } catch (error) {
    failed(error instanceof TypeError ? "The server does not answer: nothing was sent." : `That failed: ${error.message}`);
    return false;
  }
}

/** What the viewer's topics have kept, a list of {type, data, time}, and what the viewer has chosen. */
export const history = () => request("/viewers/{viewer}/history");

/** A stream of this browser's viewer, shared by all of its tabs. */
export const open = (path, options) =>
  stream(path.replace("{viewer}", viewer), { user: viewer, token: async () => { await signIn(); }, ...options });

/** The one stream of this browser, once the server is there. */
export async function enter() {
  for (;;)
    try {
      viewer = await signIn();
      return open("/viewers/{viewer}/events");
    } catch {
      await new Promise((done) => setTimeout(done, 2000));
    }
}
