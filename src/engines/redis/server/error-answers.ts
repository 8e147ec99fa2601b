// The errors with which a Redis server answers: what an operator can do about each, and which of them end the start.

interface AnswerRow {
  readonly error: RegExp;
  readonly advice: string;
  /** Waiting does not mend it. */
  readonly isFinal?: true;
}

/** Scripts give the error of a command behind words of their own. The first row that fits counts. */
const ANSWERS: readonly AnswerRow[] = [
  {
    error: /WRONGPASS|invalid password|invalid username/,
    advice: "write the right user and password into BATON_ENGINE",
    isFinal: true,
  },
  { error: /NOAUTH/, advice: "write its password into BATON_ENGINE", isFinal: true },
  {
    error: /DENIED|protected mode/,
    advice: "set a password there, or turn its protected mode off",
    isFinal: true,
  },
  {
    error: /NOPERM|no permissions|ACL failure|The user executing the script can't/,
    advice: "docs/operations.md has the ACL that Baton needs",
    isFinal: true,
  },
  {
    error: /unknown (redis )?command/i,
    advice: "Baton needs this command, under this name",
    isFinal: true,
  },
  {
    error: /DB index|SELECT is not allowed/,
    advice: "write another number of a database into BATON_ENGINE",
    isFinal: true,
  },
  {
    error: /MOVED|CROSSSLOT|CLUSTERDOWN|Redis Cluster/,
    advice: "Baton takes several single servers, not a Redis Cluster",
    isFinal: true,
  },
  { error: /needs 6\.2/, advice: "update it", isFinal: true },
  {
    error: /of a newer Baton/,
    advice: "start that one, or set another BATON_REDIS_PREFIX",
    isFinal: true,
  },
  {
    error: /WRONGTYPE/,
    advice: "another program has a key of this name: set BATON_REDIS_PREFIX",
    isFinal: true,
  },
  { error: /READONLY/, advice: "it is a replica: write its primary into BATON_ENGINE" },
  { error: /OOM/, advice: "raise its maxmemory" },
  { error: /MISCONF/, advice: "its own log says why it cannot write to its disk" },
  { error: /NOREPLICAS/, advice: "it has fewer replicas than its min-replicas-to-write" },
  { error: /max number of clients/, advice: "raise its maxclients" },
  { error: /LOADING|MASTERDOWN|BUSY/, advice: "this passes by itself" },
];

function rowOf(message: string): AnswerRow | undefined {
  return ANSWERS.find(({ error }) => error.test(message));
}

/** Whether the server has answered, and waiting does not mend what it says. */
export function isFinal(message: string): boolean {
  return rowOf(message)?.isFinal === true;
}

/** Whether this is an error with which a server answers, and not one of the network. */
export function isAnswer(message: string): boolean {
  return rowOf(message) !== undefined;
}

/** Whether the user may not run a command at all, or the server does not have it. */
export function isForbidden(message: string): boolean {
  return /run (the|this)\b.*command|unknown (redis )?command/i.test(message);
}

/** Tells kinds of errors apart, for a log that says each kind once in a while. */
export function kindOf(message: string): string {
  return rowOf(message)?.advice ?? "";
}

/** The error in one line, with what an operator can do about it. */
export function explain(message: string): string {
  // The place in the script is of no use to an operator, and arguments are nobody's business.
  const [error = ""] = message.split(/,? with args|,? script: |[.!]? ?[\r\n]|\. /, 1);
  const advice = adviceOn(message);
  return advice === undefined ? error : `${error}; ${advice}`;
}

function adviceOn(message: string): string | undefined {
  const command = /run the '([\w|]+)' command/.exec(message)?.[1];
  if (command !== undefined) return `give its user +${command.toLowerCase()}`;
  if (/NOPERM|ACL failure|user executing/.test(message) && /key|channel/.test(message)) {
    return "give its user the keys and channels that begin with BATON_REDIS_PREFIX, such as ~baton:* &baton:*";
  }
  return rowOf(message)?.advice;
}
