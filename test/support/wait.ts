// Waiting without sleeping: for an event, or until a condition is met. A deadline turns a hang into a sentence.

/** So long that a slow or busy machine does not exceed it; shorter than `bun run test` allows a test, so that the sentence is seen. */
export const DEADLINE_MS = 60_000;

/** Resolves with the event, or rejects with a sentence when it does not come in time. */
export async function within<Value>(
  what: string,
  event: Promise<Value>,
  deadlineMs = DEADLINE_MS,
): Promise<Value> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`waited ${deadlineMs} ms in vain for ${what}`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([event, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves as soon as the condition is met, which is checked every few milliseconds. A check that hangs is cut off too. */
export async function until(
  what: string,
  isMet: () => boolean | Promise<boolean>,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  let isOver = false;
  const met = async () => {
    while (!(isOver || (await isMet()))) await Bun.sleep(2);
  };
  try {
    await within(what, met(), deadlineMs);
  } finally {
    isOver = true;
  }
}
