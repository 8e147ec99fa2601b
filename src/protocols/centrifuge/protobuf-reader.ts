// Reads protobuf messages, whatever their bytes are: what cannot be read becomes 0, and `isBroken` is true from then on. It
// looks at each byte once and never beyond the end of the message.

/** How the value of a field is written; it stands in the low bits of the field's tag. */
const VARINT = 0;
const EIGHT_BYTES = 1;
const LENGTH_FIRST = 2;
const FOUR_BYTES = 5;

/** A varint of 64 bits, seven of them in each byte. */
const VARINT_BYTES_MAX = 10;

// A byte order mark is a part of the text.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class ProtobufReader {
  readonly #bytes: Uint8Array;
  #at: number;
  #end: number;
  /** The low 32 bits of the last varint. */
  #low = 0;
  isBroken = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#at = 0;
    this.#end = bytes.length;
  }

  /** Whether the message, or the part of it that is being read, has ended. */
  get isAtEnd(): boolean {
    return this.#at >= this.#end;
  }

  /** The number of the next field, with how it is written in its low three bits; 0 at the end and when it is broken. */
  tag(): number {
    if (this.isAtEnd) return 0;
    const tag = this.#varint();
    // A field has a number from 1 to 2^29-1.
    if (tag < 8 || tag >= 2 ** 32) this.#fail();
    return this.isBroken ? 0 : tag;
  }

  /** An unsigned number of 32 bits; of a longer one the low bits count. */
  uint32(tag: number): number {
    this.#expect(tag, VARINT);
    this.#varint();
    return this.#low >>> 0;
  }

  int32(tag: number): number {
    this.#expect(tag, VARINT);
    this.#varint();
    return this.#low | 0;
  }

  /** A number that JSON can carry too. */
  uint53(tag: number): number {
    this.#expect(tag, VARINT);
    const value = this.#varint();
    if (value > Number.MAX_SAFE_INTEGER) this.#fail();
    return this.isBroken ? 0 : value;
  }

  flag(tag: number): boolean {
    this.#expect(tag, VARINT);
    return this.#varint() !== 0;
  }

  text(tag: number): string {
    const text = textOf(this.bytes(tag));
    if (text === undefined) this.#fail();
    return text ?? "";
  }

  /** A part of the message itself, no copy. */
  bytes(tag: number): Uint8Array {
    const length = this.#length(tag);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Lets `read` read a message inside of this one: to it the message ends where the inner one does. */
  message(tag: number, read: () => void): void {
    const length = this.#length(tag);
    if (this.isBroken) return;
    const outerEnd = this.#end;
    this.#end = this.#at + length;
    read();
    if (this.isBroken) return;
    this.#at = this.#end;
    this.#end = outerEnd;
  }

  /** The same for a message that stands behind its length alone, as each of a frame does. */
  framed(read: () => void): void {
    this.message(LENGTH_FIRST, read);
  }

  /** Skips the value of a field that is not known. */
  skip(tag: number): void {
    const kind = tag & 7;
    if (kind === VARINT) this.#varint();
    else if (kind === LENGTH_FIRST) this.bytes(tag);
    else if (kind === EIGHT_BYTES) this.#skipBytes(8);
    else if (kind === FOUR_BYTES) this.#skipBytes(4);
    else this.#fail();
  }

  #fail(): void {
    this.isBroken = true;
    this.#at = this.#end;
  }

  #skipBytes(length: number): void {
    if (length > this.#end - this.#at) this.#fail();
    else this.#at += length;
  }

  #expect(tag: number, kind: number): void {
    if ((tag & 7) !== kind) this.#fail();
  }

  #length(tag: number): number {
    this.#expect(tag, LENGTH_FIRST);
    const length = this.#varint();
    if (length > this.#end - this.#at) this.#fail();
    return this.isBroken ? 0 : length;
  }

  /** Beyond 2^53 the value is not exact, but its low bits in `#low` are. */
  #varint(): number {
    let value = 0;
    let factor = 1;
    this.#low = 0;
    for (let i = 0; i < VARINT_BYTES_MAX && this.#at < this.#end; i++) {
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 0x7f) * factor;
      if (i < 5) this.#low |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    this.#fail();
    return 0;
  }
}

/** Undefined for bytes that are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
