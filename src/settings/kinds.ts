// The kinds of settings: each turns a text from the environment into a checked value, and must never guess.
// `parse` returns undefined for a text that is not allowed; read.ts makes the user's error line of that.
import { availableParallelism } from "node:os";

/** A setting that cannot be used; its message is the one line that the user sees. */
export class SettingError extends Error {}

/** The variables of a process. */
export type Env = Readonly<Record<string, string | undefined>>;

/** What a number counts; it stands in what is allowed: "a whole number of bytes from 1 to 10". */
type Unit =
  | "events"
  | "attempts"
  | "bytes"
  | "milliseconds"
  | "connections"
  | "frames"
  | "keys"
  | "publications"
  | "registrations"
  | "requests"
  | "subscriptions"
  | "topics"
  | "members"
  | "devices";

/** What every setting declares. */
interface Declaration {
  readonly variable: string;
  /** What the setting is for, and why its default is what it is. docs/reference.md is made from these texts. */
  readonly description: string;
  /**
   * The value is not shown to anybody, and may stand in a file of its own, which the variable with _FILE at its end names: as the
   * whole of its text, or an item a line.
   */
  readonly secret?: "text" | "lines";
}

/** The type of the value in the file that BATON_CONFIG names. */
export type InFile = "integer" | "boolean" | "list" | "string" | "integer or string";

export interface Setting<Value> extends Declaration {
  /** As the user would write it; empty means that the setting is not set. */
  readonly default: string;
  /** What is allowed, as the end of the sentence "It must be …". */
  readonly allowed: string;
  readonly inFile: InFile;
  /** What of a text that is not allowed may be shown; by default all, and of a secret nothing. */
  readonly shown?: (text: string) => string;
  /** What is wrong with a text that is not allowed, as the end of the sentence "It …", in place of `allowed`. */
  readonly problem?: (text: string) => string;
  /** Returns undefined for a text that is not allowed. */
  parse(text: string): Value | undefined;
}

/** How a setting is read by a function that gives the value, or what is wrong with a text. */
export function readBy<Value extends object>(
  read: (text: string) => Value | string,
): Required<Pick<Setting<Value>, "parse" | "problem">> {
  return {
    parse(text) {
      const found = read(text);
      return typeof found === "string" ? undefined : found;
    },
    problem(text) {
      const found = read(text);
      return typeof found === "string" ? found : "";
    },
  };
}

/**
 * The beginning of names that a text stands for, whose marks are percent-encoded; undefined where it stands for none. A star is most
 * likely meant to stand for anything, which a beginning needs none for.
 */
export function prefixOf(encoded: string): string | undefined {
  if (encoded === "" || encoded.includes("*")) return undefined;
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}

/** The longest delay that setTimeout accepts, and enough for any count or size that uses it as its bound. */
export const INT32_MAX = 2 ** 31 - 1;

/** What one client can make the relay parse at once, at most. */
export const FRAME_BYTES_MAX = 16_777_216;

interface WholeOptions extends Declaration {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** Left out where the number counts nothing, as a port. */
  readonly unit?: Unit;
}

