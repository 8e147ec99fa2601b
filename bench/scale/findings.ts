// What the scale run found out: printed and written line by line, so that a later failure loses nothing.
import { join } from "node:path";
import { describeMachine } from "../measure/machine";

export class Findings {
  readonly #rows: Record<string, string> = {};

  async add(name: string, value: string): Promise<void> {
    this.#rows[name] = value;
    process.stdout.write(`| ${name.padEnd(76)} | ${value} |\n`);
    const text = JSON.stringify({ machine: describeMachine(), ...this.#rows }, null, 2);
    await Bun.write(join(import.meta.dir, "../results/scale.json"), `${text}\n`);
  }
}
