// The paths that are told apart before routing. A query may follow each.

const PUBLISH = /^[^/]*\/\/[^/]*\/publish(?:\?|$)/;
const SESSION = /^[^/]*\/\/[^/]*\/connection\//;
const SESSION_SOCKET = /^[^/]*\/\/[^/]*\/connection\/websocket(?:\?|$)/;

/** Without a Host, a URL is a path alone. */
const EVENT_SOURCE = /^(?:[^/]*\/\/[^/]*)?\/(?:sse\/|connection\/sse)/;

const PROBE = /^[^/]*(?:\/\/[^/]*)?\/health\/(?:live|ready)(?:\?|$)/;

const PUSHER_SOCKET = /^[^/]*\/\/[^/]*\/app\//;

/** A usual handshake of a registered client: /ws/<32 characters>, perhaps with ?format=… and nothing else. */
const SOCKET = /^[^/]*\/\/[^/]*\/ws\/([^/?]{32})(?:\?format=([a-z]{1,16}))?$/;

/** What backends of the Pusher protocol send. */
const PUSHER_API =
  /^[^/]*\/\/[^/]*\/(?:apps\/[^/?]+\/(?:batch_)?events|(?:apps\/[^/?]+\/)?users\/[^?]+\/terminate_connections)(?:\?|$)/;

export function isPublish(url: string): boolean {
  return PUBLISH.test(url);
}

export function isEventSource(url: string): boolean {
  return EVENT_SOURCE.test(url);
}

/** Whether it is what orchestrators ask. */
export function isProbe(url: string): boolean {
  return PROBE.test(url);
}

/** Whether it is where Centrifuge clients open sockets. */
export function isSessionSocket(url: string): boolean {
  return SESSION_SOCKET.test(url);
}

/** Whether it may be a request of a backend of the Pusher protocol. */
export function isPusherApi(url: string): boolean {
  return PUSHER_API.test(url);
}

/** Whether it is where Pusher clients open sockets, if the relay speaks their protocol. */
export function isPusherSocket(url: string): boolean {
  return PUSHER_SOCKET.test(url);
}

/** The parts of the path of a registered client's socket. */
export function socketPath(url: string): { id: string | undefined; format: string } {
  const [, id, format = ""] = SOCKET.exec(url) ?? [];
  return { id, format };
}

/** Whether an answer of this path may be a stream, or the body may be one: both say by themselves how long they may be quiet. */
export function mayStream(url: string): boolean {
  return isPublish(url) || SESSION.test(url);
}