export function whole({
  variable,
  description,
  default: number,
  min,
  max,
  unit,
}: WholeOptions): Setting<number> {
  const what = unit === undefined ? "a whole number" : `a whole number of ${unit}`;
  return {
    variable,
    description,
    default: String(number),
    inFile: "integer",
    allowed: `${what} from ${min} to ${max}`,
    parse(text) {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}

interface ChoiceOptions<Value extends string> extends Declaration {
  readonly default: Value;
  readonly values: readonly Value[];
}

export function choice<Value extends string>({
  values,
  ...rest
}: ChoiceOptions<Value>): Setting<Value> {
  return {
    ...rest,
    inFile: "string",
    allowed: `one of ${values.join(", ")}`,
    parse: (text) => values.find((value) => value === text),
  };
}

interface ListOptions extends Declaration {
  readonly default: string;
  readonly allowed: string;
  readonly accepts: (item: string) => boolean;
  /** How many items there may be; without it any number. */
  readonly max?: number;
}

/** What commas separate; spaces around it do not count. */
export function itemsOf(text: string): readonly string[] {
  return text === "" ? [] : text.split(",").map((item) => item.trim());
}

export function list({
  accepts,
  max = Number.POSITIVE_INFINITY,
  ...rest
}: ListOptions): Setting<readonly string[]> {
  return {
    ...rest,
    inFile: "list",
    parse(text) {
      const items = itemsOf(text);
      const isAccepted = items.every((item) => item !== "" && accepts(item));
      return isAccepted && items.length <= max ? items : undefined;
    },
  };
}

export function flag(declaration: Declaration): Setting<boolean> {
  return {
    ...declaration,
    default: "0",
    inFile: "boolean",
    allowed: "0 or 1",
    parse: (text) => (text === "1" ? true : text === "0" ? false : undefined),
  };
}

export function path(declaration: Declaration): Setting<string> {
  return {
    ...declaration,
    default: "",
    inFile: "string",
    allowed: "the path of a file",
    parse: (text) => (text.includes("\0") ? undefined : text),
  };
}

interface TextOptions extends Declaration {
  readonly allowed: string;
  readonly accepts: (text: string) => boolean;
}

/** A text that is not set by default; \n stands for a line break, since some files of variables allow none. */
export function text({ accepts, ...rest }: TextOptions): Setting<string> {
  return {
    ...rest,
    default: "",
    inFile: "string",
    parse(written) {
      const value = written.replaceAll("\\n", "\n");
      return value === "" || accepts(value) ? value : undefined;
    },
  };
}

/** A text of a fixed form, which always has a value. */
export function matching({
  accepts,
  ...rest
}: TextOptions & Pick<Setting<string>, "default" | "shown">): Setting<string> {
  return { ...rest, inFile: "string", parse: (text) => (accepts(text) ? text : undefined) };
}

/** A number of processes; `auto` is one for each core. */
export function processes({
  max,
  ...declaration
}: Declaration & { readonly max: number }): Setting<number> {
  return {
    ...declaration,
    default: "1",
    inFile: "integer or string",
    allowed: `auto or a whole number from 1 to ${max}`,
    parse(text) {
      if (text === "auto") return Math.min(max, availableParallelism());
      const value = /^\d{1,6}$/.test(text) ? Number(text) : 0;
      return value >= 1 && value <= max ? value : undefined;
    },
  };
}

/** A URL such as https://relay.example.com; clients' addresses get its scheme, host and path. */
export function publicUrl(declaration: Declaration): Setting<string> {
  return {
    ...declaration,
    default: "",
    inFile: "string",
    allowed: "an http:// or https:// address without user, query or fragment",
    parse(text) {
      if (text === "") return "";
      if (!URL.canParse(text)) return undefined;
      const url = new URL(text);
      const plain = url.username + url.password + url.search + url.hash === "";
      if (!plain || !/^https?:$/.test(url.protocol)) return undefined;
      return url.href.replace(/\/$/, "");
    },
  };
}

/** Whether a text names an engine: memory, sqlite:<file>, or addresses of different Redis servers. */
export function isEngine(text: string): boolean {
  if (text === "memory" || /^sqlite:[^\0]+$/.test(text)) return true;
  const urls = text.split(",").map((url) => (URL.canParse(url) ? new URL(url) : undefined));
  const places = new Set(urls.map((url) => url && url.host + url.pathname));
  return (
    places.size === urls.length &&
    urls.every(
      (url) => /^rediss?:$/.test(url?.protocol ?? "") && /^\/?\d*$/.test(url?.pathname ?? ""),
    )
  );
}

/** The addresses of Redis servers without their passwords. */
export function withoutPasswords(text: string): string {
  return text.replaceAll(/(rediss?:\/\/)[^@/,]*@/g, "$1…@");
}

/** An origin of another scheme than the web's, as app shells and extensions have: capacitor://localhost. */
const OTHER_ORIGIN = /^[a-z][a-z\d+.-]*:\/\/(?:[\w.~-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/;

/**
 * Whether a text is `*` or an origin exactly as clients send it (RFC 6454, section 6.2). `null` is what a page without an
 * origin of its own sends; for sockets of pages in files Chromium sends `file://` in its place.
 */
export function isOrigin(item: string): boolean {
  if (item === "*" || item === "null" || item === "file://") return true;
  // No page has an origin with a star in it: https://*.example.com would allow nobody, in silence.
  if (item.includes("*") || !URL.canParse(item)) return false;
  const { origin } = new URL(item);
  // Only schemes of the web have an origin by the URL standard.
  return origin === "null" ? OTHER_ORIGIN.test(item) : origin === item;
}

/** Whether a text is an address to listen on, such as 127.0.0.1:9400 or [::1]:9400. */
export function isListenAddress(text: string): boolean {
  const [, port = ""] = /^(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\]):(\d{1,5})$/i.exec(text) ?? [];
  return port !== "" && Number(port) <= 65_535;
}

export function isWebUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
