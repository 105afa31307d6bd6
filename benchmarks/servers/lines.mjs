// The feed, the same for every Node server: lines of `key {json}` on a socket, each handed on as a value.
import { createServer } from "node:net";

export function listen(port, deliver) {
  createServer((socket) => {
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("error", () => {});
    socket.on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const space = line.indexOf(" ");
        deliver(line.slice(0, space), JSON.parse(line.slice(space + 1)));
      }
    });
  }).listen(port, "127.0.0.1");
}
