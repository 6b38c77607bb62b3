/** Types of dashboard-rt-client. All times are in milliseconds. */

/** A string, or a function that is asked for each attempt. */
export type Asked<T> = T | (() => T | Promise<T>);

export type Transport = "sse" | "cable";

/**
 * - `connecting`: an attempt runs.
 * - `live`: the server has said where the client stands (the verdict), and there are signs of life.
 * - `stale`: connected, but silent for `staleAfter`: what is shown may be old.
 * - `waiting`: no connection; the next attempt comes in `retryIn`, or when the page or the network is back.
 * - `closed`: by `close()`, or because coming back is of no use (`final`).
 */
export type State = "connecting" | "live" | "stale" | "waiting" | "closed";

export interface Loss {
  /**
   * Why there is no connection. The server's own words: `server_restart`, `full`, `too_slow`, `unavailable`, `unauthorized`,
   * `token_expired`, … The client's: `lost` (ended without a word), `silence`, `refused` (no event stream; SSE), `ended` (status 204),
   * `rejected` (no such subscription; cable), `no_ticket`, `no_url`, `bad_url`, `offline`, `online` (the network is back), `hidden`,
   * `reconnect` (asked for by the app), `closed`; of `connect` also `fallback`, `switched`, `switch_failed`.
   */
  reason: string;
  /** When the next attempt comes. */
  retryIn?: number;
  /** True: the client has closed, because another attempt would not help. */
  final?: boolean;
  /** The HTTP status, where the EventSource tells it, or the close code of the WebSocket. */
  status?: number;
  /** What an error said, for people. */
  message?: string;
  /** Why a switch has failed: the reason of the other transport's loss, or `timeout`, `gap`, `reconnect`, `switched` (taken back). */
  cause?: string;
}

export type StateDetail = Partial<Loss> & { transport: Transport };

export interface UpdateDetail {
  /** The position behind this update. */
  position: string;
  transport: Transport;
  /** Bytes of UTF-8 received for it: of the event's data (SSE) or of the frame (cable). */
  size: number;
}

export interface Verdict {
  /** `fresh`: from the newest on. `recovered`: nothing is missing. `gap`: some updates are lost; load the whole anew if that matters. */
  verdict: "fresh" | "recovered" | "gap";
  /** Where the client stands now. */
  position: string;
  /** How many updates are lost, if the server knows. */
  missed?: number;
  /** How many updates are sent again now, if the server says. */
  replaying?: number;
  transport: Transport;
}

export interface Stats {
  /** Given out. */
  updates: number;
  /** Dropped, because they had been given out. */
  duplicates: number;
  /** Not understood. */
  ignored: number;
  /** How often the client came back after it had been live. */
  reconnects: number;
  /** Received as updates, duplicates included. */
  bytes: number;
}

/** What is needed of an EventSource. */
export interface EventSourceLike {
  readonly readyState: number;
  addEventListener(type: string, listener: (event: any) => void): void;
  close(): void;
}

/** What the browser provides. Hand in any part, for tests or for Node. */
export interface Platform {
  /** A clock that is never set back, such as performance.now(). */
  now(): number;
  random(): number;
  setTimeout(act: () => void, delay: number): unknown;
  clearTimeout(timer: unknown): void;
  WebSocket: new (url: string, protocols: string[]) => WebSocket;
  EventSource: new (url: string) => EventSourceLike;
  /** Whose events say that the network is back and that the page goes and comes. */
  window: (EventTarget & { navigator?: { onLine?: boolean } }) | undefined;
  document: (EventTarget & { hidden: boolean; baseURI?: string }) | undefined;
  /** For `connectShared`. */
  BroadcastChannel?: typeof globalThis.BroadcastChannel;
  locks?: Pick<LockManager, "request">;
  /** Makes the SharedWorker of that name, of the module shared-worker.js. */
  createWorker?: (name: string) => SharedWorker;
}

/** Never called before the function that connects has returned, and never after `close()`. */
export interface Callbacks {
  /** `data` is whatever was published: check its shape. */
  onUpdate?(data: any, detail: UpdateDetail): void;
  onVerdict?(verdict: Verdict): void;
  onState?(state: State, detail: StateDetail): void;
  /** Something was not understood: `bad_json`, `unknown_identifier`, `unknown_type`. */
  onIgnored?(what: string): void;
}

export interface ClientOptions extends Callbacks {
  /** A relative address is one of the page. http: and https: are turned into ws: and wss: for cable. */
  url: Asked<string | URL>;
  /** The server's default where there is none. */
  stream?: string;
  /** Where to start: `position` of another client, or what the page was drawn with. */
  position?: string;
  /** What the server wants to see (see `ticketsFrom`). */
  ticket?: Asked<string | undefined>;
  /** 1000: the longest first delay after a loss; it doubles with each attempt. Each delay is random, from 0 on. */
  backoffBase?: number;
  /** 30 000: the longest delay. */
  backoffCap?: number;
  /** 10 000: live for so long, delays start again from `backoffBase`. */
  healthyAfter?: number;
  /** SSE 20 000, cable 6 000: silence after which the state is `stale`. */
  staleAfter?: number;
  /** SSE 30 000, cable 9 000: silence after which the connection is replaced. An attempt is granted at least 10 000. */
  lostAfter?: number;
  /** 300 000: a page that is hidden for longer pauses its connection, and resumes when it is seen. Infinity: never. */
  hiddenLimit?: number;
  platform?: Partial<Platform>;
}

