// A value that is at hand, or a promise of it: an engine in this process answers at once, another one later.

export type Maybe<Value> = Value | Promise<Value>;

/** Continues with the value: in this turn when it is at hand, else when the promise resolves. A rejection passes through. */
export function then<Value, Result>(
  value: Maybe<Value>,
  next: (value: Value) => Maybe<Result>,
): Maybe<Result> {
  return value instanceof Promise ? value.then(next) : next(value);
}
