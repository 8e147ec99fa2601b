// A resuming client of the JSON format over a WebSocket: it sends its topics and positions in its first frame.
import type { Position } from "../../../src/relay/contracts/publication";
import { type JsonFrame, ResumingClient } from "./resuming-client";

export class ResumingSocket extends ResumingClient {
  readonly positions: Record<string, Position> = {};

  protected connect(address: string, onDroppable: (drop: () => void) => void): Promise<boolean> {
    const socket = new WebSocket(`${address}?format=json`);
    onDroppable(() => socket.terminate());
    let opened = false;
    return new Promise((resolve) => {
      socket.onopen = () => {
        opened = true;
        socket.send(JSON.stringify({ topics: this.options.topics, since: this.positions }));
      };
      socket.onmessage = ({ data }) => this.#onFrame(JSON.parse(data));
      socket.onclose = () => resolve(opened);
    });
  }

  #onFrame(frame: JsonFrame): void {
    // The relay then closes the connection, if it has no topics yet.
    if (frame.error?.code === "engine_unavailable") return;
    if (frame.error !== undefined) this.faults.push(frame.error.code);
    else if (frame.topics !== undefined) this.#onReply(frame.topics);
    else {
      if (!this.ready) this.faults.push("a publication before the reply");
      this.positions[frame.topic] = { offset: frame.offset, epoch: frame.epoch };
      this.receive(frame);
    }
  }

  #onReply(topics: NonNullable<JsonFrame["topics"]>): void {
    for (const [topic, { offset, epoch, recovered }] of Object.entries(topics)) {
      if (recovered === false) this.lost.push(topic);
      if (recovered === undefined && this.positions[topic] !== undefined) {
        this.faults.push("a reply that does not say whether the topic is recovered");
      }
      if (recovered === true) continue;
      this.positions[topic] = { offset, epoch };
      const why = recovered === false ? "lost" : "first";
      this.options.onPosition?.(topic, { offset, epoch }, why);
    }
    this.ready = true;
  }
}

/** The same for a client that makes a new registration for each connection. */
export class ReregisteringSocket extends ResumingSocket {
  protected override readonly registersEachTime = true;
}
