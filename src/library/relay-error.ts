// An expected error of a call of the embedded relay.
import { ERRORS, type ErrorCode, Refusal } from "../relay/contracts/errors";

/**
 * A call that was refused: `message` says what is wrong and what is allowed, `code` is that of docs/reference.md. Elysia answers with
 * `status` where a handler lets it pass.
 */
export class RelayError extends Error {
  override readonly name = "RelayError";
  readonly code: ErrorCode;
  readonly status: number;
  /** In how many seconds the same may be allowed, where that is known. */
  readonly retryS: number | undefined;

  constructor({ code, message, retryS }: Refusal) {
    super(message);
    this.code = code;
    this.status = ERRORS[code].status;
    this.retryS = retryS;
  }
}

/** Gives the value back; throws RelayError when it is a refusal. */
export function orThrow<Value>(value: Value | Refusal): Value {
  if (value instanceof Refusal) throw new RelayError(value);
  return value;
}
