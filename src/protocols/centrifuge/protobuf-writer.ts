// Writes protobuf messages. It begins at the end of its buffer and goes towards the beginning, because the length of a
// message stands in front of it: the last field of a message is written first, and nothing has to be measured or moved.
import type { Frame } from "../../relay/contracts/transport";

/** What is kept from one frame to the next. */
const KEPT_BYTES = 65_536;

/** A varint of a number up to 2^53 takes eight bytes. */
const VARINT_BYTES_MAX = 8;

/** Texts of up to so many characters are written faster by a loop than by a call into Bun. */
const SHORT_TEXT = 24;

/** How the value of a field is written; it stands in the low bits of the field's tag. */
const VARINT = 0;
const LENGTH_FIRST = 2;

/** Fields that are 0, false, empty or undefined are left out, as proto3 does. */
export class ProtobufWriter {
  #buffer = Buffer.allocUnsafeSlow(KEPT_BYTES);
  /** The same memory. A copy of a part of it is an array and no Buffer, which would keep more than that part. */
  #bytes = new Uint8Array(this.#buffer.buffer);
  /** Where the first byte of what was written stands. */
  #at = KEPT_BYTES;

  /** Begins a frame. Nothing of an earlier one that a fault has left unfinished gets into it. */
  begin(): void {
    this.#at = this.#bytes.length;
  }

  /** The bytes that were written so far: the end of a message whose fields are written next, for `message`. */
  get written(): number {
    return this.#bytes.length - this.#at;
  }

  number(field: number, value: number | undefined): void {
    if (value === undefined || value === 0) return;
    this.#varint(value);
    this.#varint(field * 8 + VARINT);
  }

  /** A flag that is true. */
  flag(field: number): void {
    this.number(field, 1);
  }

  text(field: number, value: string | undefined): void {
    if (value === undefined || value === "") return;
    const end = this.written;
    this.#utf8(value);
    this.message(field, end);
  }

  /** Makes a message of what was written since `end`, also when that is nothing. */
  message(field: number, end: number): void {
    this.#varint(this.written - end);
    this.#varint(field * 8 + LENGTH_FIRST);
  }

  /** Everything that was written since `begin`, behind its length. */
  frame(): Frame {
    this.#varint(this.written);
    const frame = this.#bytes.slice(this.#at);
    if (this.#bytes.length > KEPT_BYTES) this.#resize(KEPT_BYTES);
    return frame;
  }

  #varint(value: number): void {
    if (this.#at < VARINT_BYTES_MAX) this.#grow(VARINT_BYTES_MAX);
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
    this.#at -= size;
    let at = this.#at;
    for (let rest = value; ; rest = Math.floor(rest / 0x80)) {
      if (rest < 0x80) {
        this.#bytes[at] = rest;
        return;
      }
      this.#bytes[at++] = (rest % 0x80) + 0x80;
    }
  }

  #utf8(text: string): void {
    if (text.length <= SHORT_TEXT && this.#ascii(text)) return;
    const length = Buffer.byteLength(text);
    if (this.#at < length) this.#grow(length);
    this.#at -= length;
    this.#buffer.write(text, this.#at, length, "utf8");
  }

  /** False if it is not ASCII: then nothing is written. */
  #ascii(text: string): boolean {
    if (this.#at < text.length) this.#grow(text.length);
    const start = this.#at - text.length;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      this.#bytes[start + i] = unit;
    }
    this.#at = start;
    return true;
  }

  /** Makes room for so many more bytes. */
  #grow(bytes: number): void {
    const { written } = this;
    const old = this.#bytes.subarray(this.#at);
    this.#resize(2 * (written + bytes));
    this.#at = this.#bytes.length - written;
    this.#bytes.set(old, this.#at);
  }

  #resize(length: number): void {
    this.#buffer = Buffer.allocUnsafeSlow(length);
    this.#bytes = new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset, length);
  }
}
