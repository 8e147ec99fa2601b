// Builds Baton as one file that needs nothing else installed: `bun run build` for this machine, as dist/baton, or
// `bun run build linux-arm64-musl …` for others, as dist/baton-linux-arm64-musl. The same source gives the same file.
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import type { BunPlugin } from "bun";

const ROOT = join(import.meta.dir, "../..");

/** What --all builds. Bun has more, which can be named: https://bun.com/docs/bundler/executables */
const TARGETS = ["linux-x64", "linux-arm64", "linux-x64-musl", "linux-arm64-musl"] as const;

/** The commit that is built, marked where files differ from it. Where there is no git, REVISION may say it. */
function revisionOf(): string {
  const { REVISION } = process.env;
  if (REVISION !== undefined) return REVISION;
  const command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"];
  try {
    return Bun.spawnSync(command, { cwd: ROOT, stderr: "ignore" }).stdout.toString().trim();
  } catch {
    return "";
  }
}

/** The client for Kafka reads a file of its own package at its start. The package has a twin with that inside. */
const WASM_INSIDE: BunPlugin = {
  name: "wasm-inside",
  setup(build) {
    build.onResolve({ filter: /^@platformatic\/wasm-utils$/ }, ({ path, importer }) => ({
      path: Bun.resolveSync(`${path}/bundled`, dirname(importer)),
    }));
  },
};

/** Builds one file, for this machine where there is no target. Bun gets the runtime of another one from npm. */
async function build(target: string | undefined, outfile: string): Promise<void> {
  const start = performance.now();
  await Bun.build({
    entrypoints: [join(ROOT, "src/baton.ts")],
    compile: {
      ...(target !== undefined && { target: `bun-${target}` as Bun.Build.CompileTarget }),
      outfile,
      // The binary is started in folders of other programs, whose files would change what it does.
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
    define: { BATON_REVISION: JSON.stringify(revisionOf()) },
    plugins: [WASM_INSIDE],
    format: "esm",
    minify: true,
    bytecode: true,
  });
  const megabytes = Math.round(Bun.file(outfile).size / 1e6);
  console.log(`${outfile}: ${megabytes} MB, ${Math.round(performance.now() - start)} ms`);
}

const { values, positionals } = parseArgs({
  options: { all: { type: "boolean" }, outdir: { type: "string", default: join(ROOT, "dist") } },
  allowPositionals: true,
});
const targets = values.all ? TARGETS : positionals;
if (targets.length === 0) await build(undefined, join(values.outdir, "baton"));
for (const target of targets) await build(target, join(values.outdir, `baton-${target}`));
