// Builds the programs in other languages that tests run. What takes long stays in node_modules/.cache, for the other files of tests and the
// next run; Go keeps a cache of its own.
import { join } from "node:path";
import { ROOT } from "../docs/pages";

const CACHE = join(ROOT, "node_modules/.cache");

/** Whether all of these are on this machine. */
export function hasTools(tools: readonly string[]): boolean {
  return tools.every((tool) => Bun.which(tool) !== null);
}

/** Builds a program of test/go, by default the one at its root, into a folder. Returns the command that runs it. */
export async function buildGo(folder: string, name = ""): Promise<readonly string[]> {
  const path = join(folder, name === "" ? "libraries" : name);
  await outputOf(["go", "build", "-o", path, `./${name}`], join(ROOT, "test/go"));
  return [path];
}

/** Builds a program of test/java into a folder. Returns the command that runs it. */
export async function buildJava(folder: string, name: string): Promise<readonly string[]> {
  const [libraries, classes] = [await javaLibraries(), join(folder, "classes")];
  const compile = ["javac", "-cp", `${libraries}/*`, "-d", classes, `${name}.java`];
  await outputOf(compile, JAVA);
  return ["java", "-cp", `${classes}:${libraries}/*`, name];
}

const JAVA = join(ROOT, "test/java");

/** The folder of what test/java/pom.xml names. */
async function javaLibraries(): Promise<string> {
  const pom = await Bun.file(join(JAVA, "pom.xml")).text();
  const folder = join(CACHE, `java-${Bun.hash(pom).toString(36)}`);
  const isWhole = Bun.file(join(folder, "whole"));
  if (!(await isWhole.exists())) {
    await outputOf(
      ["mvn", "-q", "-B", "dependency:copy-dependencies", `-DoutputDirectory=${folder}`],
      JAVA,
    );
    await isWhole.write("");
  }
  return folder;
}

/** Builds the programs of test/rust. Returns the command that runs one of them. */
export async function buildRust(name: string): Promise<readonly string[]> {
  const target = join(CACHE, "rust");
  await outputOf(["cargo", "build", "--locked", "--target-dir", target], join(ROOT, "test/rust"));
  return [join(target, "debug", name)];
}

/** Runs a command. Resolves with what it prints; rejects, with all of that, when it fails. `variables` are added to the environment. */
export async function outputOf(
  command: readonly string[],
  cwd: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<string> {
  const env = { ...process.env, ...variables };
  const child = Bun.spawn([...command], { cwd, env, stdout: "pipe", stderr: "pipe" });
  const outputs = [child.stdout, child.stderr].map((output) => new Response(output).text());
  const [printed = "", errors = ""] = await Promise.all(outputs);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${printed}\n${errors}`);
  return printed.trim();
}
