// What the routes are given: the relay, the transports, and the settings that concern HTTP.
import type { Log } from "../../log";
import type { Protocol, ResumableProtocol, SessionProtocol } from "../../relay/contracts/protocol";
import type { Relay } from "../../relay/relay";
import type { SourceStatus } from "../../sources/sources";
import type { Grants } from "../access/keys";
import type { ApiFormat } from "../centrifugo-api/methods";
import type { KeyedRouteOptions } from "../http/documents";
import type { WebPush } from "../push/web-push";
import type { PusherDoors } from "../pusher/routes";
import type { Handshake, SessionHandshake } from "../transports/sockets";
import type { Streams } from "../transports/streams";

export interface RouteOptions extends KeyedRouteOptions {
  readonly relay: Relay;
  /** Answers with the metrics. */
  readonly metrics: () => Promise<Response>;
  /** How each source is, over all nodes. Rejects with EngineUnavailable. */
  readonly sources: () => Promise<readonly SourceStatus[]>;
  readonly log: Log;
  readonly handshake: Handshake;
  readonly sessionHandshake: SessionHandshake;
  readonly sessionProtocols: SessionProtocols;
  /** The name of this relay process, for requests that belong to one of its streams. */
  readonly node: string;
  readonly apiFormat: ApiFormat;
  readonly socketFormats: SocketFormats;
  readonly streams: Streams;
  readonly streamFormats: StreamFormats;
  /** What the key of a request opens. Throws Refused where it has none. */
  readonly grantsOf: (request: Request) => Grants;
  /** Answers a POST to /publish. */
  readonly publish: (request: Request) => Promise<Response>;
  /** Undefined where the relay does not speak the Pusher protocol. */
  readonly pusher: PusherDoors | undefined;
  /** The devices of users, and what became of pushes; undefined where there is no Web Push. */
  readonly webPush: Pick<WebPush, "devices" | "fates"> | undefined;
  /** The origins that CORS headers allow. Without them, answers have no CORS headers. */
  readonly corsOrigins?: readonly string[];
  /** Whether the page /console is there. */
  readonly hasConsole: boolean;
  readonly bodyBytes: number;
  readonly frameBytes: number;
  /** The time between two pings, the most that a client may ask for. */
  readonly pingMs: number;
  /** Without a trailing slash. When it is empty, the request's Host takes its place. */
  readonly publicUrl: string;
  /** What the paths of the server begin with that are the relay's; "" where all are. */
  readonly prefix: string;
  /** What the relay itself speaks. */
  readonly scheme: "http" | "https";
  /** Where the server listens, such as http://127.0.0.1:8000: for a request without a Host. */
  readonly listeningUrl: () => string;
}

/** The protocols of GET /ws/:id by the value of `format`, which is "" when it is not given. */
export type SocketFormats = Readonly<Record<string, Protocol>>;

/** The protocols of GET /sse/:id. */
export type StreamFormats = Readonly<Record<string, ResumableProtocol>>;

/** The protocols of Centrifuge clients, by the form that they speak and the transport that they connect with. */
export interface SessionProtocols {
  readonly text: {
    readonly socket: SessionProtocol;
    readonly stream: SessionProtocol;
    readonly sse: SessionProtocol;
  };
  readonly binary: {
    readonly socket: SessionProtocol;
    readonly stream: SessionProtocol;
    /** Commands for a stream; undefined for a body that has none. */
    decodeEmulation(
      body: Uint8Array,
    ): { session: string; node: string; data: Uint8Array } | undefined;
  };
}
