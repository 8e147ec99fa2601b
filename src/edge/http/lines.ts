// Cuts a body into lines of text, however its bytes are cut into chunks. It keeps no more than one line, and of a line that is
// too long nothing. Each text is a string of its own: a part of a chunk's text would keep the memory of all of it.
import { isUtf8 } from "node:buffer";
import { Refusal } from "../../relay/contracts/errors";

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = 0xfeff;

const NOTHING = Buffer.alloc(0);

/** The room for the beginning of a line grows from here; a larger one is not kept for the next line. */
const ROOM_BYTES = 4_096;

/** The text of a line without its end, or why it has none. */
export type Line = string | Refusal;

export class Lines {
  readonly #bytesMax: number;
  /** The number of the last line that was taken, from 1. */
  number = 0;
  #chunk: Buffer = NOTHING;
  /** Where the next line begins in the chunk. */
  #at = 0;
  /** Whether the lines that begin and end in this chunk are UTF-8, all of them. */
  #isUtf8 = true;
  /** The beginning of a line whose end has not come yet. */
  #room: Buffer = NOTHING;
  #keptBytes = 0;
  #isTooLong = false;

  /** A longer line is refused (`body_too_large`). */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether a line has begun whose end has not come yet, once all lines before it were taken. */
  get isIncomplete(): boolean {
    return this.#keptBytes > 0 || this.#isTooLong;
  }

  /** The next chunk, which must not be used elsewhere; all lines of the one before must have been taken. */
  add(chunk: Uint8Array): void {
    this.#chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#at = 0;
    const first = this.isIncomplete ? this.#chunk.indexOf(LINE_FEED) + 1 : 0;
    const end = this.#chunk.lastIndexOf(LINE_FEED);
    this.#isUtf8 = end <= first || isUtf8(this.#chunk.subarray(first, end));
  }

  /** Takes the next line, "" for an empty one; undefined when its end has not come yet. */
  take(): Line | undefined {
    const end = this.#chunk.indexOf(LINE_FEED, this.#at);
    if (end < 0) {
      this.#keep(this.#chunk.subarray(this.#at));
      if (this.#chunk !== NOTHING) release(this.#chunk);
      this.#chunk = NOTHING;
      this.#at = 0;
      return undefined;
    }
    const begin = this.#at;
    this.#at = end + 1;
    if (this.isIncomplete) {
      this.#keep(this.#chunk.subarray(begin, end));
      return this.#takeKept();
    }
    this.number++;
    if (end - begin > this.#bytesMax) return this.#tooLong();
    return this.#isUtf8 ? textOf(this.#chunk, begin, end) : checkedText(this.#chunk, begin, end);
  }

  /** Takes the last line, which no line feed ends; undefined when there is none. */
  takeLast(): Line | undefined {
    return this.isIncomplete ? this.#takeKept() : undefined;
  }

  #takeKept(): Line {
    const room = this.#room;
    const end = this.#keptBytes;
    const isTooLong = this.#isTooLong;
    this.#keptBytes = 0;
    this.#isTooLong = false;
    if (room.length > ROOM_BYTES) this.#room = NOTHING;
    this.number++;
    return isTooLong ? this.#tooLong() : checkedText(room, 0, end);
  }

  /** Copies it, because a part of a chunk keeps the memory of all of it. */
  #keep(part: Buffer): void {
    const bytes = this.#keptBytes + part.length;
    if (this.#isTooLong || bytes > this.#bytesMax) {
      this.#isTooLong = true;
      this.#keptBytes = 0;
      this.#room = NOTHING;
      return;
    }
    if (bytes > this.#room.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(ROOM_BYTES, 2 * bytes));
      this.#room.copy(larger, 0, 0, this.#keptBytes);
      this.#room = larger;
    }
    part.copy(this.#room, this.#keptBytes);
    this.#keptBytes = bytes;
  }

  #tooLong(): Refusal {
    return new Refusal(
      "body_too_large",
      `A line may have at most ${this.#bytesMax} bytes (BATON_BODY_BYTES).`,
    );
  }
}

/** Frees the memory of a chunk at once. Bun gives each a buffer of its own, and the collector would let hundreds pile up. */
function release({ buffer, byteLength }: Buffer): void {
  if (buffer.byteLength === byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** The text of bytes that may be anything. */
function checkedText(bytes: Buffer, begin: number, end: number): Line {
  return isUtf8(bytes.subarray(begin, end)) ? textOf(bytes, begin, end) : notJson();
}

/** The text of bytes that are UTF-8. */
function textOf(bytes: Buffer, begin: number, lineEnd: number): string {
  const end = bytes[lineEnd - 1] === CARRIAGE_RETURN ? lineEnd - 1 : lineEnd;
  if (end <= begin) return "";
  const text = bytes.toString("utf8", begin, end);
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
}

/** Why a line is refused that is not JSON, or not even text. */
export function notJson(): Refusal {
  return new Refusal("malformed_json", "The line is not JSON in UTF-8.");
}
