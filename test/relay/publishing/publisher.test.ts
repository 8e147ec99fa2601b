// Publications while the engine cannot keep up. Row E4 of the fault catalogue.
import { expect, test } from "bun:test";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { Published } from "../../../src/relay/contracts/publication";
import { Journal } from "../../../src/relay/journal/journal";
import { Publisher } from "../../../src/relay/publishing/publisher";
import { Connections } from "../../../src/relay/state/connections";
import { AsyncEngine } from "../../support/engines/async-engine";
import { engineOptions, LIMITS, NOBODY, OPEN } from "../../support/relay/simulation";

test("E4: publications wait for the engine up to BATON_PENDING_BYTES, are refused beyond it, and accepted again when it has caught up", async () => {
  const waiting: (() => void)[] = [];
  const engine = new AsyncEngine(
    engineOptions(),
    () => new Promise((resolve) => waiting.push(resolve)),
  );
  engine.start(NOBODY);
  const limits = { ...LIMITS, pendingBytes: 100_000 };
  const publisher = new Publisher(
    { engine, limits, rules: OPEN.rules, tally: OPEN.tally },
    new Connections({ engine, limits, tally: OPEN.tally }, { flush() {} }, new Journal(0, () => 0)),
  );
  const publish = () => publisher.publish({ topic: "t", message: "x".repeat(1_000) });
  const taken: Promise<Published | Refusal>[] = [];
  let refused: Refusal | undefined;
  while (refused === undefined) {
    const answer = publish();
    if (answer instanceof Refusal) refused = answer;
    else taken.push(answer as Promise<Published | Refusal>);
  }
  expect(refused).toMatchObject({ code: "too_many_publications" });
  // Each counts as 2,512 bytes.
  expect(taken).toHaveLength(40);
  waiting.shift()?.();
  expect(await taken.shift()).toMatchObject({ offset: 1 });
  taken.push(publish() as Promise<Published | Refusal>);
  expect(publish()).toBeInstanceOf(Refusal);
  for (const go of waiting) go();
  for (const [i, answer] of (await Promise.all(taken)).entries()) {
    expect(answer).toMatchObject({ offset: i + 2 });
  }
});
