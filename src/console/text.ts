// Numbers, times and sizes as people read them.

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function count(value: number): string {
  return value < 10 && !Number.isInteger(value) ? small.format(value) : numbers.format(value);
}

export function bytes(value: number): string {
  if (value < 1_024) return `${value} B`;
  if (value < 1_048_576) return `${small.format(value / 1_024)} KB`;
  return `${small.format(value / 1_048_576)} MB`;
}

export function milliseconds(value: number): string {
  return value < 10 ? `${small.format(value)} ms` : `${numbers.format(value)} ms`;
}

/** "1 connection", "2 connections". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Since when, in words: "3 min". */
export function age(since: string): string {
  return span(Math.max(0, Date.now() - Date.parse(since)));
}

/** In the units in which GET /explain says it too. */
export function span(ms: number): string {
  if (ms < 120_000) return `${Math.floor(ms / 1_000)} s`;
  if (ms < 7_200_000) return `${Math.floor(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.floor(ms / 3_600_000)} h`;
  return `${Math.floor(ms / 86_400_000)} d`;
}

/** The time of a day, to the millisecond where that matters. */
export function clock(at: Date, precision: "s" | "ms" = "s"): string {
  const text = at.toTimeString().slice(0, 8);
  return precision === "s" ? text : `${text}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** The kinds of clients by the protocols that they speak. */
export function kindOf(protocol: string): string {
  return protocol.replace(/^centrifuge/, "Centrifuge");
}
