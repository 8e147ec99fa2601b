// Patches in Fossil's delta format, which the SDKs of Centrifuge apply: copies of the old text, and inserts. What is inserted
// is always whole characters, because a patch travels as text. The cost is bounded, whatever the two texts are.
// https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki

/** What a search for equal parts compares at first. */
const WINDOW_BYTES = 16;

/** A copy costs about as many bytes itself. */
const COPY_BYTES_MIN = 12;

/** How many places with the same hash are looked at. */
const CANDIDATES_MAX = 8;

/** How much may be compared for a patch, in bytes: some milliseconds. What is left of the text then is inserted as it is. */
const WORK_BYTES_MAX = 2_000_000;

/** To look for a place costs about as much as to compare so many bytes. */
const LOOK_UP_BYTES = 16;

const HASH_FACTOR = 31;

/** HASH_FACTOR to the power of WINDOW_BYTES - 1, modulo 2^32: the weight of the oldest byte in a window. */
const OLDEST_WEIGHT = Array.from({ length: WINDOW_BYTES - 1 }).reduce<number>(
  (weight) => Math.imul(weight, HASH_FACTOR),
  1,
);

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/** A patch may begin with any character of the text, so with one that decoders would otherwise take for a mark. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** The patch that makes `target` of `base`; both are UTF-8. Costs a multiple of their lengths at most. */
export function fossilPatch(base: Uint8Array, target: Uint8Array): string {
  const writer = new PatchWriter(target);
  const prefix = commonPrefix(base, target);
  const suffix = commonSuffix(base, target, prefix);
  const end = target.length - suffix;
  writer.copy(0, 0, prefix);
  if (end - prefix > 2 * WINDOW_BYTES && base.length - suffix - prefix >= WINDOW_BYTES) {
    copyEqualParts(writer, new Windows(base, prefix, base.length - suffix), target, end);
  }
  writer.copy(base.length - suffix, end, suffix);
  return writer.end();
}

/** How many bytes both begin with, up to the end of a character. */
function commonPrefix(base: Uint8Array, target: Uint8Array): number {
  const max = Math.min(base.length, target.length);
  let length = 0;
  while (length < max && base[length] === target[length]) length++;
  while (isWithinCharacter(target, length)) length--;
  return length;
}

/** How many bytes both end with, from the beginning of a character on, besides the first `prefix` of each. */
function commonSuffix(base: Uint8Array, target: Uint8Array, prefix: number): number {
  const max = Math.min(base.length, target.length) - prefix;
  let length = 0;
  while (length < max && base[base.length - 1 - length] === target[target.length - 1 - length]) {
    length++;
  }
  while (isWithinCharacter(target, target.length - length)) length--;
  return length;
}

/** Whether a cut before this byte of UTF-8 would be within a character. */
function isWithinCharacter(text: Uint8Array, at: number): boolean {
  return ((text[at] ?? 0) & 0xc0) === 0x80;
}

/** Copies what `target` has in common with the base, from where the writer is up to `end`. */
function copyEqualParts(
  writer: PatchWriter,
  windows: Windows,
  target: Uint8Array,
  end: number,
): void {
  let work = WORK_BYTES_MAX;
  let at = writer.written;
  let hash = windowHash(target, at);
  while (at + WINDOW_BYTES <= end && work > 0) {
    work -= LOOK_UP_BYTES + windows.find(hash, target, at, writer.written, end);
    const { source, start } = windows.found;
    let from = start;
    let to = start + windows.found.length;
    while (from < to && isWithinCharacter(target, from)) from++;
    while (from < to && isWithinCharacter(target, to)) to--;
    if (to - from >= COPY_BYTES_MIN && to > at) {
      writer.copy(source + from - start, from, to - from);
      at = to;
      if (at + WINDOW_BYTES <= end) hash = windowHash(target, at);
    } else {
      hash = nextHash(hash, target[at] as number, target[at + WINDOW_BYTES] ?? 0);
      at++;
    }
  }
}

function windowHash(text: Uint8Array, at: number): number {
  let hash = 0;
  for (let i = at; i < at + WINDOW_BYTES; i++) {
    hash = (Math.imul(hash, HASH_FACTOR) + (text[i] as number)) | 0;
  }
  return hash;
}

function nextHash(hash: number, oldest: number, newest: number): number {
  return (Math.imul(hash - Math.imul(oldest, OLDEST_WEIGHT), HASH_FACTOR) + newest) | 0;
}

