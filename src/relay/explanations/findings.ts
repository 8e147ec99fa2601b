// Makes findings of facts: what explains best comes first. Pure functions; texts say only what is known.
import type { Position } from "../contracts/publication";
import type { Obstacle } from "../topics/permissions";
import { EXPLANATIONS, type ExplanationCode } from "./codes";
import type {
  ConnectionFacts,
  EndFacts,
  Facts,
  PublicationFacts,
  Question,
  RefusalFacts,
  ResumptionFacts,
} from "./facts";

export interface Finding {
  readonly code: ExplanationCode;
  /** What is known about this case. */
  readonly message: string;
  /** What to do about it. */
  readonly action: string;
}

/** At least one. */
export function findingsOf(question: Question, facts: Facts): readonly Finding[] {
  const { publication } = facts;
  const final = facts.isUnknownTopic
    ? finding("unknown_topic")
    : publication && finalFinding(question, publication);
  if (final !== undefined) return [final];
  if (question.user === undefined) return [publishedFinding(facts)];
  const position = publication?.state === "unnumbered" ? undefined : question.position;
  const found = position === undefined ? userFindings(facts) : deliveryFindings(position, facts);
  if (publication?.state !== "expired" || found.some(({ code }) => hasIt(code))) return found;
  const asked = facts.resumptions.find(
    (one) => !one.isRecovered && one.from.offset < publication.offset,
  );
  const expired = finding(
    "expired",
    asked === undefined
      ? ""
      : `Its client asked for it ${ago(asked.agoMs)}, and was told that it is lost.`,
  );
  const isFirst = asked !== undefined || found[0]?.code === "subscribed_later";
  return isFirst ? [expired, ...found] : [...found, expired];
}

function hasIt(code: ExplanationCode): boolean {
  return code === "sent" || code === "recovered" || code === "on_its_way";
}

function finding(code: ExplanationCode, detail = ""): Finding {
  const { means, action } = EXPLANATIONS[code];
  return { code, message: detail === "" ? means : `${means} ${detail}`, action };
}

/** What explains it whoever the user is. */
function finalFinding(
  { user }: Question,
  { state, top, user: only }: PublicationFacts,
): Finding | undefined {
  if (state === "never_published") {
    return finding("never_published", `The topic is at ${text(top)}.`);
  }
  if (state === "other_epoch") return finding("other_epoch", `The topic is at ${text(top)}.`);
  if (user === undefined || only === undefined || only === user) return undefined;
  return finding("for_another_user", `It was for the user ${JSON.stringify(only)}.`);
}

function publishedFinding({ publication, subscribers }: Facts): Finding {
  const now = `The topic has ${counted(subscribers, "subscriber")} now.`;
  if (publication?.state === "expired") {
    return finding("expired", `Whom it was for is not known any more. ${now}`);
  }
  const only = publication?.user;
  const to = only === undefined ? "all subscribers" : `the user ${JSON.stringify(only)} alone`;
  return finding("published", `It was for ${to}. ${now}`);
}

/** About a topic as it is now. */
function userFindings(facts: Facts): Finding[] {
  const { connections, resumptions } = facts;
  const [resumed] = resumptions;
  const found: Finding[] = [];
  const subscribed = connections.filter(({ state }) => state === "subscribed");
  if (subscribed.length === 0) return awayFindings(facts);
  if (resumed !== undefined) found.push(resumedFinding(resumed));
  found.push(subscribedFinding(subscribed));
  const slow = facts.ends.find(
    ({ why, hadTopic }) => why === "slow_consumer" && hadTopic !== false,
  );
  if (slow !== undefined) found.push(slowFinding(slow));
  return found;
}

function resumedFinding({ isRecovered, from, to, agoMs }: ResumptionFacts): Finding {
  if (isRecovered) {
    const range = `It asked ${ago(agoMs)} for what came after ${text(from)}, and was sent everything up to ${text(to)}.`;
    return finding("recovered", range);
  }
  return finding(
    "expired",
    `Its client asked ${ago(agoMs)} for what came after ${text(from)}, and was told that this is lost; it goes on from ${text(to)}.`,
  );
}

function subscribedFinding(subscribed: readonly ConnectionFacts[]): Finding {
  const [{ id, protocol, completeSince, sentTo, waitingBytes }] = subscribed as [ConnectionFacts];
  const others = subscribed.length > 1 ? `, one of ${subscribed.length}` : "";
  const since = completeSince === undefined ? "" : ` after ${text(completeSince)}`;
  const to = sentTo === undefined ? "" : ` up to ${text(sentTo)}`;
  return finding(
    "sent",
    `Connection ${short(id)} (${protocol}${others}) has been sent everything${since}${to}. ${waiting(waitingBytes)}`,
  );
}

/** About one publication. */
function deliveryFindings(position: Position, facts: Facts): Finding[] {
  const found: Finding[] = [];
  for (const connection of facts.connections) {
    if (connection.state === "not_subscribed") continue;
    found.push(connectionFinding(connection, position, facts));
  }
  if (found.length === 0) return awayFindings(facts, position);
  const order: ExplanationCode[] = ["recovered", "sent", "on_its_way", "excepted"];
  const rank = ({ code }: Finding) => (order.includes(code) ? order.indexOf(code) : order.length);
  const sorted = found.toSorted((a, b) => rank(a) - rank(b));
  const ended = endFindings(facts.ends, position);
  const isMissing = sorted[0]?.code === "subscribed_later";
  return isMissing ? [...ended, ...sorted] : [...sorted, ...ended];
}