export interface CableOptions extends ClientOptions {
  /** DashboardUpdatesChannel. */
  channel?: string;
}

export interface Client {
  readonly state: State;
  /** The cursor: hand it to another client, of either transport. */
  readonly position: string;
  readonly transport: Transport;
  /** Numbers since the start; a copy. */
  readonly stats: Stats;
  /** Drop the connection as a cut cable would, and come back at once. */
  reconnect(): void;
  /** For good: no timer, no listener, no connection stays. */
  close(): void;
}

/** Server-Sent Events. */
export function connectSse(options: ClientOptions): Client;
/** Action Cable. */
export function connectCable(options: CableOptions): Client;

export interface ConnectOptions extends Omit<CableOptions, "url"> {
  /** "auto": the preferred one, and the other where that does not become live. */
  transport?: "auto" | Transport;
  /** "cable". */
  prefer?: Transport;
  /** 5000: how long a transport may take to be live before the other is tried, or a switch is given up. */
  fallbackAfter?: number;
  /** What is in front of both paths. The page's origin. */
  url?: Asked<string | URL>;
  /** "/dashboard/stream". A whole address, `https://…` or `//…`, stands for itself. */
  ssePath?: string;
  /** "/cable". */
  cablePath?: string;
}

/** Its state is that of the transport that is heard; `transport` names it. */
export interface SwitchingClient extends Client {
  /**
   * Go over in mid-stream: no update is lost or comes twice. A transport that is up goes on until the other is live. `onState` then says
   * `switched`, or `switch_failed` when the other did not come up and the old one stays. To switch to where one is takes a switch back.
   */
  switchTo(transport: Transport): void;
}

/** Either transport, with one cursor. */
export function connect(options: ConnectOptions): SwitchingClient;

export interface SharedOptions extends ConnectOptions {
  /** Tabs with the same name share one connection, made with the options of the first of them. `url` and `stream`. */
  name?: string;
  /** Without it: a SharedWorker, else Web Locks with a BroadcastChannel, else none. */
  sharing?: "worker" | "locks" | "none";
}

export interface SharedClient extends SwitchingClient {
  /**
   * - `worker`: the connection is in a SharedWorker.
   * - `leader`: this tab has the connection, and `follower`: another tab has it.
   * - `alone`: this tab has one of its own, because nothing can be shared, or until it has caught up with the others.
   */
  readonly role: "worker" | "leader" | "follower" | "alone";
  /** This tab goes. The others keep the connection; with the last one it ends. */
  close(): void;
}

/**
 * One connection for all tabs of an origin, which ends the limit of six of HTTP/1.1. Each tab has a cursor of its own and gets each update
 * behind it once; one that starts without a position has the newest update at once. `switchTo` and `reconnect` are those of all tabs.
 */
export function connectShared(options: SharedOptions): SharedClient;

export interface TicketOptions {
  /** Those that the tickets shall open; all that `token` opens where there are none. */
  streams?: string[];
  /** The long-lived ticket that allows it, sent in a header. */
  token?: string | null;
  fetch?: typeof globalThis.fetch;
}

/** A `ticket` function that fetches a single-use ticket from `POST /tickets` for each attempt. */
export function ticketsFrom(url: string | URL, options?: TicketOptions): () => Promise<string>;

export interface FetchEventSourceOptions {
  headers?: HeadersInit;
  withCredentials?: boolean;
  fetch?: typeof globalThis.fetch;
  setTimeout?(act: () => void, delay: number): unknown;
  clearTimeout?(timer: unknown): void;
}

export interface FetchErrorEvent extends Event {
  /** Of the answer that is no event stream, or that has ended; undefined when there was no answer. */
  readonly status: number | undefined;
  readonly message: string;
}

/**
 * An EventSource over fetch, for Node and workers, and where headers or the status of a refusal are wanted. Hand it to
 * `connectSse` as `platform.EventSource`; with headers, as a class of your own:
 * `class extends FetchEventSource { constructor(url) { super(url, { headers }); } }`.
 */
export class FetchEventSource extends EventTarget implements EventSourceLike {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;
  constructor(url: string | URL, options?: FetchEventSourceOptions);
  readonly url: string;
  readonly withCredentials: boolean;
  readonly readyState: number;
  /** What the server's last `retry:` line said, in ms; undefined before. */
  readonly retry: number | undefined;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  /** Given a FetchErrorEvent. */
  onerror: ((event: any) => void) | null;
  addEventListener(
    type: string,
    listener: ((event: any) => void) | { handleEvent(event: any): void } | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  close(): void;
}
