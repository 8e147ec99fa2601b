// Opens a source once, as a relay does at its start.
import { sourcesIn } from "../../../src/sources/declarations";
import { SOURCE_KINDS } from "../../../src/sources/index";

/** What comes of it: "opened", or why not. */
export async function opened(source: {
  readonly kind: string;
  readonly [field: string]: unknown;
}): Promise<string> {
  const [declaration] = sourcesIn({ a: source }, () => undefined);
  const context = {
    name: "a",
    bodyBytesMax: 1_000,
    warn: () => {},
    lost: () => {},
    lastPosition: async () => undefined,
    donePosition: async () => undefined,
    keepDone: async () => {},
  };
  try {
    const reader = await SOURCE_KINDS[source.kind]?.open(declaration?.options as never, context);
    await reader?.close();
    return "opened";
  } catch (error) {
    return (error as Error).message;
  }
}
