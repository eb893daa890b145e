/** Links in memory for route drivers: in order, a turn later, with a mark that can be reached. */
import { type MessagingSettings, messagingSettings } from "../../../src/cluster/messaging/options.js";
import type { SendResult } from "../../../src/cluster/messaging/parts.js";
import { RouteDriver } from "../../../src/cluster/messaging/route-driver.js";
import { RouteTable } from "../../../src/cluster/messaging/route-table.js";

interface Item {
  readonly from: string;
  readonly item: Buffer;
  done?: (isDelivered: boolean) => void;
}

export class DriverNode {
  readonly id: string;
  readonly driver: RouteDriver;
  readonly table = new RouteTable();
  readonly net: DriverNet;
  /** Takes nothing. */
  isFull = false;
  /** Acknowledges nothing. */
  isSilent = false;
  refused: string[] = [];

  constructor(net: DriverNet, index: number) {
    this.net = net;
    this.id = index.toString(16).padStart(32, `${index % 10}`);
    this.driver = new RouteDriver({
      id: this.id,
      table: this.table,
      settings: messagingSettings() as MessagingSettings,
      takesPart: (id) => net.nodes.has(id),
      links: {
        send: (to, _kind, item) => net.send(this, to, item),
        room: () => new Promise(() => undefined),
        session: () => 0,
        onDelivered: (to, done) => net.onDelivered(to, done),
      },
    });
  }

  targets(topic: string): string[] {
    const into: string[] = [];
    this.driver.targets(topic, into);
    return into.sort();
  }
}

export class DriverNet {
  readonly nodes = new Map<string, DriverNode>();
  readonly #queues = new Map<string, Item[]>();

  add(): DriverNode {
    const node = new DriverNode(this, this.nodes.size + 1);
    for (const other of this.nodes.values()) {
      this.nodes.set(node.id, node);
      other.driver.onMember(node.id, "alive");
    }
    this.nodes.set(node.id, node);
    for (const other of this.nodes.values()) if (other !== node) node.driver.onMember(other.id, "alive");
    return node;
  }

  send(from: DriverNode, to: string, item: Uint8Array): SendResult {
    const node = this.nodes.get(to);
    if (node === undefined) return "unreachable";
    if (node.isFull) return "full";
    const queue = this.#queues.get(to) ?? [];
    this.#queues.set(to, queue);
    queue.push({ from: from.id, item: item as Buffer });
    if (queue.length === 1) setImmediate(() => this.#deliver(node, queue));
    return "sent";
  }

  onDelivered(to: string, done: (isDelivered: boolean) => void): void {
    const item = this.#queues.get(to)?.at(-1);
    if (item !== undefined) item.done = done;
  }

  #deliver(node: DriverNode, queue: Item[]): void {
    for (const { from, item, done } of queue.splice(0)) {
      const reason = node.driver.onItem(from, item);
      if (!node.isSilent) done?.(true);
      if (reason !== undefined) node.refused.push(reason);
    }
  }

  close(): void {
    for (const { driver } of this.nodes.values()) driver.close();
  }
}
