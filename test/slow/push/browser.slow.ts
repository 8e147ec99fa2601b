// The site of docs/push.md, word by word, in Debian's Chromium: its page registers a device, a push of the relay reaches it through a
// push service of the tests' own, and its service worker shows it. Only that the browser's own service carries it is left out: it is
// in somebody else's hands, so what the service has decrypted is handed to the browser by its debugging protocol.
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { openChromium } from "../../support/browser/chromium";
import { example } from "../../support/docs/pages";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { PUSH_ENV } from "../../support/push/push-relay";
import { PushService } from "../../support/push/push-service";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const PAGE = "docs/push.md";

/** Started with Node, as the page says. */
async function startSite(
  folder: Folder,
  relay: string,
): Promise<{ url: string; stop: () => Promise<void> }> {
  for (const name of ["app.mjs", "page.html", "worker.js"]) {
    await Bun.write(join(folder.path, name), example(PAGE, name));
  }
  const port = await freePort();
  const { PATH = "" } = process.env;
  const site = Bun.spawn(["node", "app.mjs"], {
    cwd: folder.path,
    env: { ...PUSH_ENV, PATH, RELAY: relay, PORT: String(port), API_KEY: "" },
    stdout: "ignore",
    stderr: "inherit",
  });
  const url = `http://localhost:${port}`;
  await until("the site", async () => (await fetch(url).catch(() => undefined))?.ok === true);
  const stop = async () => {
    site.kill();
    await site.exited;
  };
  return { url, stop };
}

/** Hands a push to the page's service worker as Chromium's push service does. */
async function deliverer(page: Page, origin: string): Promise<(data: string) => Promise<unknown>> {
  const devtools = await page.context().newCDPSession(page);
  let id: string | undefined;
  devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
    id = registrations.find(({ scopeURL }) => scopeURL.startsWith(origin))?.registrationId ?? id;
  });
  await devtools.send("ServiceWorker.enable");
  return async (data) => {
    await until("the service worker", () => id !== undefined);
    const registrationId = id as string;
    await devtools.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data });
  };
}

interface Shown {
  readonly title: string;
  readonly body: string;
  readonly tag: string;
  readonly url: string;
}

/** The notifications of the page's site. */
function shown(page: Page): Promise<Shown[]> {
  return page.evaluate(`navigator.serviceWorker.ready.then(async (registration) =>
    (await registration.getNotifications()).map(({ title, body, tag, data }) =>
      ({ title, body, tag, url: data.url })))`);
}

/**
 * For a page whose browser cannot reach its own push service: it subscribes at the tests' service. Like Chromium, it refuses a page
 * that does not promise to show what comes.
 */
function subscribed(subscription: object): string {
  return `PushManager.prototype.getSubscription = async () => null;
    PushManager.prototype.subscribe = async ({ userVisibleOnly }) => {
      if (userVisibleOnly !== true) throw new Error("refused");
      return { toJSON: () => (${JSON.stringify(subscription)}) };
    };`;
}

test("the site of docs/push.md registers a device, shows what is pushed to it, and takes it away when it is opened again", async () => {
  using folder = new Folder();
  await using service = new PushService();
  await using relay = await startRelay(PUSH_ENV);
  const site = await startSite(folder, relay.url);
  const browser = await openChromium();
  try {
    const context = await browser.newContext();
    await context.grantPermissions(["notifications"], { origin: site.url });
    const page = await context.newPage();
    await page.addInitScript(subscribed(service.subscription("chromium")));
    await page.goto(site.url);
    await page.click("#ask");
    await page.getByText("You will be told.").waitFor();
    const { json } = await relay.request("GET", "/users/alice/devices");
    expect(json.devices).toHaveLength(1);

    const push = { title: "Bob", body: "See you?", url: "/chat/bob" };
    await relay.post("/publish", { topic: "chat", message: "hi", user_id: "alice", push });
    const [taken] = await service.taken("chromium");
    const deliver = await deliverer(page, site.url);
    await deliver(JSON.stringify(taken?.data));
    await until("the notification", async () => (await shown(page)).length === 1);
    const [one] = await shown(page);
    expect(one).toEqual({ title: "Bob", body: "See you?", tag: "chat", url: "/chat/bob" });

    await page.reload();
    await until("the end of the notification", async () => (await shown(page)).length === 0);
    expect((await relay.request("GET", "/users/alice/devices")).json.devices).toHaveLength(1);
  } finally {
    await browser.close();
    await site.stop();
  }
});
