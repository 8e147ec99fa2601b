// The client's side of WebSocket: the handshake, reading a server's frames, writing masked ones.
// Frames are read in place, without copying; the caller keeps the bytes of an incomplete one.

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

// RFC 6455 asks for a random key; a fixed one has a fixed answer, which is as good a check.
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/** The headers of the handshake, with the empty line that ends the request. */
export function upgradeHeaders(subprotocol?: string): string {
  const offer = subprotocol === undefined ? "" : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`;
  return (
    `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${KEY}\r\n` +
    `${offer}Sec-WebSocket-Version: 13\r\n\r\n`
  );
}

/** Whether the answer to the handshake accepts it. */
export function isUpgraded(answer: string): boolean {
  return answer.startsWith("HTTP/1.1 101 ") && answer.includes(ACCEPT);
}

/** Takes one whole frame; its payload is bytes[start..end). */
type TakeFrame = (opcode: number, bytes: Uint8Array, start: number, end: number) => void;

/**
 * Passes every whole frame in `bytes` from `at` on to `take`, and returns where the incomplete rest starts.
 * Throws on a masked, compressed or split frame, or one over 4 GiB: no target sends these.
 */
export function readFrames(bytes: Uint8Array, at: number, take: TakeFrame): number {
  let offset = at;
  while (offset + 2 <= bytes.length) {
    const first = bytes[offset] ?? 0;
    let length = bytes[offset + 1] ?? 0;
    let start = offset + 2;
    if ((first & 0xf0) !== 0x80 || length > 127) {
      throw new Error(`an unexpected frame head: ${first} ${length}`);
    }
    if (length === 126) {
      if (bytes.length < start + 2) break;
      length = ((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0);
      start += 2;
    } else if (length === 127) {
      if (bytes.length < start + 8) break;
      length = new DataView(bytes.buffer, bytes.byteOffset + start + 4).getUint32(0);
      start += 8;
    }
    const end = start + length;
    if (bytes.length < end) break;
    take(first & 0x0f, bytes, start, end);
    offset = end;
  }
  return offset;
}

/** A frame to the server with at most 125 bytes of payload, masked with zeros, which RFC 6455 allows. */
export function clientFrame(opcode: number, payload: Uint8Array): Uint8Array {
  if (payload.length > 125) throw new Error("the load client sends only small frames");
  const frame = new Uint8Array(6 + payload.length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | payload.length;
  frame.set(payload, 6);
  return frame;
}
