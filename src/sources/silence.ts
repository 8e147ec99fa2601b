// Servers that say nothing. Bun's clients would wait for ever for an answer.

/** The answer. Rejects when there is none in time, and then calls `onSilence`, which ends the connection. */
export async function answered<Value>(
  answer: Promise<Value>,
  ms: number,
  onSilence: () => void = () => {},
): Promise<Value> {
  const silence = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    // Before what waits is told that its connection was closed.
    silence.reject(new Error(`the server has not answered within ${ms} ms`));
    setImmediate(onSilence);
  }, ms);
  try {
    return await Promise.race([answer, silence.promise]);
  } finally {
    clearTimeout(timer);
  }
}
