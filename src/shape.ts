// What JSON values of others must look like, as a TypeBox schema. Compiling all schemas took a seventh of the CPU of a start, and most
// relays need few of them, so each is compiled for the first value that is checked.
import type { Static, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import { Errors, type ValueError } from "@sinclair/typebox/errors";

export class Shape<Schema extends TSchema> {
  readonly #schema: Schema;
  #compiled: TypeCheck<Schema> | undefined;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  /** Whether the value has this shape. */
  fits(value: unknown): value is Static<Schema> {
    this.#compiled ??= TypeCompiler.Compile(this.#schema);
    return this.#compiled.Check(value);
  }

  /** What is wrong first with a value of another shape. */
  problemOf(value: unknown): ValueError | undefined {
    return Errors(this.#schema, value).First();
  }
}
