// Reads a file of settings as text. Nothing that it names may block the process or fill its memory: it may be read again at any time.
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { withoutByteOrderMark } from "../../relay/text/json";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of a file. Throws an Error whose message ends the sentence "… is not allowed: it". */
export function readTextFile(path: string, bytesMax: number): string {
  const bytes = readBytes(path, bytesMax);
  try {
    return withoutByteOrderMark(utf8.decode(bytes));
  } catch {
    throw new Error("is not UTF-8");
  }
}

function readBytes(path: string, bytesMax: number): Uint8Array {
  let descriptor: number;
  try {
    // A pipe without a writer would never open otherwise.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw unreadable(error);
  }
  try {
    const stat = fstatSync(descriptor);
    if (stat.isDirectory()) throw new Error("is a directory");
    if (!stat.isFile()) throw new Error("is not a regular file");
    // What it says of its size may be outdated, and files of the system say 0.
    const room = Buffer.allocUnsafeSlow(bytesMax + 1);
    let size = 0;
    for (let read = -1; read !== 0 && size < room.length; size += read) {
      read = readSome(descriptor, room.subarray(size));
    }
    if (size > bytesMax) throw new Error(`has more than ${bytesMax} bytes`);
    return room.subarray(0, size);
  } finally {
    closeSync(descriptor);
  }
}

function readSome(descriptor: number, room: Uint8Array): number {
  try {
    return readSync(descriptor, room, 0, room.length, null);
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(error: unknown): Error {
  return new Error(`cannot be read: ${(error as Error).message}`);
}
