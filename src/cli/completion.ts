// What the tab key completes: the scripts for shells ask `baton complete -- <words>`, which answers with a name and a tab and its
// description in each line. The words are what somebody has typed or pasted: a script hands them over, and never evaluates them.
import type { Command } from "commander";

const SCRIPTS = {
  bash: `_baton() {
  local IFS=$'\\n'
  COMPREPLY=($(baton complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null | cut -f 1))
}
complete -o default -F _baton baton`,
  zsh: `#compdef baton
_baton() {
  local -a found
  found=("\${(@f)$(baton complete -- "\${(@)words[2,CURRENT]}" 2> /dev/null)}")
  if [[ -n "$found" ]]; then _describe baton "\${(@)found//$'\\t'/:}"; else _files; fi
}
compdef _baton baton`,
  fish: "complete -c baton -a '(baton complete -- (commandline -opc)[2..] (commandline -ct) 2> /dev/null)'",
} as const;

export type Shell = keyof typeof SCRIPTS;

export const SHELLS = Object.keys(SCRIPTS) as readonly Shell[];

export function completionScript(shell: Shell): string {
  return SCRIPTS[shell];
}

/** A line for each word that may stand in place of the last of these. */
export function completions(baton: Command, words: readonly string[]): string[] {
  const typed = words.at(-1) ?? "";
  return namesFor(baton, commandOf(baton, words.slice(0, -1)), typed)
    .filter(([name]) => name.startsWith(typed))
    .map(([name, description]) => `${name}\t${description}`);
}

/** The command that these words begin with, such as `sources ddl`. */
function commandOf(parent: Command, [word, ...rest]: readonly string[]): Command {
  const command = parent.commands.find((one) => one.name() === word);
  return command === undefined ? parent : commandOf(command, rest);
}

function namesFor(
  baton: Command,
  command: Command,
  typed: string,
): (readonly [name: string, description: string])[] {
  const help = baton.createHelp();
  if (typed.startsWith("-")) {
    const options = help.visibleOptions(command);
    return options.map(({ long, description }) => [long ?? "", description] as const);
  }
  if (command.commands.length > 0) {
    return help.visibleCommands(command).map((one) => [one.name(), one.description()] as const);
  }
  const choices = command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices);
  return choices.map((choice) => [choice, ""] as const);
}
