/** PUBLISH and DIRECT as bytes: the vectors of the specification. */
import { describe, expect, test } from "vitest";
import {
  encodeClosed,
  encodeDirect,
  encodeName,
  ItemReader,
  PublishItem,
} from "../../../src/cluster/messaging/items.js";
import { Publication, TopicForm, TopicPlan } from "../../../src/cluster/messaging/publication.js";
import { vectorsUnder } from "../../support/markdown.js";
import { publishItem } from "./published.js";

const STAMP = 1_700_000_000_000_000;
const TOPIC = "sensors/3/temperature";

/** What the specification calls it, and the item. */
const VECTORS: readonly (readonly [string, Buffer])[] = [
  ["21.5 is published", publishItem(TOPIC, { data: "21.5" })],
  [
    "the same by the client 7, with the subtopic raw, retained",
    publishItem(TOPIC, { client: 7, subtopic: "raw", stamp: STAMP, data: "21.5" }),
  ],
  ["to the client 2, with the subtopic pong", encodeDirect(2, 1, "pong", "I am good, thanks!")],
  ["there is no client 2", encodeClosed(2)],
];

describe("items of publishing", () => {
  test("are as the specification has them", () => {
    const listed = vectorsUnder("spec/messaging.md", "Vectors of publishing");
    expect(listed).toEqual(VECTORS.map(([name, item]) => [name, item.toString("hex")]));
    const read = new PublishItem();
    for (const [at, expected] of [
      [1, undefined, 0],
      [7, "raw", STAMP],
    ].entries()) {
      const [, item] = VECTORS[at] as (typeof VECTORS)[number];
      expect(read.readHead(item, 0, item.length)).toBe(true);
      expect(item.toString("utf8", read.reader.nameStart, read.reader.nameEnd)).toBe("sensors/3/temperature");
      expect(read.readTail()).toBe(true);
      expect([read.client, read.subtopic, read.stamp]).toEqual(expected);
      expect(String(read.reader.rest())).toBe("21.5");
    }
  });

  test("have an alias in place of the topic, or define it, as the specification has them", () => {
    const publication = new Publication(new TopicPlan("t"));
    const item = (alias: number, form: TopicForm, client: number, subtopic: string | undefined): Buffer => {
      const plan = new TopicPlan("sensors/3/temperature");
      plan.alias = alias;
      publication.set(plan, client, subtopic === undefined ? undefined : encodeName(subtopic), 0, "21.5");
      publication.encodeHead(form);
      return Buffer.concat([publication.head.bytes.subarray(0, publication.head.at), Buffer.from("21.5")]);
    };
    const rows: readonly (readonly [string, Buffer])[] = [
      [
        "DEFINE: 3 stands for sensors/3/temperature, and 21.5 is published",
        item(3, TopicForm.DEFINE, 1, undefined),
      ],
      ["ALIAS: 21.5 is published to 3", item(3, TopicForm.USE, 1, undefined)],
      [
        "DEFINE: 300 stands for it from now on, by the client 7, with the subtopic raw",
        item(300, TopicForm.DEFINE, 7, "raw"),
      ],
      ["ALIAS: the same to 300", item(300, TopicForm.USE, 7, "raw")],
    ];
    const listed = vectorsUnder("spec/messaging.md", "Vectors of topic aliases");
    expect(listed).toEqual(rows.map(([what, bytes]) => [what, bytes.toString("hex")]));
    // And what is listed is read back.
    const read = new PublishItem();
    for (const [at, [, hex]] of listed.entries()) {
      const bytes = Buffer.from(hex as string, "hex");
      expect(read.readHead(bytes, 0, bytes.length) && read.readTail()).toBe(true);
      expect([read.alias, read.client, read.subtopic, read.reader.rest().toString()]).toEqual(
        at < 2 ? [3, 1, undefined, "21.5"] : [300, 7, "raw", "21.5"],
      );
      const { nameStart, nameEnd } = read.reader;
      if (at % 2 === 0) expect(bytes.toString("utf8", nameStart, nameEnd)).toBe("sensors/3/temperature");
    }
  });

  test("that are cut short are malformed, or end in their data", () => {
    for (const [, item] of VECTORS.slice(0, 2))
      for (let end = 0; end < item.length; end++) {
        const read = new PublishItem();
        const isWhole = read.readHead(item, 0, end) && read.readTail();
        if (isWhole) expect(end).toBeGreaterThanOrEqual(item.length - 4);
      }
  });

  test("have varints of 32 bits in as few bytes as it takes", () => {
    const read = (...bytes: number[]): number | undefined => {
      const reader = new ItemReader();
      reader.start(Buffer.from(bytes), 0);
      const value = reader.varint();
      return reader.failed ? undefined : value;
    };
    expect(read(0xff, 0xff, 0xff, 0xff, 0x0f)).toBe(0xffff_ffff);
    expect(read(0xff, 0xff, 0xff, 0xff, 0x1f)).toBeUndefined();
    expect(read(0x80, 0x00)).toBeUndefined();
    expect(read(0x80, 0x80, 0x80, 0x80, 0x80, 0x01)).toBeUndefined();
    expect(read(0x80)).toBeUndefined();
    expect(read(0)).toBe(0);
  });
});
