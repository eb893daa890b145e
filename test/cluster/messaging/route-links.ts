/** Links in memory for route drivers: in order, a turn later, with a mark that can be reached. */
import type { SendResult } from "../../../src/cluster/messaging/parts.js";
import { RouteDriver } from "../../../src/cluster/messaging/route-driver.js";
import { RouteTable } from "../../../src/cluster/messaging/route-table.js";

export class DriverNode {
  readonly id: string;
  readonly driver: RouteDriver;
  readonly table = new RouteTable();
  readonly net: DriverNet;
  /** Takes nothing. */
  isFull = false;
  refused: string[] = [];

  constructor(net: DriverNet, index: number) {
    this.net = net;
    this.id = index.toString(16).padStart(32, `${index % 10}`);
    this.driver = new RouteDriver({
      id: this.id,
      table: this.table,
      propOf: (id) => net.nodes.get(id)?.driver.prop,
      links: {
        send: (to, _kind, item) => net.send(this, to, item),
        room: () => new Promise(() => undefined),
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
  readonly #queues = new Map<string, { from: string; item: Buffer }[]>();

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

  #deliver(node: DriverNode, queue: { from: string; item: Buffer }[]): void {
    for (const { from, item } of queue.splice(0)) {
      const reason = node.driver.onItem(from, item);
      if (reason !== undefined) node.refused.push(reason);
    }
  }

  close(): void {
    for (const { driver } of this.nodes.values()) driver.close();
  }
}
