/** What the peers of the matrix need to know of each other's credentials. */
import { curveKeyPair } from "../../src/index.js";
import type { Peer, PeerOptions } from "./peer.js";

export const MECHANISMS = ["NULL", "PLAIN", "CURVE"] as const;
export type Mechanism = (typeof MECHANISMS)[number];

/** The same in every process of a run, so that a restarted peer has the keys of the one before. */
const server = curveKeyPair();
const client = curveKeyPair();
const PASSWORD = { username: "admin", password: "s3cret" };
const DOMAIN = "matrix";

/** Makes servers that the peer opens check their clients. */
export async function authenticate(peer: Peer): Promise<void> {
  await peer.call("authenticate", { ...PASSWORD, domain: DOMAIN, key: client.publicKey });
}

export function optionsOf(mechanism: Mechanism, role: "server" | "client"): PeerOptions {
  if (mechanism === "NULL") return {};
  if (mechanism === "PLAIN") {
    if (role === "server") return { PLAIN_SERVER: 1, ZAP_DOMAIN: DOMAIN };
    return { PLAIN_USERNAME: PASSWORD.username, PLAIN_PASSWORD: PASSWORD.password };
  }
  if (role === "server") return { CURVE_SERVER: 1, CURVE_SECRETKEY: server.secretKey };
  return {
    CURVE_SERVERKEY: server.publicKey,
    CURVE_PUBLICKEY: client.publicKey,
    CURVE_SECRETKEY: client.secretKey,
  };
}
