import { from, throttleTime } from "rxjs";
import { stream, StreamEvent } from "rx_sse";

interface Order { id: number; }
interface Parcel { number: string; }

const me = stream<{ message: Order; shipped: Parcel }>("/orders/me", { user: "7", token: async () => "x", hidden: "pause" });
me.addEventListener("message", (event) => { const order: Order = event.json(); const text: string = event.data; void [order, text]; });
me.addEventListener("shipped", (event) => { const parcel: Parcel = event.json(); void parcel; });
me.addEventListener("gap", (event) => { const missed: number | undefined = event.detail.missed; void missed; });
me.addEventListener("state", ({ detail }) => { const state: "connecting" | "open" | "waiting" | "closed" = detail.state; void state; });
me.addEventListener("stream-cursor", (event) => { const resumed: boolean = event.json().resumed; void resumed; });
// @ts-expect-error there is no such event
me.addEventListener("shiped", () => {});
// @ts-expect-error an order is no parcel
me.addEventListener("message", (event) => { const parcel: Parcel = event.json(); void parcel; });
// @ts-expect-error no such option
stream("/x", { tokne: "x" });
for await (const event of me) {
  if (event.type === "shipped") { const parcel: Parcel = event.json(); void parcel; }
  else { const order: Order = event.json(); void order; }
}
from(me).pipe(throttleTime(500)).subscribe((event) => { const type: "message" | "shipped" = event.type; void type; });
const any = stream("/any");
any.addEventListener("whatever", (event) => { const data: unknown = event.json(); const its: StreamEvent = event; void [data, its]; });
me.subscribe({ next: (event) => void event.lastEventId, error: (error) => void error.reason });
me.subscribe((event) => void event.data);
const closed: "closed" | string = me.state; void closed; me.close();
