// Who has a publication, as GET /publications knows it: connections that are open, that have ended since, and clients that came back for it.
import { call, path } from "../api";
import { h, table } from "../dom";
import { age, counted, kindOf } from "../text";

interface Receiver {
  readonly user_id: string;
  readonly has: "it" | "perhaps";
}

interface Receivers {
  readonly connections: {
    readonly have_it: number;
    readonly may_have_it: number;
    /** At most 20, as of the others. */
    readonly first: readonly (Receiver & { readonly protocol: string })[];
  };
  readonly ended: readonly (Receiver & {
    readonly at: string;
    readonly protocol: string;
    readonly why: string;
  })[];
  readonly recovered: readonly (Receiver & { readonly at: string })[];
}

/** Resolves with the card; undefined where nothing was published at this position. */
export async function receiversCard(
  topic: string,
  position: string,
): Promise<HTMLElement | undefined> {
  const [epoch = "", offset = ""] = position.split(":");
  const address = path(["publications", topic, offset], { epoch });
  const receivers = await call<Receivers>("GET", address).catch(() => undefined);
  if (receivers === undefined) return undefined;
  const { have_it, may_have_it } = receivers.connections;
  const perhaps =
    may_have_it === 0
      ? ""
      : ` ${counted(may_have_it, "open connection")} may have it: their clients take no positions, or it has expired.`;
  return h(
    "section",
    { class: "card stack" },
    h("h3", {}, "Who got it"),
    h("p", {}, `${counted(have_it, "open connection")} got it.${perhaps}`),
    table("Who got it", COLUMNS, rowsOf(receivers), "Nobody who is remembered."),
    h("p", { class: "quiet" }, "At most 20 of each kind are listed."),
  );
}

const COLUMNS = [{ title: "User" }, { title: "How" }, { title: "Has it" }];

function rowsOf({ connections, ended, recovered }: Receivers): string[][] {
  const row = ({ user_id, has }: Receiver, how: string) => [
    user_id === "" ? "anonymous" : user_id,
    how,
    has === "it" ? "yes" : "perhaps",
  ];
  return [
    ...connections.first.map((one) => row(one, `${kindOf(one.protocol)}, open`)),
    ...recovered.map((one) => row(one, `came back for it ${age(one.at)} ago`)),
    ...ended.map((one) => {
      const why = one.why.replaceAll("_", " ");
      return row(one, `${kindOf(one.protocol)}, ended ${age(one.at)} ago: ${why}`);
    }),
  ];
}