/** Windows of the base, side by side from `start` to `end`, by their hashes. */
class Windows {
  readonly end: number;
  readonly #base: Uint8Array;
  readonly #start: number;
  readonly #mask: number;
  /** The newest window of each hash, and the one before it; 0 stands for none. */
  readonly #heads: Int32Array;
  readonly #before: Int32Array;
  /** What the last search has found: where it is in the base and in the target. One object, because there are many searches. */
  readonly found = { source: 0, start: 0, length: 0 };

  constructor(base: Uint8Array, start: number, end: number) {
    this.#base = base;
    this.#start = start;
    this.end = end;
    const count = Math.floor((end - start) / WINDOW_BYTES);
    const size = 2 ** Math.ceil(Math.log2(2 * count + 1));
    this.#mask = size - 1;
    this.#heads = new Int32Array(size);
    this.#before = new Int32Array(count + 1);
    for (let i = 1; i <= count; i++) {
      const slot = this.#slot(windowHash(base, start + (i - 1) * WINDOW_BYTES));
      this.#before[i] = this.#heads[slot] as number;
      this.#heads[slot] = i;
    }
  }

  #slot(hash: number): number {
    return (hash ^ (hash >>> 15)) & this.#mask;
  }

  /**
   * Finds the longest part of the base that is equal to a part of `target` around `at`, which is within `first` and `last`.
   * Answers how many bytes were compared.
   */
  find(hash: number, target: Uint8Array, at: number, first: number, last: number): number {
    const base = this.#base;
    const { found } = this;
    found.length = 0;
    let compared = 0;
    let window = this.#heads[this.#slot(hash)] as number;
    for (let i = 0; window !== 0 && i < CANDIDATES_MAX; i++) {
      const source = this.#start + (window - 1) * WINDOW_BYTES;
      let ahead = 0;
      while (
        source + ahead < this.end &&
        at + ahead < last &&
        base[source + ahead] === target[at + ahead]
      ) {
        ahead++;
      }
      compared += ahead + 1;
      if (ahead >= WINDOW_BYTES) {
        let back = 0;
        while (
          source - back > this.#start &&
          at - back > first &&
          base[source - back - 1] === target[at - back - 1]
        ) {
          back++;
        }
        compared += back;
        if (back + ahead > found.length) {
          found.source = source - back;
          found.start = at - back;
          found.length = back + ahead;
        }
      }
      window = this.#before[window] as number;
    }
    return compared;
  }
}

/** Writes a patch from the beginning of `target` to its end. */
class PatchWriter {
  readonly #target: Uint8Array;
  #patch: string;
  /** How much of `target` the patch makes so far. */
  written = 0;

  constructor(target: Uint8Array) {
    this.#target = target;
    this.#patch = `${digits(target.length)}\n`;
  }

  /** Inserts what is before `from`, then copies `length` bytes of the base from `source` on. */
  copy(source: number, from: number, length: number): void {
    if (length === 0) return;
    this.#insert(from);
    this.#patch += `${digits(length)}@${digits(source)},`;
    this.written = from + length;
  }

  #insert(to: number): void {
    if (to === this.written) return;
    const text = utf8.decode(this.#target.subarray(this.written, to));
    this.#patch += `${digits(to - this.written)}:${text}`;
  }

  end(): string {
    this.#insert(this.#target.length);
    return `${this.#patch}${digits(checksum(this.#target))};`;
  }
}

function digits(value: number): string {
  let text = "";
  let rest = value;
  do {
    text = (DIGITS[rest % 64] as string) + text;
    rest = Math.floor(rest / 64);
  } while (rest > 0);
  return text;
}

/** The sum of all groups of four bytes, each a number with its most significant byte first. */
function checksum(bytes: Uint8Array): number {
  const whole = bytes.length & ~3;
  let sum = 0;
  for (let i = 0; i < whole; i += 4) {
    const word =
      ((bytes[i] as number) << 24) |
      ((bytes[i + 1] as number) << 16) |
      ((bytes[i + 2] as number) << 8) |
      (bytes[i + 3] as number);
    sum = (sum + word) | 0;
  }
  for (let i = whole; i < bytes.length; i++) {
    sum = (sum + ((bytes[i] as number) << (24 - 8 * (i - whole)))) | 0;
  }
  return sum >>> 0;
}