function connectionFinding(
  { id, state, completeSince, sentTo, waitingBytes, ageMs }: ConnectionFacts,
  position: Position,
  { resumptions, publication }: Facts,
): Finding {
  const name = `Connection ${short(id)}, which opened ${ago(ageMs)},`;
  if (publication?.except === id) return finding("excepted");
  const isMissed = completeSince !== undefined && !isAfter(position, completeSince);
  if (isMissed) {
    return finding("subscribed_later", `${name} has the topic from ${text(completeSince)} on.`);
  }
  const isBehind = sentTo !== undefined && isAfter(position, sentTo);
  if (state === "subscribing" || isBehind) {
    const to = `${name} has been sent everything up to ${text(sentTo)}.`;
    return finding("on_its_way", `${to} ${waiting(waitingBytes)}`);
  }
  if (completeSince === undefined) return finding("sent_if_subscribed", `${name} keeps none.`);
  const resumed = resumptions.find((one) => one.isRecovered && isWithin(position, one));
  if (resumed === undefined)
    return finding("sent", `${name} got it live. ${waiting(waitingBytes)}`);
  const asked = `It asked ${ago(resumed.agoMs)} for what came after ${text(resumed.from)}.`;
  return finding("recovered", `${asked} ${waiting(waitingBytes)}`);
}

/** No connection of the user has the topic now. */
function awayFindings(facts: Facts, position?: Position): Finding[] {
  const found = endFindings(facts.ends, position);
  const { connections, connectionCount, obstacle, ends } = facts;
  const subscribing = connections.filter(({ state }) => state === "subscribing");
  const [first] = subscribing;
  if (first !== undefined) {
    found.unshift(
      finding(
        "on_its_way",
        `Connection ${short(first.id)} is subscribing. ${waiting(first.waitingBytes)}`,
      ),
    );
    return found;
  }
  const [refused] = facts.refusals ?? [];
  if (refused !== undefined) found.push(refusedFinding(refused));
  const barred = connections.find((connection) => connection.obstacle !== undefined);
  if (barred !== undefined) found.push(barredFinding(barred.obstacle ?? "rule", facts));
  if (connectionCount > 0) {
    found.push(finding("not_subscribed", `It has ${counted(connectionCount, "connection")}.`));
    return found;
  }
  const [last] = ends;
  const detail =
    last === undefined
      ? `No end of a connection is remembered; that reaches back ${span(facts.reachMs)}.`
      : `The last one ended ${ago(last.agoMs)}: ${endText(last)}.`;
  found.push(finding("offline", detail));
  if (obstacle !== undefined) found.push(barredFinding(obstacle, facts));
  return found;
}

/** What the last connection with the topic had been sent before it ended. */
function endFindings(ends: readonly EndFacts[], position?: Position): Finding[] {
  const last = ends.find(({ hadTopic }) => hadTopic !== false);
  if (last === undefined) return [];
  if (last.why === "slow_consumer") return [slowFinding(last)];
  const { position: end, completeSince } = last;
  const isSent = position !== undefined && end !== undefined && !isAfter(position, end);
  const isTooLate =
    position !== undefined && completeSince !== undefined && !isAfter(position, completeSince);
  if (!isSent || isTooLate) return [];
  return [
    finding(
      "sent",
      `The connection ended ${ago(last.agoMs)}: ${endText(last)}. What was on its way then may not have arrived.`,
    ),
  ];
}

function slowFinding({ agoMs, position, protocol }: EndFacts): Finding {
  const at = position === undefined ? "" : `, when the topic was at ${text(position)}`;
  return finding("slow_consumer", `That was ${ago(agoMs)} (${protocol})${at}.`);
}

function refusedFinding({ question, why, agoMs }: RefusalFacts): Finding {
  return finding("refused_by_backend", `That was ${ago(agoMs)} (${question}): ${why}`);
}

function barredFinding(obstacle: Obstacle, { rule = "" }: Facts): Finding {
  const which = rule === "" ? "all topics" : `topics that begin with ${JSON.stringify(rule)}`;
  return finding("not_allowed", OBSTACLES[obstacle].replace("the topic does", `${which} does`));
}

const OBSTACLES = {
  private: 'The topic begins with "$", which needs a token for just this topic.',
  other_users:
    'The topic\'s name lists after "#" the users that it is for, and this is none of them.',
  backend:
    "The backend decides who may have the topic, and is asked when a Centrifuge or Pusher client subscribes; a registered client has it when its registration names it.",
  rule: "The rule for the topic does not let clients subscribe.",
} as const;

const END_TEXTS: Partial<Record<EndFacts["why"], string>> = {
  closed: "its client closed it",
  lost: "it was lost without a close",
  disconnected: "the backend disconnected it",
  slow_consumer: "it read too slowly",
  no_pong: "it did not answer a ping",
};

function endText({ why, code }: EndFacts): string {
  const words = END_TEXTS[why] ?? why.replaceAll("_", " ");
  return code === undefined ? words : `${words} (${code})`;
}

function waiting(bytes: number): string {
  return bytes === 0
    ? "Nothing waits for it here."
    : `${bytes} bytes wait here for the client to read them.`;
}

/** Whether a position comes after another one; one of another epoch does not compare. */
function isAfter({ epoch, offset }: Position, other: Position): boolean {
  return epoch === other.epoch && offset > other.offset;
}

function isWithin(position: Position, { from, to }: ResumptionFacts): boolean {
  return isAfter(position, from) && to !== undefined && !isAfter(position, to);
}

function text(position: Position | undefined): string {
  return position === undefined ? "no position" : `${position.epoch}:${position.offset}`;
}

function short(id: string): string {
  return id.slice(0, 8);
}

function counted(value: number, noun: string): string {
  return `${value} ${noun}${value === 1 ? "" : "s"}`;
}

function ago(ms: number): string {
  return `${span(ms)} ago`;
}

function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}
