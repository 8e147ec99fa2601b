// The receiver in Python of docs/hooks.md, with the package from PyPI, is told what happens and refuses what is not signed.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { example } from "../../support/docs/pages";
import { newSecret } from "../../support/hooks/webhook-backend";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { PythonProgram } from "../../support/machine/python-program";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

test("the receiver in Python of docs/hooks.md prints what happens, also with two secrets, and refuses what is not signed", async () => {
  using folder = new Folder();
  const port = String(freePort());
  const url = `http://127.0.0.1:${port}/`;
  const file = `${folder.path}/receiver.py`;
  const secret = newSecret();
  writeFileSync(file, example("docs/hooks.md", "receiver.py").replace("9000", port));
  const lines: string[] = [];
  await using _program = new PythonProgram([file], (line) => void lines.push(line), {
    BATON_WEBHOOK_SECRETS: secret,
  });
  await using relay = await startRelay({
    BATON_WEBHOOKS: `${url} types=topic.occupied`,
    BATON_WEBHOOK_SECRETS: `${newSecret()},${secret}`,
    BATON_WEBHOOKS_PRIVATE: "1",
    BATON_DEFAULT_TOPICS: "-",
  });
  await relay.connect(1, ["orders:ü"]);
  await until("the line", () => lines.length > 0);
  expect(lines[0]).toMatch(/^evt_[\da-f]{32} topic\.occupied \{'topic': 'orders:ü'\}$/);
  expect((await fetch(url, { method: "POST", body: '{"events":[]}' })).status).toBe(401);
});
