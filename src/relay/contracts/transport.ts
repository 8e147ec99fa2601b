// What the relay asks of what carries its frames: one socket or stream, and native fan-out to many of them.

/** The bytes of one message on the wire: text, or binary in protocols that are binary. What is binary must not be changed. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** The part of a socket that the relay uses; Bun's ServerWebSocket fits as it is, and a stream behaves like one. */
export interface Socket {
  /** Sends or queues one frame. 0 means that it is over the backpressure limit and will be closed. */
  send(frame: Frame): number;
  /** The bytes that wait in this process for the peer to read. */
  getBufferedAmount(): number;
  /** Joins native fan-out; see `Transport.fanOut`. */
  subscribe(nativeTopic: string): unknown;
  unsubscribe(nativeTopic: string): unknown;
  ping(): unknown;
  /** Sends what is queued, then a close frame. The close handler may run inside this call. */
  close(code: number, reason: string): void;
}

/**
 * The slow-consumer rule: whether a frame fits beside the bytes that already wait for a client. Where little waits, any
 * frame fits, since a client that reconnects for a frame over the limit would otherwise be ended again and again.
 */
export function fits(waitingBytes: number, frameBytes: number, limitBytes: number): boolean {
  return waitingBytes <= limitBytes / 4 || waitingBytes + frameBytes <= limitBytes;
}

/** Which transport carries a protocol: a WebSocket goes both ways, a stream (a response that does not end) only out. */
export type TransportName = "socket" | "stream";

export interface Transport {
  /** Sends `frame` to every socket that is subscribed to `nativeTopic`, except to `except` when it is given. */
  fanOut(nativeTopic: string, frame: Frame, except?: Socket): unknown;
}

export type Transports = Readonly<Record<TransportName, Transport>>;
