// In a page: commands come over a WebSocket, which takes none of the six connections of the streams' origin.

import { commanded } from "./clients.mjs";

const origin = new URL(import.meta.url).origin;
const socket = new WebSocket(origin.replace("http", "ws") + "/socket");
const send = (told) => socket.readyState === 1 && socket.send(JSON.stringify(told));
// A worker may only be started by a script of the page's own origin, which serves the module too.
const load = (path) => import(path.startsWith("/rx_sse/") ? location.origin + path.replace("/rx_sse/", "/") : origin + path);
const command = commanded(load, send);
socket.onmessage = ({ data }) => command(JSON.parse(data));
