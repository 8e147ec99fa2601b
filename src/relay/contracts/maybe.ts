// A value that is at hand, or a promise of it: an engine in this process answers at once, another one later.

export type Maybe<Value> = Value | Promise<Value>;

/** All of these values, at hand when each of them is. */
export function all<Value>(values: readonly Maybe<Value>[]): Maybe<readonly Value[]> {
  return values.some((value) => value instanceof Promise)
    ? Promise.all(values)
    : (values as readonly Value[]);
}

/** Continues with the value: in this turn when it is at hand, else when the promise resolves. A rejection passes through. */
export function then<Value, Result>(
  value: Maybe<Value>,
  next: (value: Value) => Maybe<Result>,
): Maybe<Result> {
  return value instanceof Promise ? value.then(next) : next(value);
}
