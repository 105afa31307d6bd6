// Node without a library: the text of an event made once, one write() for each client. What a careful user writes by hand.
import { createServer } from "node:http";
import { listen } from "./lines.mjs";

const [port, feed] = process.argv.slice(2).map(Number);
const clients = new Set();
const users = new Map();

listen(feed, (key, value) => {
  const text = `data: ${JSON.stringify(value)}\n\n`;
  if (key === "all") for (const response of clients) response.write(text);
  else users.get(key)?.write(text);
});

createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  response.flushHeaders();
  const user = /^\/users\/(\d+)$/.exec(request.url);
  if (user) users.set(`u${user[1]}`, response);
  else clients.add(response);
  request.on("error", () => {});
  response.on("close", () => {
    clients.delete(response);
    if (user) users.delete(`u${user[1]}`);
  });
}).listen({ port, host: "127.0.0.1", backlog: 4096 });
