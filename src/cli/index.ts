// The command line: what `baton` can do, its flags and its help. It loads no part of a relay; `serve` is handed over.
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { Settings } from "../settings/definitions";
import { SettingError } from "../settings/kinds";
import { revision, version } from "../version";
import { BENCH_MAX, type BenchFlags, bench, SIZE_MIN } from "./bench/bench";
import { type CheckFlags, check } from "./check";
import { completionScript, completions, SHELLS, type Shell } from "./completion";
import { type ExplainFlags, explain } from "./explain";
import { CommandFailure, EXIT, type ExitCode } from "./failure";
import { health } from "./health";
import { type TokenFlags, token } from "./keys/token";
import { type VapidFlags, vapid } from "./keys/vapid";
import { note, print, ReaderGone } from "./output";
import { type PublishFlags, publishLines, publishOne } from "./publish";
import { type RelayFlags, RemoteRelay } from "./remote-relay";
import { ddl } from "./sources/ddl";
import { type SubscribeFlags, subscribe } from "./subscribe";

const COUNT_MAX = Number.MAX_SAFE_INTEGER;

/** What commands need of the process. */
export interface CommandParts {
  /** Throws SettingError. */
  readonly settings: () => Settings;
  /** Runs a relay in this process, which goes on when it resolves. */
  readonly serve: () => Promise<void>;
}

const CODES = `
Exit codes: 0 done, 1 it failed or was refused, 2 the command or a setting is wrong, 3 no relay was reached.
Settings are environment variables; docs/reference.md in Baton's repository lists them.`;

/** Resolves with the exit code, or with nothing where a relay now runs. */
export async function runCommand(
  args: readonly string[],
  parts: CommandParts,
): Promise<ExitCode | undefined> {
  let isServing = false;
  const serve = async () => {
    isServing = true;
    await parts.serve();
  };
  try {
    await program({ ...parts, serve }).parseAsync(args, { from: "user" });
    return isServing ? undefined : EXIT.done;
  } catch (error) {
    return exitCodeOf(error);
  }
}

/** Says what went wrong. Faults are thrown on. */
function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof ReaderGone) return EXIT.done;
  // Commander has said what it is, on standard error, or shown its help.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.misused;
  if (error instanceof CommandFailure || error instanceof SettingError) {
    note(`baton: ${error.message}\n`);
    return error instanceof CommandFailure ? error.exitCode : EXIT.misused;
  }
  throw error;
}

function program({ settings, serve }: CommandParts): Command {
  const baton = new Command("baton")
    .description("Baton, a message relay. Without a command, `baton` is `baton serve`.")
    .version(versionLine(), "-V, --version", "print the version")
    .helpCommand("help [command]", "show the help of a command")
    .showHelpAfterError("Add --help to see what it takes.")
    .configureOutput({
      writeOut: (text) => print(text.trimEnd()),
      writeErr: note,
      outputError: (text, write) => write(errorText(text)),
    })
    .addHelpText("after", CODES)
    .exitOverride();
  const relay = (flags: RelayFlags) => new RemoteRelay(settings(), flags);
  baton
    .command("serve")
    .description("start a relay, with the settings of the environment")
    .addHelpText(
      "after",
      examples("HOST=0.0.0.0 BATON_API_KEYS_FILE=/run/secrets/keys baton serve"),
    )
    .action(serve);
  addPublish(baton, relay);
  addSubscribe(baton, relay);
  addExplain(baton, relay);
  addKeys(baton, settings);
  baton
    .command("check")
    .description("say what is wrong or unsafe in the settings, without a start")
    .option("--strict", "fail also where a start would only warn")
    .option("--json", "print a JSON object")
    .addHelpText(
      "after",
      examples("baton check && systemctl restart baton", "baton check --strict"),
    )
    .action((flags: CheckFlags) => check(settings, flags));
  addSources(baton);
  calling(baton.command("health"))
    .description("ask a relay whether it is ready: exit code 0 or 1, for health checks")
    .addHelpText("after", examples("baton health", "baton health --url http://10.0.0.5:8000"))
    .action((flags: RelayFlags) => health(relay(flags)));
  addBench(baton, relay);
  addCompletion(baton);
  return baton;
}

/** Of what commander says. It takes whatever begins with - for a flag, also a message that a script puts there. */
function errorText(text: string): string {
  const named = text.replace(/^error: /, "baton: ");
  const mayBeText = named.startsWith("baton: unknown option") && !named.includes("Did you mean");
  return mayBeText ? `${named}Write -- before a topic or message that begins with -.\n` : named;
}

type RelayOf = (flags: RelayFlags) => RemoteRelay;

function addPublish(baton: Command, relay: RelayOf): void {
  calling(baton.command("publish"))
    .description(
      "publish a message; without one, publish each line of standard input, and without a topic too, each line as the JSON of a publication",
    )
    .argument("[topic]", "the topic")
    .argument("[message]", "the message")
    .option("--user <user>", "publish to the connections of this user alone")
    .option("--data", "the message, or each line, is JSON")
    .option("--idempotency-key <key>", "publish once, however often this is run with the same key")
    .option("--json", "print what the relay answers, a JSON object for each message")
    .addHelpText(
      "after",
      examples(
        'baton publish tech "hi"',
        'baton publish -- tech "$text"',
        "baton publish tech '{\"n\":1}' --data --user 1",
        "tail -f app.log | baton publish logs",
        "baton publish < publications.ndjson",
      ),
    )
    .action(
      (
        topic: string | undefined,
        message: string | undefined,
        flags: PublishFlags & RelayFlags,
      ) => {
        if (topic !== undefined && message !== undefined) {
          return publishOne(relay(flags), topic, message, flags);
        }
        if (topic === undefined && (flags.user ?? flags.data) !== undefined) {
          throw new CommandFailure(
            "Without a topic, each line says itself for whom it is, and which data: --user and --data need a topic.",
            EXIT.misused,
          );
        }
        return publishLines(relay(flags), topic, flags);
      },
    );
}

