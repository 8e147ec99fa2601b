// The programs of docs/push.md that send what nobody got, word by word, with Node: a mail through Debian's exim, and an SMS through a server
// that takes what Twilio's API takes.
import { expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { example, ROOT } from "../../support/docs/pages";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { MailServer } from "../../support/push/mail-server";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const PAGE = "docs/push.md";
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq=";

/** A folder with the examples and the packages that they import. */
async function programs(): Promise<Folder> {
  const folder = new Folder();
  symlinkSync(join(ROOT, "node_modules"), join(folder.path, "node_modules"));
  for (const name of ["mail.mjs", "sms.mjs"]) {
    await Bun.write(join(folder.path, name), example(PAGE, name));
  }
  return folder;
}

function node(folder: Folder, args: readonly string[], env: Record<string, string>) {
  const { PATH = "" } = process.env;
  return Bun.spawn(["node", ...args], { cwd: folder.path, env: { PATH, ...env }, stdout: "pipe" });
}

test("what nobody got becomes a mail in Debian's mail server, also after that was away, and is sent once", async () => {
  using folder = await programs();
  await using server = await MailServer.start();
  const port = freePort();
  await using relay = await startRelay({
    BATON_WEBHOOKS: `http://127.0.0.1:${port} types=publication.undelivered`,
    BATON_WEBHOOK_SECRETS: SECRET,
    BATON_WEBHOOKS_PRIVATE: "1",
    BATON_PUSH_AFTER_MS: "100",
  });
  const publish = (user: string, title: string) => {
    const push = { title, body: "See you at noon?", url: "/chat/bob" };
    return relay.post("/publish", { topic: "chat", message: "hi", user_id: user, push });
  };
  // Nobody listens there yet.
  await publish("alice", "Bob");
  await until("the failure", () => relay.log.some((line) => line.includes(`${port}`)));
  const env = { BATON_WEBHOOK_SECRETS: SECRET, SMTP_URL: `smtp://127.0.0.1:${server.port}` };
  const backend = node(folder, ["mail.mjs"], { ...env, PORT: String(port) });
  try {
    await until("the mail", async () => (await server.mails()).length === 1);
    const [mail] = await server.mails();
    expect(mail).toContain("Subject: Bob");
    expect(mail).toMatch(/To: alice@example\.com/);
    expect(mail).toContain("See you at noon?");
    const client = await relay.connect("carol", ["chat"]);
    await publish("carol", "not sent");
    await client.next();
    await publish("dave", "last");
    await until("the last mail", async () => (await server.mails()).length === 2);
    expect((await server.mails()).join()).not.toContain("not sent");
  } finally {
    backend.kill();
    await backend.exited;
  }
});

test("the example for an API like Twilio's sends what that takes, and fails when it refuses", async () => {
  using folder = await programs();
  const taken: Record<string, string>[] = [];
  await using api = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      const isKnown = request.headers.get("authorization") === `Basic ${btoa("AC1:token")}`;
      if (!isKnown) return Response.json({ code: 20_003 }, { status: 401 });
      if (pathname !== "/2010-04-01/Accounts/AC1/Messages.json")
        return new Response("", { status: 404 });
      const message = Object.fromEntries(new URLSearchParams(await request.text()));
      if (message.To === "nobody") return Response.json({ code: 21_211 }, { status: 400 });
      taken.push(message);
      return Response.json({ sid: "SM1", status: "queued" }, { status: 201 });
    },
  });
  const event = { data: { user_id: "alice", push: { title: "Bob", body: "See you?" } } };
  const script = `import { send } from "./sms.mjs";
    const event = ${JSON.stringify(event)};
    await send(event, () => "+491701234567");
    await send(event, () => "nobody").then(() => process.exit(2), () => {});`;
  const env = { SMS_API: api.url.origin, SMS_ACCOUNT: "AC1", SMS_TOKEN: "token" };
  expect(await node(folder, ["--input-type=module", "-e", script], env).exited).toBe(0);
  expect(taken).toEqual([{ To: "+491701234567", From: "+15005550006", Body: "Bob: See you?" }]);
});
