// What systemd is told about a relay that a unit with Type=notify has started.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { Systemd } from "../../../src/workers/system/systemd";
import { DatagramSocket, monotonicUs } from "../../support/machine/datagrams";
import { Folder } from "../../support/machine/folder";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const SETTINGS = { BATON_SHUTDOWN_DELAY_MS: "10", BATON_SHUTDOWN_MS: "50" };

test.concurrent.each([
  [1, "path"],
  [2, "abstract name"],
])(
  "a relay with %i processes says that it is ready, reloads and ends, at a socket with a %s",
  async (workers, kind) => {
    using folder = new Folder();
    const address = kind === "path" ? join(folder.path, "notify") : `@${folder.path}`;
    using systemd = new DatagramSocket(address);
    await using relay = new RelayProcess({
      ...SETTINGS,
      NOTIFY_SOCKET: address,
      BATON_WORKERS: String(workers),
    });
    const ready = await systemd.next();
    const [, url = ""] = /^READY=1\nSTATUS=Baton listens on (\S+)$/.exec(ready) ?? [];
    expect(await (await fetch(`${url}/health/ready`)).text()).toBe("ok");
    for (let round = 0; round < 2; round++) {
      const before = monotonicUs();
      relay.signal("SIGHUP");
      const reloading = await systemd.next();
      const [, us] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading) ?? [];
      expect(Number(us)).toBeGreaterThanOrEqual(before);
      expect(Number(us)).toBeLessThanOrEqual(monotonicUs());
      expect(await systemd.next()).toBe("READY=1");
    }
    relay.signal("SIGTERM");
    expect(await systemd.next()).toBe("STOPPING=1\nEXTEND_TIMEOUT_USEC=15060000");
    expect(await relay.exited).toBe(0);
    expect(systemd.take()).toBeUndefined();
  },
  120_000,
);

test.concurrent("a relay that systemd watches says again and again that it runs", async () => {
  using folder = new Folder();
  const address = join(folder.path, "notify");
  using systemd = new DatagramSocket(address);
  await using relay = new RelayProcess({ NOTIFY_SOCKET: address, WATCHDOG_USEC: "20000" });
  expect(await systemd.next()).toStartWith("READY=1");
  for (let i = 0; i < 3; i++) expect(await systemd.next()).toBe("WATCHDOG=1");
  relay.signal("SIGKILL");
  await relay.exited;
});

test.concurrent.each([
  ["nobody listens there", "/nowhere/notify"],
  ["it is no address of datagrams", "vsock:2:1234"],
  ["it is too long", `/${"x".repeat(200)}`],
])("a relay serves also where systemd cannot be told: %s", async (_, address) => {
  await using relay = await RelayProcess.start({ NOTIFY_SOCKET: address });
  expect((await fetch(`${relay.url}/health/ready`)).status).toBe(200);
  await until("the warning", () => relay.output.includes("systemd could not be told"));
  relay.signal("SIGTERM");
  expect(await relay.exited).toBe(0);
});

test("where nobody has asked, nothing is sent and nothing is loaded", () => {
  const failures: unknown[] = [];
  const systemd = new Systemd({ env: {}, onFailure: (error) => failures.push(error) });
  systemd.started("");
  systemd.reloading();
  systemd.reloaded();
  systemd.stopping(1);
  expect(failures).toEqual([]);
});