function addSubscribe(baton: Command, relay: RelayOf): void {
  calling(baton.command("subscribe"))
    .description("follow topics: print each publication as a line of JSON, and resume after cuts")
    .argument("<topics...>", "the topics")
    .option("--user <user>", "receive also what is published to this user", "command-line")
    .option("--since <epoch:offset>", "print first what came after this position of the topic")
    .option("--count <n>", "end after so many publications", wholeNumber(1, COUNT_MAX))
    .addHelpText(
      "after",
      examples(
        "baton subscribe tech",
        "baton subscribe tech sports --user 1",
        "baton subscribe tech --since kqzvbmwe:4 | jq .data",
      ),
    )
    .action((topics: string[], flags: SubscribeFlags & RelayFlags) =>
      subscribe(relay(flags), topics, flags),
    );
}

function addExplain(baton: Command, relay: RelayOf): void {
  calling(baton.command("explain"))
    .description("say why something did not arrive: name the user, the position, or both")
    .argument("<topic>", "the topic")
    .option("--user <user>", "the user who should have got it")
    .option("--position <epoch:offset>", "what the publish was answered with")
    .option("--json", "print what the relay answers")
    .addHelpText("after", examples("baton explain tech --user 1 --position kqzvbmwe:4"))
    .action((topic: string, flags: ExplainFlags & RelayFlags) => {
      if ((flags.user ?? flags.position) !== undefined) return explain(relay(flags), topic, flags);
      throw new CommandFailure(
        "Say whose message did not arrive, or which: give --user, --position or both.",
        EXIT.misused,
      );
    });
}

function addSources(baton: Command): void {
  baton
    .command("sources")
    .description("prepare what BATON_SOURCES_FILE reads")
    .command("ddl")
    .description("print the tables that a source in PostgreSQL needs, as SQL")
    .option("--table <name>", "the outbox, in a schema or not", "baton_outbox")
    .addHelpText(
      "after",
      examples("baton sources ddl | psql app", "baton sources ddl --table shop.outbox"),
    )
    .action(({ table }: { readonly table: string }) => ddl(table));
}

function addKeys(baton: Command, settings: CommandParts["settings"]): void {
  baton
    .command("token")
    .description("sign a token for a Centrifuge client, with BATON_TOKEN_SECRET")
    .requiredOption("--user <user>", "the user whose client it is for")
    .option("--topic <topic>", "the private topic that it opens; without it, it opens a connection")
    .option("--ttl <time>", "how long it is valid: 30s, 10m, 1h, 7d", "1h")
    .option("--json", "print a JSON object")
    .addHelpText(
      "after",
      examples("baton token --user 1", "baton token --user 1 --topic '$room' --ttl 10m"),
    )
    .action((flags: TokenFlags) => token(settings(), flags));
  baton
    .command("vapid")
    .description("make a pair of keys for Web Push")
    .option("--json", "print a JSON object")
    .addHelpText("after", examples("baton vapid >> baton.env"))
    .action((flags: VapidFlags) => vapid(flags));
}

function addBench(baton: Command, relay: RelayOf): void {
  const number = (flag: string, what: string, { min = 1, max }: { min?: number; max: number }) =>
    new Option(flag, `${what}, ${min} to ${max}`).argParser(wholeNumber(min, max));
  const { clients, rate, seconds, size } = BENCH_MAX;
  calling(baton.command("bench"))
    .description(
      "put a load on a relay: clients in a topic of their own, publications at a steady rate; print what was received, and after how long",
    )
    .addOption(number("--clients <n>", "how many clients connect", { max: clients }).default(100))
    .addOption(number("--rate <n>", "publications a second", { max: rate }).default(100))
    .addOption(number("--seconds <n>", "how long to publish", { max: seconds }).default(10))
    .addOption(
      number("--size <bytes>", "bytes of a message", { min: SIZE_MIN, max: size }).default(64),
    )
    .option("--prefix <prefix>", "what the name of the topic begins with", "")
    .option("--json", "print a JSON object")
    .addHelpText(
      "after",
      examples("baton bench", "baton bench --clients 5000 --rate 20 --seconds 60"),
    )
    .action((flags: BenchFlags & RelayFlags) => bench(relay(flags), flags));
}

function addCompletion(baton: Command): void {
  baton
    .command("completion")
    .description("print a script that completes commands and flags in a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .addHelpText("after", examples("source <(baton completion bash)"))
    .action((shell: Shell) => print(completionScript(shell)));
  baton
    .command("complete", { hidden: true })
    .argument("[words...]")
    .action((words: string[]) => {
      for (const line of completions(baton, words)) print(line);
    });
}

/** Adds the flags of commands that call a relay. */
function calling(command: Command): Command {
  return command
    .option("--url <url>", "the relay to call, in place of BATON_URL")
    .option(
      "--key <key>",
      "the API key, in place of BATON_API_KEY (other users of the machine can see arguments)",
    );
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d{1,15}$/.test(text) && value >= min && value <= max) return value;
    const range = max === COUNT_MAX ? `, ${min} or more` : ` from ${min} to ${max}`;
    throw new InvalidArgumentError(`It must be a whole number${range}.`);
  };
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}`;
}

function versionLine(): string {
  const commit = revision === "" ? "" : `commit ${revision}, `;
  return `baton ${version} (${commit}Bun ${Bun.version}, ${process.platform}-${process.arch})`;
}
