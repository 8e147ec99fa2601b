// What the scale run found out: printed and written line by line, so that a later failure loses nothing.
import { describeMachine } from "../measure/machine";

export class Findings {
  readonly #file: string;
  readonly #rows: Record<string, string> = {};

  constructor(file: string) {
    this.#file = file;
  }

  async add(name: string, value: string): Promise<void> {
    this.#rows[name] = value;
    process.stdout.write(`| ${name.padEnd(76)} | ${value} |\n`);
    const text = JSON.stringify({ machine: describeMachine(), ...this.#rows }, null, 2);
    await Bun.write(this.#file, `${text}\n`);
  }
}
