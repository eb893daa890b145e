import { describe, expect, test } from "vitest";
import { ALIAS_RESTART, MAX_TOPIC_ALIASES } from "../../../src/cluster/messaging/bounds.js";
import { ALIAS, PublishItem } from "../../../src/cluster/messaging/items.js";
import { Publication } from "../../../src/cluster/messaging/publication.js";
import { AliasNumbers, SentAliases, TopicForm } from "../../../src/cluster/messaging/topic-aliases.js";
import { TopicPlan } from "../../../src/cluster/messaging/topic-plan.js";
import { FakeProtocol } from "./fake-streams.js";
import { LinksNode, linksWorld } from "./links-world.js";

const plans = (count: number): TopicPlan[] =>
  Array.from({ length: count }, (_, i) => new TopicPlan(`t/${i}`));

describe("aliases of a node's topics", () => {
  test("begin again when many publishes found none, and a link defines them again", () => {
    const aliases = new AliasNumbers();
    const first = plans(MAX_TOPIC_ALIASES);
    for (const plan of [...first, ...first]) aliases.look(plan);
    const sent = new SentAliases();
    for (const plan of first) sent.defined(plan);
    const late = new TopicPlan("late");
    aliases.look(late);
    for (let i = 1; i < ALIAS_RESTART; i++) aliases.look(late);
    expect([late.alias, aliases.generation]).toEqual([-1, 1]);
    aliases.look(late);
    expect([late.alias, aliases.generation]).toEqual([0, 2]);
    expect([sent.formOf(late), sent.formOf(first[1] as TopicPlan)]).toEqual([
      TopicForm.DEFINE,
      TopicForm.USE,
    ]);
  });
});

describe("aliases on a link", () => {
  const world = linksWorld();

  /** Publications of one node, in turn to each of some topics. */
  class Publishing {
    readonly aliases = new AliasNumbers();
    readonly plans = plans(3);
    readonly publication = new Publication(this.plans[0] as TopicPlan);
    count = 0;

    publish(from: LinksNode, to: LinksNode, count: number): void {
      for (let i = 0; i < count; i++) {
        const plan = this.plans[this.count % this.plans.length] as TopicPlan;
        this.aliases.look(plan);
        this.publication.set(plan, 1, undefined, 0, String(this.count));
        expect(from.links.publish([to.id], this.publication, [])).toBe(1);
        this.count += 1;
      }
    }
  }

  /** What a session's items say: topic and data, and how many had the topic's name. */
  class Received {
    readonly got: string[] = [];
    names = 0;
    readonly #topics = new Map<number, string>();

    take(bytes: Buffer): void {
      const item = new PublishItem();
      expect(item.readHead(bytes, 0, bytes.length) && item.readTail()).toBe(true);
      const { nameStart, nameEnd } = item.reader;
      const isUse = ((bytes[0] as number) & ALIAS) !== 0;
      const topic = isUse ? this.#topics.get(item.alias) : bytes.toString("utf8", nameStart, nameEnd);
      if (!isUse) this.names += 1;
      if (!isUse && item.alias >= 0) this.#topics.set(item.alias, topic as string);
      this.got.push(`${topic} ${item.reader.rest()}`);
    }

    static expected(count: number, from = 0): string[] {
      return Array.from({ length: count }, (_, i) => `t/${(from + i) % 3} ${from + i}`);
    }
  }

  function receive(node: LinksNode): Received {
    const received = new Received();
    node.onBytes = (bytes) => received.take(bytes);
    return received;
  }

  test("that were defined and not sent yet go to another life of the peer", async () => {
    const tcp = new FakeProtocol();
    const [a, b] = await world.pair({ protocols: [tcp] });
    const publishing = new Publishing();
    for (const plan of publishing.plans) for (let i = 0; i < 2; i++) publishing.aliases.look(plan);
    tcp.fails = true;
    publishing.publish(a, b, 6);
    await a.until(() => a.pings.length > 0);
    await b.links.close(0);
    tcp.fails = false;
    const again = new LinksNode(world, "b", { id: b.id });
    world.started.push(again);
    const received = receive(again);
    await again.start();
    await again.until(() => received.got.length === 6);
    expect([received.got, received.names, a.to(again).lost]).toEqual([Received.expected(6), 3, 0]);
  });

  test("are defined again for another life of the peer", async () => {
    const [a, b] = await world.pair();
    const publishing = new Publishing();
    const first = receive(b);
    publishing.publish(a, b, 3);
    await b.until(() => first.got.length === 3);
    publishing.publish(a, b, 30);
    await b.until(() => first.got.length === 33);
    await b.links.close(0);
    const again = new LinksNode(world, "b", { id: b.id });
    world.started.push(again);
    const second = receive(again);
    await again.start();
    publishing.publish(a, again, 1);
    // It was for the life before.
    await a.until(() => a.to(again).lost === 1);
    const from = publishing.count;
    publishing.publish(a, again, 30);
    await again.until(() => second.got.at(-1)?.endsWith(` ${from + 29}`) === true);
    expect(second.got.slice(-30)).toEqual(Received.expected(30, from));
  });
});
