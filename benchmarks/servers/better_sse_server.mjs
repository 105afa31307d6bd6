// better-sse, as its guides do it: Express, createSession(), a channel for everybody, session.push() for one user.
import { createChannel, createSession } from "better-sse";
import express from "express";
import { listen } from "./lines.mjs";

const [port, feed] = process.argv.slice(2).map(Number);
const channel = createChannel();
const users = new Map();
const options = { keepAlive: 15000 }; // as often as the others; its default is 10 s

listen(feed, (key, value) => {
  if (key === "all") channel.broadcast(value);
  else users.get(key)?.push(value);
});

const app = express();

app.get("/events", async (request, response) => {
  channel.register(await createSession(request, response, options));
});

app.get("/users/:user", async (request, response) => {
  const key = `u${request.params.user}`;
  const session = await createSession(request, response, options);
  users.set(key, session);
  session.once("disconnected", () => users.delete(key));
});

app.listen({ port, host: "127.0.0.1", backlog: 4096 });
