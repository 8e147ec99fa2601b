// How a command ends when it cannot do what it was asked.

/** The exit codes of all commands; docs/command-line.md has them too. Ctrl-C gives 130, as with any program. */
export const EXIT = { done: 0, failed: 1, misused: 2, unreachable: 3 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The message is the sentence that the user sees. */
export class CommandFailure extends Error {
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
