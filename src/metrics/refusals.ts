/** Refusals by their label `reason`, in words. Pure; the dashboard's page imports it. */

/** A peer that only sends faster than its policy's rate waits, and is not refused. */
export const REFUSALS: Readonly<Record<string, string>> = {
  authentication: "a peer with wrong credentials",
  mechanism: "a peer with different security (PLAIN, CURVE or none)",
  "curve-key": "a peer with a wrong CURVE key",
  "socket-type": "a peer whose socket type does not fit",
  protocol: "a peer that breaks the protocol",
  other: "a peer that leaves during the handshake",
  address: "a peer whose address the policy forbids",
  key: "a peer whose key the policy does not have",
  size: "a peer with a message larger than the policy allows",
  topic: "a topic that the policy forbids",
};
