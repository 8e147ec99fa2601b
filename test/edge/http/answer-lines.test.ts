// Answers to published lines are the JSON of each, whatever came before it.
import { expect, test } from "bun:test";
import { AnswerLines } from "../../../src/edge/http/answer-lines";
import type { Published } from "../../../src/relay/contracts/publication";

test("answers that are alike but for their offset, and others between them, stay in order and are the JSON of each", () => {
  const answers: (Published | string)[] = [
    { delivered: 1, offset: 1, epoch: "abcdefgh" },
    { delivered: 1, offset: 2, epoch: "abcdefgh" },
    { delivered: 2, offset: 3, epoch: "abcdefgh" },
    '{"error":{"code":"invalid_topic"},"line":4}',
    { delivered: 2, offset: 9_007_199_254_740_991, epoch: "abcdefgh" },
    { delivered: 2, offset: 1, epoch: 'other "epoch"' },
    { delivered: 2 },
    { delivered: 2, offset: 2, epoch: 'other "epoch"' },
    { delivered: 0, scope: "node", offset: 3, epoch: "abcdefgh" },
    { delivered: 0, offset: 4, epoch: "abcdefgh" },
  ];
  const lines = new AnswerLines();
  expect(lines.take()).toBe("");
  for (let i = 0; i < 2; i++) {
    for (const answer of answers) {
      if (typeof answer === "string") lines.addText(`${answer}\n`);
      else lines.addPublished(answer);
    }
    const json = answers.map((answer) =>
      typeof answer === "string" ? answer : JSON.stringify(answer),
    );
    expect(lines.take()).toBe(`${json.join("\n")}\n`);
  }
});
