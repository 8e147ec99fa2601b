#!/usr/bin/env bun
// The command `baton`, of the package and of the binary: starts a relay, or does one thing and ends. A command loads nothing of a relay,
// and a relay nothing of the commands.
import { argv } from "node:process";

const args = argv.slice(2);

async function serve(): Promise<void> {
  const { main } = await import("./main");
  await main();
}

// A supervisor starts its workers with "worker" as the first argument.
if (args.length === 0 || args[0] === "worker") await serve();
else {
  const { runCommand } = await import("./cli");
  const { readSettings } = await import("./settings/read");
  const code = await runCommand(args, { settings: () => readSettings(process.env), serve });
  if (code !== undefined) process.exit(code);
}
