// Requests that publish very many lines: how much memory they take, and what is left of them when the relay is killed.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemorySampler } from "../../support/machine/processes";
import { OpenPublish } from "../../support/relay/open-publish";
import { RelayProcess } from "../../support/relay/relay-process";

const LINES = 1_000_000;

/** A tenth of the bytes that come in and go out. */
const GROWTH_KB_MAX = 65_536;

test("a request of 1,000,000 lines is answered line by line, and takes a tenth of its size in memory", async () => {
  await using relay = await RelayProcess.start();
  using memory = new MemorySampler(relay.pid);
  const thousand = `${JSON.stringify({ topic: "many", message: "x".repeat(500) })}\n`.repeat(1_000);
  let sent = 0;
  const body = new ReadableStream<string>({
    pull(controller) {
      if (sent === LINES) return controller.close();
      sent += 1_000;
      controller.enqueue(thousand);
    },
  }).pipeThrough(new TextEncoderStream());
  const headers = { "content-type": "application/x-ndjson" };
  const answer = await fetch(`${relay.url}/publish`, { method: "POST", headers, body });
  expect(answer.status).toBe(200);
  let answers = 0;
  let last = "";
  const decoder = new TextDecoder();
  for await (const bytes of answer.body as ReadableStream<Uint8Array>) {
    const lines = (last + decoder.decode(bytes, { stream: true })).split("\n");
    last = lines.pop() ?? "";
    for (const line of lines) if (JSON.parse(line).offset !== ++answers) throw new Error(line);
  }
  expect(answers).toBe(LINES);
  expect(memory.growthKb).toBeLessThan(GROWTH_KB_MAX);
  expect(relay.loggedErrors).toEqual([]);
});

test("nothing that was answered is lost when the relay is killed among the lines of a request", async () => {
  const folder = mkdtempSync(join(tmpdir(), "baton-"));
  const env = { BATON_ENGINE: `sqlite:${folder}/baton.db`, BATON_HISTORY_SIZE: "100000" };
  try {
    let answered = 0;
    {
      await using relay = await RelayProcess.start(env);
      const open = await OpenPublish.open(relay.port);
      const lines = `${JSON.stringify({ topic: "killed", message: "m" })}\n`.repeat(500);
      for (let i = 0; i < 20; i++) open.send(lines);
      while (answered < 2_000) answered = (await open.next()).offset;
      relay.signal("SIGKILL");
      await relay.exited;
      open.raw.drop();
    }
    await using again = await RelayProcess.start(env);
    const { publications } = await again.wholeHistory("killed");
    expect(publications.length).toBeGreaterThanOrEqual(answered);
    expect(publications.map(({ offset }) => offset)).toEqual(publications.map((_, i) => i + 1));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
