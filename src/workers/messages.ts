// What a worker asks of the supervisor's engine, and what it is answered and told.
import type { AfterRelease, HistoryRange, Registration } from "../relay/contracts/engine";
import type { ErrorCode } from "../relay/contracts/errors";
import type { Publication } from "../relay/contracts/publication";

/** Each is answered under its number. */
export type Call =
  | { readonly do: "publish"; readonly publication: Publication; readonly key?: string | undefined }
  | { readonly do: "history"; readonly topic: string; readonly range: HistoryRange }
  | { readonly do: "forget"; readonly topic: string }
  | { readonly do: "tell"; readonly message: string }
  | { readonly do: "add"; readonly registration: Registration }
  | { readonly do: "claim"; readonly id: string }
  | { readonly do: "hold"; readonly id: string; readonly user: string }
  | { readonly do: "remove"; readonly id: string };

export type FromWorker =
  | { readonly call: Call; readonly number: number }
  | { readonly follow: string }
  | { readonly unfollow: string }
  | { readonly release: readonly [id: string, term: number, next: AfterRelease] };

export type FromServer =
  | { readonly number: number; readonly answer: unknown }
  | { readonly number: number; readonly refused: { code: ErrorCode; message: string } }
  | { readonly number: number; readonly unavailable: string }
  /** A fault of ours, in these words. */
  | { readonly number: number; readonly fault: string }
  | { readonly deliver: Publication }
  | { readonly lost: string }
  | { readonly heard: string }
  | { readonly state: State };

export interface State {
  readonly healthy: boolean;
  /** Registrations that wait. */
  readonly waiting: number;
}
