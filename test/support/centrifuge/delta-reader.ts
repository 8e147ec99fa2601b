// Reads publications as an SDK does that takes deltas, with the npm package fossil-delta.
import { applyDelta } from "fossil-delta";

interface Publication {
  readonly data: unknown;
  readonly delta?: boolean;
}

export class DeltaReader {
  readonly #form: "json" | "protobuf";
  /** The payload of the publication before. */
  #base: Uint8Array | undefined;
  patches = 0;

  constructor(form: "json" | "protobuf") {
    this.#form = form;
  }

  /** The data that was published. Throws where a patch does not fit the publication before. */
  read({ data, delta = false }: Publication): unknown {
    if (delta) {
      this.patches++;
      const patch = new TextEncoder().encode(data as string);
      this.#base = applyDelta(this.#base as Uint8Array, patch) as Uint8Array;
    } else {
      const text = this.#form === "json" ? (data as string) : JSON.stringify(data);
      this.#base = new TextEncoder().encode(text);
    }
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(this.#base));
  }
}
