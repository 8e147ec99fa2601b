// What the checkers of their formats say of the Dockerfile, compose.yaml and the example for Kubernetes.
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/docs/pages";
import { Folder } from "../../support/machine/folder";

const CHECKS = [
  ["Dockerfile", ["hadolint"], ["FROM oven/bun:1.4.4-slim AS build", "FROM oven/bun AS build"]],
  [
    "docs/deploy/kubernetes.yaml",
    ["kubernetes-validate", "--strict"],
    ["periodSeconds", "seconds"],
  ],
  [
    "compose.yaml",
    ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"],
    ["stop_grace_period", "grace_period"],
  ],
] as const;

test.each(CHECKS)(
  "%s is valid, and would not be with a mistake in it",
  (file, command, [right, mistake]) => {
    using folder = new Folder();
    const check = (path: string) => {
      const [name, ...args] = command;
      const program = join(ROOT, ".venv/bin", name);
      const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...args, path]);
      return [exitCode, `${stdout}${stderr}`] as const;
    };
    const [code, said] = check(join(ROOT, file));
    expect(code, said).toBe(0);
    const wrong = join(folder.path, file.replaceAll("/", "-"));
    const text = readFileSync(join(ROOT, file), "utf8");
    expect(text).toContain(right);
    writeFileSync(wrong, text.replaceAll(right, mistake));
    expect(check(wrong)[0]).not.toBe(0);
  },
);
