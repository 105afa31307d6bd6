// NestJS, as its documentation does it: @Sse() returns an Observable. `node nest_server.js PORT FEED express|fastify`
import "reflect-metadata";

import { Controller, Module, Param, Sse } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import { type Observable, Subject, filter, finalize, interval, map, merge, throttleTime } from "rxjs";
import { listen } from "./lines.mjs";

type Value = { seq: number; t: number; text: string };
type Message = { data: Value } | { comment: string };

const values = new Subject<Value>();
const users = new Map<string, Subject<Message>>();

@Controller()
class Events {
  @Sse("events")
  events(): Observable<Message> {
    return values.pipe(map((data) => ({ data })));
  }

  // With heartbeats, which Nest leaves to its users; apart, so that the other tasks do not pay for a timer per client.
  @Sse("idle")
  idle(): Observable<Message> {
    return merge(this.events(), interval(15_000).pipe(map(() => ({ comment: "" }))));
  }

  @Sse("pipeline")
  pipeline(): Observable<Message> {
    return values.pipe(
      filter((value) => value.seq % 2 === 0),
      map((value) => ({ data: { ...value, half: value.seq / 2 } })),
      throttleTime(5, undefined, { leading: true, trailing: true }),
    );
  }

  @Sse("users/:user")
  user(@Param("user") user: string): Observable<Message> {
    const own = new Subject<Message>();
    users.set(`u${user}`, own);
    return own.pipe(finalize(() => users.delete(`u${user}`)));
  }
}

@Module({ controllers: [Events] })
class App {}

const [port, feed, adapter] = process.argv.slice(2);
const app =
  adapter === "fastify"
    ? await NestFactory.create(App, new FastifyAdapter(), { logger: ["error"] })
    : await NestFactory.create(App, { logger: ["error"] });

listen(Number(feed), (key: string, value: Value) => {
  if (key === "all") values.next(value);
  else users.get(key)?.next({ data: value });
});
await app.listen(Number(port), "127.0.0.1");
