// Builds what `baton/client` is in the npm package, since Node runs no TypeScript there: dist/npm/client/client.js and its types.
// npm runs this before it packs.
import { rmSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const OUT = join(ROOT, "dist/npm");
const SOURCE = join(ROOT, "src/client/client.ts");

rmSync(OUT, { recursive: true, force: true });
await Bun.build({
  entrypoints: [SOURCE],
  outdir: join(OUT, "client"),
  target: "browser",
  minify: true,
});

const types = ["--declaration", "--emitDeclarationOnly", "--rootDir", "src", "--outDir", OUT];
const language = ["--ignoreConfig", "--strict", "--target", "esnext", "--module", "preserve"];
const tsc = [
  "bun",
  "x",
  "--no-install",
  "tsc",
  ...types,
  ...language,
  "--lib",
  "esnext,dom",
  "--types",
  "",
  SOURCE,
];
const { exitCode } = Bun.spawnSync(tsc, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
if (exitCode !== 0) process.exit(exitCode);

// Node's way to resolve modules, which TypeScript can be told to follow, wants the ends of names.
const declarations = Bun.file(join(OUT, "client/client.d.ts"));
await Bun.write(declarations, (await declarations.text()).replaceAll('/topics"', '/topics.js"'));
