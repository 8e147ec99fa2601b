// Builds what the npm package has besides the source, in dist/npm: `baton/client` as JavaScript, since Node runs no TypeScript there, and
// the declarations of both `baton` and `baton/client`, since whoever has the source instead checks it with settings of its own.
// npm runs this before it packs.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const OUT = join(ROOT, "dist/npm");
const CLIENT = join(ROOT, "src/client/client.ts");

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
await Bun.build({
  entrypoints: [CLIENT],
  outdir: join(OUT, "client"),
  target: "browser",
  minify: true,
});

const all = mkdtempSync(join(tmpdir(), "baton-types-"));
try {
  // Of the client, with what browsers have and without Bun's types.
  const browser = ["--strict", "--target", "esnext", "--module", "preserve"];
  declare(["--ignoreConfig", ...browser, "--lib", "esnext,dom", "--types", "", CLIENT]);
  declare(["--project", join(import.meta.dir, "package.tsconfig.json")]);
  await keep(join(all, "client/client.d.ts"));
  await keep(join(all, "library/index.d.ts"));
} finally {
  rmSync(all, { recursive: true });
}

/** Writes all declarations that a program needs. */
function declare(program: readonly string[]): void {
  const types = ["--declaration", "--emitDeclarationOnly", "--outDir", all];
  const tsc = ["bun", "x", "--no-install", "tsc", "--rootDir", "src", ...types, ...program];
  const { exitCode } = Bun.spawnSync(tsc, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  if (exitCode !== 0) process.exit(exitCode);
}

/** Keeps a file of declarations and those that it imports. Node's way to resolve modules wants the ends of names. */
async function keep(file: string): Promise<void> {
  const target = join(OUT, relative(all, file));
  if (await Bun.file(target).exists()) return;
  const text = await Bun.file(file).text();
  await Bun.write(target, text.replaceAll(/(from ")(\.[^"]+)"/g, '$1$2.js"'));
  for (const [, path = ""] of text.matchAll(/from "(\.[^"]+)"/g)) {
    await keep(join(file, "..", `${path}.d.ts`));
  }
}
