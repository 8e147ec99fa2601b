// The files that run Baton elsewhere (Dockerfile, compose.yaml and docs/deploy/) are true to the code. What other programs say of
// them is in slow/deploy/.
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json";
import { SETTINGS } from "../../src/settings/definitions";
import type { Env } from "../../src/settings/kinds";
import { readSettings } from "../../src/settings/read";
import { ROOT } from "../support/docs/pages";
import { startRelay } from "../support/relay/test-relay";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

const FILES = [
  "Dockerfile",
  "compose.yaml",
  ...[...new Bun.Glob("docs/deploy/*").scanSync(ROOT)]
    .filter((path) => !path.endsWith(".ts"))
    .toSorted(),
];

/** How long a relay with these settings takes to end, at most, and its workers beyond that. */
const MARGIN_MS = 5_000;
function endsWithinMs(env: Env): number {
  const { shutdownDelayMs, shutdownMs } = readSettings(env);
  return shutdownDelayMs + shutdownMs + MARGIN_MS;
}

// biome-ignore lint/suspicious/noExplicitAny: documents of any shape
type Document = any;

const compose = Bun.YAML.parse(read("compose.yaml")) as Document;
const kubernetes = Bun.YAML.parse(read("docs/deploy/kubernetes.yaml")) as Document[];
const unit = read("docs/deploy/baton.service");

/** The values of a key of the unit. */
const unitValues = (key: string): string[] =>
  [...unit.matchAll(/^(\w+)=(.*)$/gm)]
    .filter(([, name]) => name === key)
    .map(([, , to]) => to ?? "");

const ofKind = (kind: string): Document => kubernetes.find((document) => document.kind === kind);
const pod = ofKind("Deployment").spec.template.spec;
const [container] = pod.containers;

describe.each(FILES)("%s", (file) => {
  test("names settings that exist", () => {
    const variables = new Set<string>(Object.values(SETTINGS).map(({ variable }) => variable));
    for (const [name] of read(file).matchAll(/\bBATON_[A-Z]+(?:_[A-Z]+)*\b/g)) {
      expect([...variables], file).toContain(name);
    }
  });

  test("uses the version of Bun that is pinned", () => {
    for (const [, version] of read(file).matchAll(/\bbun[:@]([\d.]+\d)/g)) {
      expect(version).toBe(manifest.devDependencies["bun-types"]);
    }
  });
});

describe("the image", () => {
  const lines = read("Dockerfile").split("\n");

  test("has settings that the relay takes, once there is a key", () => {
    const env = Object.fromEntries(
      lines.flatMap((line) =>
        /^ENV (\w+)=(.*)$/.exec(line)?.slice(1, 3).length ? [line.slice(4).split("=")] : [],
      ),
    );
    expect(env).toEqual({ HOST: "0.0.0.0" });
    expect(() => readSettings(env)).toThrow("BATON_API_KEYS");
    expect(readSettings({ ...env, BATON_API_KEYS: "a-key-of-the-backend" }).host).toBe("0.0.0.0");
  });

  test("runs as another user than root, and gets what the build needs and nothing else", () => {
    expect(lines.findLast((line) => line.startsWith("USER"))).toBe("USER 65532:65532");
    const kept = [...read(".dockerignore").matchAll(/^!(\S+)$/gm)].map(([, path = ""]) => path);
    for (const path of ["docs/deploy/binary.ts", "src", "package.json", "bun.lock"])
      expect(kept).toContain(path);
    for (const path of kept) expect(existsSync(join(ROOT, path)), path).toBe(true);
    expect(read(".dockerignore")).toContain("\n*\n");
  });
});

describe("compose.yaml", () => {
  const nodes: Document[] = Object.entries<Document>(compose.services).flatMap(([name, service]) =>
    name.startsWith("baton") ? [service] : [],
  );

  test("has nodes that are given time to end", () => {
    expect(nodes).toHaveLength(2);
    for (const { stop_grace_period, environment } of nodes) {
      const env = {
        ...environment,
        BATON_API_KEYS: "key",
        BATON_PUBLIC_URL: "http://localhost:8000",
      };
      expect(stop_grace_period).toBe(`${Number.parseInt(stop_grace_period, 10)}s`);
      expect(Number.parseInt(stop_grace_period, 10) * 1_000).toBeGreaterThan(endsWithinMs(env));
    }
  });

  test("has a proxy that notices a node that ends before that refuses anybody", () => {
    const caddy = read("docs/deploy/Caddyfile");
    for (const name of Object.keys(compose.services)) {
      if (name.startsWith("baton")) expect(caddy).toContain(` ${name}:8000`);
    }
    const asked = Number(/health_interval (\d+)s/.exec(caddy)?.[1]);
    const answered = Number(/health_timeout (\d+)s/.exec(caddy)?.[1]);
    const { BATON_SHUTDOWN_DELAY_MS } = nodes[0].environment;
    expect(Number(BATON_SHUTDOWN_DELAY_MS)).toBeGreaterThan((asked + answered) * 1_000);
  });
});

describe("the unit of systemd", () => {
  test("is told the states that the relay sends, and ends only the main process", () => {
    expect(unitValues("Type")).toEqual(["notify"]);
    expect(unitValues("KillMode")).toEqual(["mixed"]);
    expect(unitValues("ExecReload")).toEqual(["/bin/kill -HUP $MAINPID"]);
  });

  test("gives the relay time to end, as many files as it can want, and a folder for SQLite", () => {
    expect(Number(unitValues("TimeoutStopSec")[0]) * 1_000).toBeGreaterThan(endsWithinMs({}));
    expect(Number(unitValues("LimitNOFILE")[0])).toBeGreaterThan(1_000_000);
    expect(unitValues("StateDirectory")).toEqual(["baton"]);
  });
});

describe("the example for Kubernetes", () => {
  const env = Object.fromEntries(
    container.env.map(({ name, value, valueFrom }: Document) => [
      name,
      value ?? ofKind("Secret").stringData[valueFrom.secretKeyRef.key],
    ]),
  );

  test("has settings that the relay takes", () => {
    const settings = readSettings({ HOST: "0.0.0.0", ...env });
    expect(settings.engine).toStartWith("redis://");
    expect(settings.metricsListen).toBe("0.0.0.0:9400");
  });

  test("gives a node time to end, after the pause before the signal", () => {
    const pauseMs = container.lifecycle.preStop.sleep.seconds * 1_000;
    const graceMs = pod.terminationGracePeriodSeconds * 1_000;
    expect(graceMs).toBeGreaterThan(pauseMs + endsWithinMs({ HOST: "0.0.0.0", ...env }));
    const { periodSeconds, failureThreshold, timeoutSeconds } = container.readinessProbe;
    expect(pauseMs).toBeGreaterThan((periodSeconds * failureThreshold + timeoutSeconds) * 1_000);
  });

  test("asks for what the relay answers without a key", async () => {
    await using relay = await startRelay({ BATON_API_KEYS: "a-key-of-the-backend" });
    for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
      const { status } = await relay.request("GET", container[probe].httpGet.path);
      expect(status, probe).toBe(200);
    }
    expect(container.livenessProbe.httpGet.path).toBe("/health/live");
  });

  test("sends clients to the port that the relay listens on", () => {
    const [{ targetPort }] = ofKind("Service").spec.ports;
    const port = container.ports.find(({ name }: Document) => name === targetPort).containerPort;
    expect(port).toBe(readSettings({}).port);
  });
});
