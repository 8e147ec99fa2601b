// The kinds of settings: how a text from the environment becomes a checked value.
// Parsing gives undefined for what is not allowed; config.ts makes the user's sentence of that.
import { availableParallelism } from "node:os";

/** A setting that cannot be used; its message is the one line that the user sees. */
export class SettingError extends Error {}

export interface Setting<Value> {
  readonly variable: string;
  /** What is allowed, as the end of the sentence "… is not allowed: it takes …". */
  readonly takes: string;
  /** What it is for, and why the default is what it is. The README's table is made of this. */
  readonly about: string;
  /** As the user would write it; empty for "not set". */
  readonly fallback: string;
  /** Undefined for a text that is not allowed. */
  parse(text: string): Value | undefined;
}

export type Env = Readonly<Record<string, string | undefined>>;

/** The value of a setting; empty means not set. Throws SettingError with the line to show. */
export function readSetting<Value>(setting: Setting<Value>, env: Env): Value {
  const given = env[setting.variable];
  // A list that shall be empty is written as "-", since an empty variable means "not set".
  const text = given === undefined || given === "" ? setting.fallback : given === "-" ? "" : given;
  const value = setting.parse(text);
  if (value !== undefined) return value;
  const shown = given?.replaceAll(/(rediss?:\/\/)[^@/,]*@/g, "$1…@");
  throw new SettingError(
    `${setting.variable}=${JSON.stringify(shown)} is not allowed: it takes ${setting.takes}.`,
  );
}

/** The longest setTimeout, and plenty for any count or size. */
export const LARGE = 2 ** 31 - 1;

export function whole(
  variable: string,
  fallback: number,
  min: number,
  max: number,
  about: string,
): Setting<number> {
  return {
    variable,
    about,
    fallback: String(fallback),
    takes: `a whole number from ${min} to ${max}`,
    parse(text) {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}

export function choice<Value extends string>(
  variable: string,
  fallback: Value,
  values: readonly Value[],
  about: string,
): Setting<Value> {
  return {
    variable,
    about,
    fallback,
    takes: `one of ${values.join(", ")}`,
    parse: (text) => values.find((value) => value === text),
  };
}

export function list(
  variable: string,
  fallback: string,
  takes: string,
  about: string,
  allowed: (item: string) => boolean,
): Setting<readonly string[]> {
  return {
    variable,
    about,
    fallback,
    takes,
    parse(text) {
      const items = text === "" ? [] : text.split(",").map((item) => item.trim());
      return items.every((item) => item !== "" && allowed(item)) ? items : undefined;
    },
  };
}

export function flag(variable: string, about: string): Setting<boolean> {
  return {
    variable,
    about,
    fallback: "0",
    takes: "0 or 1",
    parse: (text) => (text === "1" ? true : text === "0" ? false : undefined),
  };
}

export function path(variable: string, about: string): Setting<string> {
  return {
    variable,
    about,
    fallback: "",
    takes: "the path of a file",
    parse: (text) => (text.includes("\0") ? undefined : text),
  };
}

/** A text that is not set unless it is given. */
export function text(
  variable: string,
  about: string,
  takes: string,
  allowed: (value: string) => boolean,
): Setting<string> {
  return {
    variable,
    about,
    fallback: "",
    takes,
    parse(given) {
      const value = given.replaceAll("\\n", "\n");
      return value === "" || allowed(value) ? value : undefined;
    },
  };
}

/** A text of a fixed form. */
export function matching(
  variable: string,
  fallback: string,
  takes: string,
  allowed: (text: string) => boolean,
  about: string,
): Setting<string> {
  return {
    variable,
    about,
    fallback,
    takes,
    parse: (text) => (allowed(text) ? text : undefined),
  };
}

/** A number of processes; `auto` is one for each core. */
export function processes(variable: string, max: number, about: string): Setting<number> {
  return {
    variable,
    about,
    fallback: "1",
    takes: `auto or a whole number from 1 to ${max}`,
    parse(text) {
      if (text === "auto") return Math.min(max, availableParallelism());
      const value = /^\d{1,6}$/.test(text) ? Number(text) : 0;
      return value >= 1 && value <= max ? value : undefined;
    },
  };
}

/** A URL such as https://relay.example.com, whose scheme, host and path the sockets' addresses get. */
export function publicUrl(variable: string, about: string): Setting<string> {
  return {
    variable,
    about,
    fallback: "",
    takes: "an http:// or https:// address without user, query or fragment",
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

/** memory, sqlite:<file>, or addresses of Redis servers, each another one. */
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

export function isOrigin(item: string): boolean {
  return item === "*" || (URL.canParse(item) && new URL(item).origin === item && item !== "null");
}
