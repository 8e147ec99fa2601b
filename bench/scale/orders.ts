// What the scale run asks of a load process, and what that tells it.

export interface Crowd {
  /** Each process has an address of its own to connect to, so that ports do not run out. */
  readonly host: string;
  readonly port: number;
  readonly first: number;
  readonly count: number;
  /** Handshakes under way at once. */
  readonly atOnce: number;
}

export type Order =
  | { readonly kind: "register"; readonly crowd: Crowd }
  | { readonly kind: "open" };

/** Sent by itself several times a second. */
export interface State {
  readonly registered: number;
  readonly open: number;
  /** Publications that came: each once, right after the one before. */
  readonly received: number;
  /** Connections that were lost, came back and were told that they get all they missed. */
  readonly recovered: number;
  readonly faults: readonly string[];
}
