/** The bytes of 12/CHP, and what is refused. */
import { expect, test } from "vitest";
import {
  encodeTimeToLive,
  property,
  SubtreeSequences,
  subtreeName,
  subtreeSequence,
  timeToLive,
} from "../../../src/patterns/clone/properties.js";
import { endpointAt, endpointsOf, isSubtree, uuidsOf } from "../../../src/patterns/clone/protocol.js";
import { UuidWindow } from "../../../src/patterns/clone/server-state.js";

test("a subtree is nothing, or segments between slashes", () => {
  for (const good of ["", "/a/", "/a/b/", "/\0\xff/"])
    expect(isSubtree(Buffer.from(good, "latin1"))).toBe(true);
  for (const bad of ["/", "//", "a", "/a", "a/", "/a//b/", "//a/", `/${"a".repeat(254)}/`])
    expect(isSubtree(Buffer.from(bad))).toBe(false);
});

test("a time to live is seconds, and anything that is no such number is refused", () => {
  const of = (text: string): number | undefined => timeToLive(Buffer.from(text));
  expect([of(""), of("ttl=0\n"), of("a=b\n"), of("ttl=\n")]).toEqual([0, 0, 0, 0]);
  expect([of("ttl=3\n"), of("x=1\nttl=2\n"), of("ttl=0.25\n"), of("ttl=7")]).toEqual([
    3_000, 2_000, 250, 7_000,
  ]);
  for (const bad of ["ttl=-1\n", "ttl=x\n", "ttl=1e3\n", "ttl=1700000000\n", "ttl=NaN\n"])
    expect(of(bad)).toBeUndefined();
  for (const ms of [1, 250, 1_000, 90_500]) expect(timeToLive(encodeTimeToLive(ms))).toBe(ms);
  expect(property(Buffer.from("a=1\nb=2=3\nno\n"), "b")).toBe("2=3");
});

test("a chain says which update of a subtree was the one before", () => {
  const chains = new SubtreeSequences();
  expect(chains.advance(Buffer.from("/a/k"), 1)).toBe("");
  chains.register(Buffer.from("/a/"), 1);
  chains.register(Buffer.from("/a/b/"), 1);
  expect(chains.advance(Buffer.from("/c/k"), 2)).toBe("");
  expect(chains.advance(Buffer.from("/a/k"), 3)).toBe("s1=1\n");
  expect(chains.advance(Buffer.from("/a/b/k"), 4)).toBe("s1=3\ns2=1\n");
  expect(String(chains.all())).toBe("s1=4\ns2=4\n");
  expect(subtreeName(chains.of(Buffer.from("/a/b/")))).toBe("s2");
  expect(subtreeSequence(Buffer.from("ttl=0\ns1=3\ns2=1\n"), "s2")).toBe(1);
  expect(subtreeName(chains.of(Buffer.from("/never/")))).toBeUndefined();
});

test("a server's endpoints follow from its first one", () => {
  expect(endpointsOf("tcp://host:5556")).toEqual({
    snapshot: "tcp://host:5556",
    publisher: "tcp://host:5557",
    collector: "tcp://host:5558",
  });
  expect(endpointAt("ipc:///tmp/x", 2)).toBe("ipc:///tmp/x-2");
  for (const bad of ["", "tcp://host", "tcp://host:*", "tcp://host:65535", "tcp://host:0"])
    expect(() => endpointAt(bad, 0)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  for (const other of ["tls://host:5556", "ws://host:5556", "wss://host:5556/path"])
    expect(() => endpointAt(other, 0)).toThrow("must be tcp://HOST:PORT, ipc://PATH or inproc://NAME; got ");
  for (const none of [undefined, null, 5, {}, { snapshot: "tcp://host:1", publisher: 5 }])
    expect(() => endpointsOf(none as never)).toThrow(
      "A clone's endpoint must be such as tcp://HOST:5556; got ",
    );
});

test("the window remembers its bound of UUIDs, and not one more", () => {
  const window = new UuidWindow(1_024);
  const uuid = (n: number): Buffer => {
    const bytes = Buffer.alloc(16, 7);
    bytes.writeUInt32BE(n, 12);
    return bytes;
  };
  for (let n = 0; n < 10_000; n++) expect(window.add(uuid(n))).toBe(true);
  for (let n = 10_000 - 1_024; n < 10_000; n++) expect(window.add(uuid(n))).toBe(false);
  expect(window.has(uuid(10_000 - 1_025))).toBe(false);
  expect(uuidsOf(window.bytes())).toEqual(Array.from({ length: 1_024 }, (_, i) => uuid(8_976 + i)));
  expect(uuidsOf(window.bytes([uuid(9_998)])).slice(-2)).toEqual([uuid(9_997), uuid(9_999)]);
  // A removed one makes room.
  window.remove(uuid(9_000));
  expect([window.add(uuid(9_000)), window.has(uuid(8_976))]).toEqual([true, true]);
  for (let n = 10_000; n < 20_000; n++) window.add(uuid(n));
  expect(uuidsOf(window.bytes())).toEqual(Array.from({ length: 1_024 }, (_, i) => uuid(18_976 + i)));
});

test("256 subtrees have a number, and clients of further ones get none", () => {
  const chains = new SubtreeSequences();
  for (let n = 1; n <= 257; n++) chains.register(Buffer.from(`/${n}/`), 1);
  expect([256, 257].map((n) => String(chains.of(Buffer.from(`/${n}/`))))).toEqual(["s256=1\n", ""]);
});
