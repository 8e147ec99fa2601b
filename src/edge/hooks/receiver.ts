// Who is told over HTTP what happens in the relay, whatever form it expects that in.
import type { RelayEvent } from "../../relay/contracts/options";

/** What is POSTed. */
export interface HookRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HookReceiver {
  readonly url: string;
  /** Whether it wants to know of such events. */
  wants(kind: RelayEvent["kind"]): boolean;
  /** What it is told of an event that has just happened: a JSON text. Undefined where that is nothing to it. */
  textOf(happened: RelayEvent): string | undefined;
  /** What it is told where so many events are missing; undefined where its form has no word for that. */
  lostTextOf(count: number): string | undefined;
  /** How long events are tried again, from the moment at which they happened. */
  readonly ageMaxMs: number;
  /**
   * The request that tells these events, which are texts of `textOf`. It is made for each attempt, so that each has its own time and
   * signature.
   */
  requestOf(texts: readonly string[]): HookRequest;
}
