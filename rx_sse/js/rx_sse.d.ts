// Types of rx_sse.js, written by hand.

/** What is in the stream: the type of the data, as JSON, by the name of the event. */
export type Events = { [type: string]: unknown };

/** The stream's own events, beside those of the source. Their data is JSON. */
export interface ControlEvents {
  "stream-cursor": { resumed: boolean; resumable: boolean };
  "stream-gap": Gap;
  "stream-end": { reason?: string };
  "stream-error": { type?: string; title?: string; status?: number; detail?: string; [member: string]: unknown };
  "stream-expired": { reason: string };
}

/** Events are missing. */
export interface Gap {
  /**
   * Why. The server's reasons, and of the page itself: `"joined"` (this tab was away for longer than the shared stream
   * keeps), `"overflow"` (a slow async iteration), `"tabs"` (a hub was lost with events that no other tab got).
   */
  reason: string;
  /** How many, if that is known. */
  missed?: number;
  /** The cursors on both sides of the hole. */
  last?: string;
  next?: string;
}

/** An event of the stream. */
export declare class StreamEvent<Data = unknown, Type extends string = string> extends MessageEvent<string> {
  readonly type: Type;
  /** The data, read as JSON. */
  json(): Data;
}

/** Any event of a stream; narrowed by its `type`. */
export type AnyEvent<Map> = { [Type in keyof Map & string]: StreamEvent<Map[Type], Type> }[keyof Map & string];

/**
 * `"connecting"` until the first answer and during every attempt, `"open"`, `"waiting"` between two attempts, while the
 * device is offline or the tab is hidden, `"closed"` at the end.
 */
export type State = "connecting" | "open" | "waiting" | "closed";

/** How a connection ended, or could not be made. */
export interface Failure {
  /**
   * `"ended"` by the server, to be continued · `"end"` for good (`stream-end`, 204) · `"error"` a `stream-error`, which
   * is the message · `"expired"` the token · `"refused"` by another status or type · `"network"` · `"timeout"` ·
   * `"token"`, `"reconnect"` a function of yours failed · `"too large"` · `"user"` another user signed in · `"url"`.
   */
  reason: string;
  message: string;
  /** The status of an answer that was no stream. */
  status?: number;
  /** Milliseconds, of a `Retry-After`. */
  retryAfter?: number;
  /** True if that ends the stream whatever the options. */
  final?: boolean;
}

export interface StateChange {
  state: State;
  failure?: Failure;
  /** Milliseconds until the next attempt, while waiting. */
  delay?: number;
  offline?: boolean;
  hidden?: boolean;
}

export interface Joined {
  /** True if nothing was missed since this tab was there last. */
  resumed: boolean;
  /** How many events follow that were there before. */
  events: number;
  lastEventId: string;
}

/** Events of the page's half itself. They carry no data; a server's event of the same name is a `StreamEvent`. */
export interface LocalEvents {
  open: Event;
  state: CustomEvent<StateChange>;
  error: CustomEvent<Failure>;
  gap: CustomEvent<Gap>;
  joined: CustomEvent<Joined>;
  comment: StreamEvent<never, "comment">;
}

export interface Options {
  /** Closes the stream when it is aborted. */
  signal?: AbortSignal;
  /** Sent as `Authorization: Bearer`. A function is asked again before each attempt. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /**
   * Whose stream it is. Tabs of different users share nothing, not even a position. Needed for tabs to share a stream
   * whose token is a function; without it tabs ask a server of rx_sse who they are before they join.
   */
  user?: string;
  /** Default `"GET"`. Another method shares nothing by default. */
  method?: string;
  headers?: Record<string, string>;
  body?: BodyInit | null;
  /** As for `fetch`. Default `"same-origin"`. */
  credentials?: RequestCredentials;
  /** The first `Last-Event-ID`, if no position is kept. */
  lastEventId?: string;
  /** Where the position is kept: for this tab, over a reload (default); for all, over an end of the browser; nowhere. */
  position?: "session" | "local" | "none";
  /** Events that a tab wants to see of those that came before it joined, of the newest 1,000 that are kept. Default 0. */
  replay?: number;
  /** Milliseconds between two attempts, until the stream sets them. Default 3000. */
  retry?: number;
  /**
   * What follows an answer that was refused (`failure.status`): true, the default for a GET, tries again with back-off;
   * `"standard"` ends the stream, as a native EventSource does; a function decides. False: one connection, no more; the
   * default for every other method, which may do twice what it is asked to do twice.
   */
  reconnect?: boolean | "standard" | ((failure: Failure) => boolean | Promise<boolean>);
  /** Milliseconds without a byte, after which a connection is dead. Default: three of the server's heartbeats. */
  timeout?: number;
  /** Whether a tab in the background keeps its stream (default) or lets go of it. */
  hidden?: "keep" | "pause";
  /** Characters of one event; a larger one ends the stream. Default 16 Mi. */
  maxEventSize?: number;
  /** Whether comments arrive, as `comment` events. Default false. */
  comments?: boolean;
  /** Whether all tabs share one connection. Default: for a GET in a page, unless `token` is a function without `user`. */
  share?: boolean;
  /** URL of this module for a SharedWorker, on the page's own origin; false for none. Default: its own, if it is unbundled. */
  worker?: string | false;
}

export interface Observer<Event> {
  next?(event: Event): void;
  error?(error: Error & Failure): void;
  complete?(): void;
}

export interface Subscription {
  unsubscribe(): void;
}

type Listener<Target, Event> = ((this: Target, event: Event) => unknown) | { handleEvent(event: Event): unknown };

/** A stream, as one tab sees it. */
export interface Stream<Map = Events> extends EventTarget, AsyncIterable<AnyEvent<Map>, void, undefined> {
  readonly url: string;
  readonly state: State;
  readonly lastEventId: string;
  /** Let go of the stream. Other tabs keep theirs. */
  close(): void;
  /** Observe every event of the stream but `stream-end`, which completes. */
  subscribe(observer: Observer<AnyEvent<Map>> | ((event: AnyEvent<Map>) => void)): Subscription;
  /** For RxJS: `from(stream(url))`. The property is there under the name that RxJS looks for. */
  readonly "@@observable": () => Stream<Map>;

  addEventListener<Type extends keyof LocalEvents>(
    type: Type, listener: Listener<this, LocalEvents[Type]> | null, options?: boolean | AddEventListenerOptions): void;
  addEventListener<Type extends Exclude<keyof (Map & ControlEvents), keyof LocalEvents> & string>(
    type: Type, listener: Listener<this, StreamEvent<(Map & ControlEvents)[Type], Type>> | null,
    options?: boolean | AddEventListenerOptions): void;
  removeEventListener(type: string, listener: Listener<this, never> | null, options?: boolean | EventListenerOptions): void;
}

/**
 * Open a stream of server-sent events, or join it where another tab has it open.
 *
 *     const me = stream<{ message: Order; shipped: Parcel }>("/orders/me");
 *     me.addEventListener("shipped", (event) => show(event.json()));
 */
export declare function stream<Map = Events>(url: string | URL, options?: Options): Stream<Map>;

/** The standard's parser: `feed(text)` gives `[type, data, lastEventId]` of each event, `[":", text]` of a comment. */
export declare function parser(id?: string, max?: number): {
  readonly id: string;
  readonly retry: number | undefined;
  feed(text: string): ([type: string, data: string, lastEventId: string] | [":", comment: string])[];
};

/** Milliseconds until the next attempt. */
export declare function delay(retry: number, failures: number, atLeast?: number): number;
