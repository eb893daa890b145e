/**
 * Registry of the nodes' discovery clients. Each node knows its own and asks others on demand by an internal
 * service. Replication would cost more: 10,000 clients are 1.1 MB at each node. Answers are never outdated,
 * and a dead node's clients vanish with it.
 */
import type { Member } from "../membership/members.js";
import type { OutgoingRequests } from "../requests/outgoing.js";

/** Not open to programs (`$`). */
export const CLIENTS_SERVICE = "$clients";
const PART = 128;

/** Connected to a discovery server. */
export interface OwnClient {
  /** 32 hexadecimal digits of a {@link DiscoveryClient}, new with each start. */
  readonly id: string;
  /** Default "". */
  readonly name: string;
  /** Source address without port; "": unknown to the engine. */
  readonly address: string;
  /** Node's wall clock in ms at the connection. */
  readonly since: number;
}

export interface OwnDiscovery {
  clients(): readonly OwnClient[];
  /** A member or this node may have changed. */
  changed(): void;
  /** The list is no longer valid. */
  nodeOnClose(linger: number): Promise<void>;
}

export interface ClusterClient extends OwnClient {
  /** The node's `name@host`. */
  readonly node: string;
}

/** Result of `node.clients()`. */
export interface ClusterClients {
  /** Ordered by node and time. */
  readonly clients: readonly ClusterClient[];
  /** `name@host` of nodes with a discovery server that are silent, or have more than 65,536 clients. */
  readonly missing: readonly string[];
}

/**
 * @param members with a discovery server
 * @param timeout ms
 * @param own known without asking: also while this node drains, and with any timeout
 * @throws InvalidStateError `ERR_TOO_MANY_PENDING`; ClosedError `EBADF`
 */
export async function askClients(
  requests: Pick<OutgoingRequests, "streamFrom">,
  members: readonly Pick<Member, "id" | "name" | "isLive">[],
  timeout: number,
  own: readonly ClusterClient[] = [],
): Promise<ClusterClients> {
  const asked = members.map(async (member) => {
    const clients: ClusterClient[] = [];
    const parts = requests.streamFrom(member.id, CLIENTS_SERVICE, timeout);
    const isWhole = await collect(parts, member.name, clients);
    return { member, clients, isWhole };
  });
  // A dead node has no clients.
  const found = (await Promise.all(asked)).filter(({ member }) => member.isLive);
  return Object.freeze({
    clients: Object.freeze(once([...own, ...found.flatMap(({ clients }) => clients)])),
    missing: Object.freeze(found.filter(({ isWhole }) => !isWhole).map(({ member }) => member.name)),
  });
}

/** What a node answers. */
export async function* partsOf(clients: readonly OwnClient[]): AsyncGenerator<readonly OwnClient[]> {
  for (let at = 0; at < clients.length; at += PART) yield clients.slice(at, at + PART);
}

/** @returns whether the list is complete */
async function collect(parts: AsyncIterable<unknown>, node: string, into: ClusterClient[]): Promise<boolean> {
  try {
    for await (const part of parts) {
      if (!Array.isArray(part)) return false;
      for (const each of part) {
        // A node may invent clients.
        if (into.length === 65_536) return false;
        const client = clientOf(each, node);
        if (client !== undefined) into.push(client);
      }
    }
    return true;
  } catch {
    return false; // The node is missing.
  }
}

/** A moving client is briefly connected twice: the newest stays. */
function once(clients: readonly ClusterClient[]): ClusterClient[] {
  const last = new Map<string, ClusterClient>();
  for (const client of clients) {
    const { id, since } = client;
    if (id !== "" && since >= (last.get(id)?.since ?? 0)) last.set(id, client);
  }
  return clients.filter((client) => client.id === "" || last.get(client.id) === client);
}

function clientOf(value: unknown, node: string): ClusterClient | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, name, address, since } = value as Readonly<Record<string, unknown>>;
  const texts = [id, name, address];
  if (!texts.every((each) => typeof each === "string" && each.length <= 256)) return undefined;
  if (!Number.isSafeInteger(since)) return undefined;
  return Object.freeze({
    id: id as string,
    name: name as string,
    node,
    address: address as string,
    since: since as number,
  });
}
