// What JSON values of others must look like, as a TypeBox schema. Compiling all schemas took a seventh of the CPU of a start, and most
// relays need few of them, so each is compiled for the first value.
import type { Static, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import type { ValueError } from "@sinclair/typebox/errors";

export class Shape<Schema extends TSchema> {
  readonly #schema: Schema;
  #compiled: TypeCheck<Schema> | undefined;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  /** Whether the value has this shape. */
  fits(value: unknown): value is Static<Schema> {
    return (this.#compiled ?? this.#compile()).Check(value);
  }

  /** What is wrong first with a value of another shape. */
  problemOf(value: unknown): ValueError | undefined {
    return (this.#compiled ?? this.#compile()).Errors(value).First();
  }

  #compile(): TypeCheck<Schema> {
    this.#compiled = TypeCompiler.Compile(this.#schema);
    return this.#compiled;
  }
}
