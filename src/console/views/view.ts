// What every view of the console is.

export interface View {
  readonly title: string;
  readonly element: HTMLElement;
  /** It is shown from now on; `words` are those after its name in the address. */
  show?(words: URLSearchParams): void;
  /** Another one is shown from now on. */
  hide?(): void;
}

/** Does the work at once and then again and again, each time when the last one is done, until it is stopped. */
export function repeating(
  work: () => Promise<void>,
  everyMs: number,
): { start(): void; stop(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOn = false;
  const run = async () => {
    await work();
    if (isOn) timer = setTimeout(run, everyMs);
  };
  return {
    start() {
      if (isOn) return;
      isOn = true;
      run();
    },
    stop() {
      isOn = false;
      clearTimeout(timer);
    },
  };
}
