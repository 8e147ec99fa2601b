// What a program prints.

/** Hands on the text of a stream as it comes. Resolves when the stream has ended. */
export async function readText(
  stream: ReadableStream<Uint8Array>,
  add: (part: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) add(decoder.decode(bytes, { stream: true }));
}
