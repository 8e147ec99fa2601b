// The table of answers to "why did it not arrive?": what each code means, and what to do about it. docs/reference.md is
// made from it. A code that has been published keeps its name and its meaning.

export const EXPLANATIONS = {
  never_published: {
    means: "Nothing was ever published at this position.",
    action:
      "Look at the answer to the publish: only 200 means that it was accepted, and its answer has the position.",
  },
  other_epoch: {
    means: "The position is of another life of the topic's history, which is gone.",
    action:
      "A client with such a position is told recovered: false when it resumes: it must load its state afresh. With the engine `memory`, each restart begins a new epoch; `sqlite` and `redis` keep it.",
  },
  unknown_topic: {
    means: "No rule names the topic's prefix, and BATON_KNOWN_PREFIXES_ONLY requires one.",
    action: "Correct the topic's name, or add a rule for its prefix to BATON_TOPICS_FILE.",
  },
  for_another_user: {
    means: "The publication was for one user (user_id), and this is not that user.",
    action: "Publish without user_id to reach all subscribers, or with the user_id that was meant.",
  },
  expired: {
    means:
      "The publication has left the topic's history, so a client that missed it can no longer be sent it.",
    action:
      "Keep more (history_size, history_ttl_ms of the topic's rule), or let clients load their state from your backend when they are told recovered: false.",
  },
  on_its_way: {
    means: "A connection of the user is just being sent it, or what comes before it.",
    action:
      "Ask again in a moment. If bytes keep waiting, the client reads more slowly than it is sent to.",
  },
  sent: {
    means:
      "It was sent to a connection of the user. Whether the client has handled it cannot be known here.",
    action:
      "Look at the client: does it handle this topic, and does it keep the position only after it has handled a message?",
  },
  sent_if_subscribed: {
    means:
      "A connection of the user is subscribed now. Its protocol keeps no positions, so whether it was subscribed when this was published is not known.",
    action:
      "Use format=json, EventSource or a Centrifuge client where nothing may be missed: they say what they have, and get the rest.",
  },
  recovered: {
    means: "The user's client missed it, reconnected, and was sent it then.",
    action: "Nothing, if the delay is no problem. The ends listed here say why it was away.",
  },
  excepted: {
    means: "It was published with `except` for this connection, which therefore does not get it.",
    action: "Publish without `except`.",
  },
  subscribed_later: {
    means: "The user's connections were subscribed to the topic only after it was published.",
    action:
      "Let the client give the position that it has when it subscribes, so that it is sent what it missed.",
  },
  slow_consumer: {
    means:
      "A connection of the user read too slowly and was cut off: what waited for it was dropped.",
    action:
      "A client that resumes gets all of it when it reconnects. Publish less to it, make it faster, or raise BATON_BACKPRESSURE_BYTES.",
  },
  not_allowed: {
    means: "The user's client may not subscribe to the topic.",
    action:
      "Allow it with a rule in BATON_TOPICS_FILE, with a token for the topic, or register the client with the topic.",
  },
  refused_by_backend: {
    means:
      "The backend was asked about the user's client and said no, or could not be asked (BATON_PROXY_…).",
    action:
      "Look at what the backend decides for this user and topic. Where it could not be asked, the relay's log says why; SDKs try again by themselves.",
  },
  not_subscribed: {
    means: "The user is connected, and none of the connections is subscribed to the topic.",
    action:
      "Let the client choose the topic, register it with the topic, or add the topic to BATON_DEFAULT_TOPICS.",
  },
  offline: {
    means: "The user has no open connection on any node that answered.",
    action:
      "Look at the last end, if one is listed, and at whether the client reconnects. One that resumes is sent what it missed, as long as history keeps it.",
  },
  published: {
    means: "The publication was accepted and is in the topic's history.",
    action: "Name a user to learn what became of it there.",
  },
} as const;

export type ExplanationCode = keyof typeof EXPLANATIONS;
