// Limits that stand next to each other and must fit together. A client that keeps within each of them would otherwise be
// closed where two of them meet, and for good where its SDK takes the close code as final.
import { COMMANDS_MAX } from "../relay/contracts/options";
import type { Settings, SettingValues } from "./definitions";
import { FRAME_BYTES_MAX, SettingError } from "./kinds";
import { needsTokens } from "./tokens";

/** No smaller frame could carry a ping with the longest payload (RFC 6455, section 5.5). */
const FRAME_BYTES_MIN = 125;

/** A frame may have so many bytes without being asked for. */
const FRAME_BYTES_DEFAULT = 262_144;

/** A usual token with a few claims. */
const TOKEN_BYTES = 1_024;

/** What a subscribe command takes besides its token: the topic, a position, and the names of members. */
const SUBSCRIBE_BYTES = 200;

/** What a command or a body takes besides the message in it: the topic, a key and the names of members. */
const ENVELOPE_BYTES = 4_096;

/** What a client sends with its subscribes when it reconnects: connect, and a few commands more. */
const OTHER_COMMANDS = 16;

type FrameLimits = Pick<SettingValues, "connectionTopicsMax" | "messageBytes">;

/** What an SDK sends in one frame when it reconnects: a subscribe for each of its topics. A message may wait there too. */
function reconnectBytes(
  { connectionTopicsMax, messageBytes }: FrameLimits,
  tokenBytes: number,
): number {
  return connectionTopicsMax * (tokenBytes + SUBSCRIBE_BYTES) + messageBytes + ENVELOPE_BYTES;
}

export function defaultFrameBytes(limits: FrameLimits): number {
  const wanted = Math.max(FRAME_BYTES_DEFAULT, reconnectBytes(limits, TOKEN_BYTES));
  return Math.min(FRAME_BYTES_MAX, wanted);
}

/** Refuses limits with which nothing would work. Throws SettingError with the line to show. */
export function checkLimits(settings: Settings): void {
  const { bodyBytes, messageBytes, frameBytes, defaultTopics, connectionTopicsMax } = settings;
  if (frameBytes < FRAME_BYTES_MIN) {
    throw new SettingError(
      `BATON_FRAME_BYTES="${frameBytes}" is not allowed: it must be 0, or at least ${FRAME_BYTES_MIN}.`,
    );
  }
  if (bodyBytes < messageBytes) {
    throw new SettingError(
      `BATON_BODY_BYTES="${bodyBytes}" is not allowed: it must be at least BATON_MESSAGE_BYTES, which is ${messageBytes}.`,
    );
  }
  if (defaultTopics.length > connectionTopicsMax) {
    throw new SettingError(
      `BATON_DEFAULT_TOPICS has ${defaultTopics.length} topics, which is not allowed: it must have at most BATON_CONNECTION_TOPICS_MAX, which is ${connectionTopicsMax}.`,
    );
  }
}

/** Sentences for the log about limits that work alone, but not together. */
export function limitWarnings(settings: Settings): string[] {
  return [...frameWarnings(settings), ...messageWarnings(settings)];
}

function frameWarnings(settings: Settings): string[] {
  const { frameBytes, connectionTopicsMax, connectionFramesMax, connectionBytesMax } = settings;
  const bytes = reconnectBytes(settings, needsTokens(settings) ? TOKEN_BYTES : 0);
  const found: string[] = [];
  if (frameBytes < bytes) {
    found.push(
      `BATON_FRAME_BYTES is ${frameBytes}, but a Centrifuge client with BATON_CONNECTION_TOPICS_MAX topics may send ${bytes} bytes in one frame when it reconnects, and is then closed with 1009 for good: raise it, or lower the number of topics`,
    );
  }
  if (connectionBytesMax > 0 && connectionBytesMax < frameBytes) {
    found.push(
      `BATON_CONNECTION_BYTES_MAX is ${connectionBytesMax}, which is less than one frame may have (BATON_FRAME_BYTES): a client that sends such a frame is closed again and again`,
    );
  }
  if (connectionTopicsMax + OTHER_COMMANDS > COMMANDS_MAX) {
    found.push(
      `BATON_CONNECTION_TOPICS_MAX is ${connectionTopicsMax}, but a Centrifuge client subscribes to all of its topics at once when it reconnects, and may send ${COMMANDS_MAX} commands: with more topics it is closed`,
    );
  }
  if (connectionTopicsMax + OTHER_COMMANDS > connectionFramesMax) {
    found.push(
      `BATON_CONNECTION_FRAMES_MAX is ${connectionFramesMax}, but a Centrifuge client with BATON_CONNECTION_TOPICS_MAX topics sends ${connectionTopicsMax} commands at once when it reconnects, and is then closed again and again`,
    );
  }
  return found;
}

/** Each other limit of bytes must have room for a few of the largest messages. */
function messageWarnings(settings: Settings): string[] {
  const { messageBytes, bodyBytes, backpressureBytes, historyBytes, pendingBytes } = settings;
  const found: string[] = [];
  if (bodyBytes < messageBytes + ENVELOPE_BYTES) {
    found.push(
      `BATON_BODY_BYTES is ${bodyBytes}, which leaves no room around a message of BATON_MESSAGE_BYTES`,
    );
  }
  if (backpressureBytes < 2 * messageBytes) {
    found.push(
      `BATON_BACKPRESSURE_BYTES is ${backpressureBytes}, which is less than two messages of BATON_MESSAGE_BYTES: clients that read well are closed as slow when a second one comes`,
    );
  }
  // Text takes two bytes for each character in memory.
  if (historyBytes < 2 * (messageBytes + ENVELOPE_BYTES)) {
    found.push(
      `BATON_HISTORY_BYTES is ${historyBytes}, which is too little for one message of BATON_MESSAGE_BYTES: no client could recover it`,
    );
  }
  const { membersMax, memberInfoBytes } = settings;
  if (membersMax * memberInfoBytes > backpressureBytes) {
    found.push(
      `BATON_MEMBERS_MAX and BATON_MEMBER_INFO_BYTES allow a list of ${membersMax * memberInfoBytes} bytes, which is more than may wait for a client (BATON_BACKPRESSURE_BYTES): while it reads one, it is closed as slow when more comes`,
    );
  }
  if (pendingBytes < 2 * messageBytes) {
    found.push(
      `BATON_PENDING_BYTES is ${pendingBytes}, so that publishers wait for each single message of BATON_MESSAGE_BYTES`,
    );
  }
  return found;
}
