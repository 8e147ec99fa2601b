// Certificates of a source in PEM, as BATON_SOURCES_FILE has them: those who vouch for its server, and one that says who Baton is.
import { type Static, type TObject, Type } from "@sinclair/typebox";

const pem = (description: string) =>
  Type.Optional(Type.String({ pattern: "-----BEGIN ", maxLength: 65_536, description }));

const REFERENCE =
  'In PEM, and not the name of a file: write "${NAME}" and set NAME_FILE to that name';

/** The fields of every kind of source that has a server. */
export const TLS = {
  ca: pem(`Certificates of those who vouch for the server. ${REFERENCE}.`),
  cert: pem(
    `The certificate that Baton shows to the server, with those of its chain. ${REFERENCE}.`,
  ),
  key: pem(`The private key of cert, without a passphrase. ${REFERENCE}.`),
};

type Certificates = Static<TObject<typeof TLS>>;

/** What is wrong with them where the address asks for TLS in this way, or does not; undefined when nothing is. */
export function tlsProblem(
  { ca, cert, key }: Certificates,
  asked: { readonly isAsked: boolean; readonly by: string },
): string | undefined {
  if ((cert === undefined) !== (key === undefined)) return "cert and key need each other";
  const isThere = ca !== undefined || cert !== undefined;
  return isThere && !asked.isAsked
    ? `${ca === undefined ? "cert" : "ca"} is there, but the connection has no TLS: ${asked.by} asks for it`
    : undefined;
}

/** What clients of Node and Bun take as `tls`; undefined where the authorities of the system vouch for the server, and Baton shows nothing. */
export function certificatesOf({ ca, cert, key }: Certificates): Certificates | undefined {
  if (ca === undefined && cert === undefined) return undefined;
  return { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert, key }) };
}
