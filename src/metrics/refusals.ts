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

export interface RefusingSource {
  readonly name: string;
  readonly kind: string;
  readonly sides: readonly {
    readonly side: string;
    readonly refusals?: Readonly<Record<string, number>>;
    readonly refusing?: Readonly<Record<string, number>>;
  }[];
}

/** A sentence for each side and reason of the last minute. */
export function refusalTexts({ name, kind, sides }: RefusingSource): string[] {
  return sides.flatMap(({ side, refusals = {}, refusing = {} }) =>
    Object.keys(refusing).map((reason) => {
      const count = refusals[reason] ?? 0;
      const times = count === 1 ? "once" : `${count} times`;
      return `${name} (${kind}) refuses ${REFUSALS[reason]} at its ${side}, ${times} so far`;
    }),
  );
}
