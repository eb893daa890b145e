/**
 * Messages of the patterns, whatever is in them: no parser throws, changes a frame, or takes for good what its own
 * encoder would not have made.
 */
import { expect, test } from "vitest";
import * as pirate from "../../../src/kit/worker-protocol.js";
import * as star from "../../../src/patterns/binary-star/rules.js";
import type { Operation, OperationKind } from "../../../src/patterns/clone/operation.js";
import * as cloneProperties from "../../../src/patterns/clone/properties.js";
import * as cloneProtocol from "../../../src/patterns/clone/protocol.js";
import * as cloneLink from "../../../src/patterns/clone/replication.js";
import * as cloneStanding from "../../../src/patterns/clone/standing.js";
import * as espresso from "../../../src/patterns/espresso/rules.js";
import * as federation from "../../../src/patterns/federation/broker.js";
import * as freelance from "../../../src/patterns/freelance/protocol.js";
import * as sequenced from "../../../src/patterns/sequenced/protocol.js";
import * as titanic from "../../../src/patterns/titanic/protocol.js";
import { decodeRecord, encodeRecord } from "../../../src/store/store.js";
import { fuzz, hex, same, type Target } from "../messages.js";

const ADDRESS = Buffer.from("client");
const BODY = [Buffer.from("body"), Buffer.alloc(0), Buffer.from("more")];
const ID = Buffer.from("0123456789abcdef");
const SAFE = Number.MAX_SAFE_INTEGER;
const SESSION = Buffer.alloc(8, 1);
const clone = { ...cloneProtocol, ...cloneProperties, ...cloneLink, ...cloneStanding };

function operation(kind: OperationKind): Operation {
  const properties = clone.encodeSetProperties(0, kind === "conflict" ? 3 : undefined);
  return {
    kind,
    counted: false,
    condition: undefined,
    key: Buffer.from("key"),
    sequence: 77,
    uuid: ID,
    properties,
    expires: 0,
    value: Buffer.from(kind === "set" ? "v" : ""),
  };
}

const sequenceOf = (bytes: Buffer): bigint => bytes.readBigUInt64BE();

function addressed(
  dialect: pirate.Dialect,
  address: Buffer,
  body: readonly Buffer[],
  frames: Buffer[],
): void {
  same(pirate.addressedFrames(dialect, address, body), frames);
  expect(address.length).toBeGreaterThan(0);
  expect(body.length).toBeGreaterThan(0);
}

function fromWorker(frames: Buffer[]): boolean {
  const command = pirate.parseFromWorker(frames);
  if (command.kind === "ready") same(pirate.readyFrames(command.dialect), frames);
  if (command.kind === "heartbeat") same(pirate.heartbeatFrames(), frames);
  if (command.kind === "reply") addressed(command.dialect, command.address, command.body, frames);
  return command.kind !== "invalid";
}

const workers = (["simple", "paranoid"] as const).flatMap((dialect) => [
  pirate.readyFrames(dialect),
  pirate.addressedFrames(dialect, ADDRESS, BODY),
  pirate.addressedFrames(dialect, Buffer.of(1), BODY),
]);

const TARGETS: Target[] = [
  {
    name: "pirate, from clients",
    good: [pirate.replyFrames([ADDRESS], BODY), pirate.replyFrames([ADDRESS, ID], [Buffer.alloc(0)])],
    check: (frames) => {
      const command = pirate.parseFromClient(frames);
      if (command.kind === "invalid") return false;
      same(pirate.replyFrames(command.envelope, command.body), frames);
      expect(command.envelope.every(({ length }) => length > 0)).toBe(true);
      expect(Math.min(command.envelope.length, command.body.length)).toBeGreaterThan(0);
      return true;
    },
  },
  { name: "pirate, from workers", good: [...workers, pirate.heartbeatFrames()], check: fromWorker },
  ...(["simple", "paranoid"] as const).map((dialect) => ({
    name: `pirate, from a queue, ${dialect}`,
    good: [
      pirate.addressedFrames(dialect, ADDRESS, BODY),
      ...(dialect === "paranoid" ? [pirate.heartbeatFrames()] : []),
    ],
    check: (frames: Buffer[]) => {
      const command = pirate.parseFromQueue(frames, dialect);
      if (command.kind === "heartbeat") same(pirate.heartbeatFrames(), frames);
      if (command.kind === "request") addressed(dialect, command.address, command.body, frames);
      return command.kind !== "invalid";
    },
  })),
  {
    name: "binary star",
    good: [1, 2, 3, 4].map((state) => [star.encodeState(state as star.BinaryStarState)]),
    check: (frames) => {
      const state = star.parseState(frames);
      if (state === undefined) return false;
      same([star.encodeState(state)], frames);
      expect(Object.values(star.BinaryStarState)).toContain(state);
      return true;
    },
  },
  ...([1, 2, 3] as const).map((model) => ({
    name: `freelance, at a server, model ${model}`,
    good:
      model === 3
        ? [
            [ADDRESS, "7", ...BODY],
            [ADDRESS, freelance.PING],
          ]
        : [
            [ADDRESS, "", "7", ...BODY],
            [ADDRESS, ID, "", "7", "x"],
          ],
    check: (frames: Buffer[]) => {
      const command = freelance.parseServerMessage(model, frames);
      if (command === undefined) return false;
      expect(hex(command.client)).toBe(hex(frames[0] as Buffer));
      if (command.type === "ping") same([freelance.PING], frames.slice(1));
      else {
        same([...command.head, ...command.body], frames);
        expect(command.body.length).toBeGreaterThan(0);
      }
      return true;
    },
  })),
  {
    name: "freelance, at a client",
    good: [[freelance.PONG], ["9007199254740991", "x"], ["0", ""]],
    check: (frames) => {
      const command = freelance.parseClientMessage(frames);
      if (command === undefined) return false;
      if (command.type === "pong") same([freelance.PONG], frames);
      else {
        same(command.body, frames.slice(1));
        expect(BigInt(String(frames[0]))).toBe(BigInt(command.sequence));
        expect(command.sequence).toBeLessThanOrEqual(SAFE);
      }
      return true;
    },
  },
  {
    name: "federation",
    good: [federation.stateFrames({ site: "north", capacity: 12 }), ["s", "0"], ["s", "999999999"]],
    bad: [["s", "1000000000"], ["s", "-1"], ["s", "1e3"], ["s", ""], ["", "1"], ["s"], ["s", "1", ""]],
    check: (frames) => {
      const state = federation.parseState(frames);
      if (state === undefined) return false;
      const [site, capacity] = federation.stateFrames(state);
      expect([site, Number(capacity)]).toEqual([String(frames[0]), Number(String(frames[1]))]);
      expect(String(frames[1])).toMatch(/^\d{1,9}$/);
      return true;
    },
  },
  {
    name: "titanic, request",
    good: [
      ["echo", ...BODY],
      ["e", ""],
    ],
    check: (frames) => {
      const command = titanic.parseRequest(ID, frames);
      if (typeof command === "string") return false;
      same([command.service, ...command.body], frames);
      expect(command.service.length).toBeLessThanOrEqual(255);
      expect(command.service.length * command.body.length).toBeGreaterThan(0);
      expect(String(command.service)).not.toMatch(/^(mmi|titanic)\./);
      return true;
    },
  },
  {
    name: "titanic, reference and status",
    good: [["200", titanic.formatUuid(ID)], ["200 OK"], ["400"], [titanic.formatUuid(ID)]],
    check: (frames) => {
      const [uuid, status] = [titanic.parseReference(frames), titanic.parseStatus(frames[0])];
      if (uuid !== undefined) expect(titanic.formatUuid(uuid)).toBe(String(frames[0]).toUpperCase());
      if (status !== undefined) expect(`${String(frames[0])} `.startsWith(`${status} `)).toBe(true);
      return uuid !== undefined || status !== undefined;
    },
  },
  {
    name: "titanic, record",
    good: [[encodeRecord(BODY, 1_700_000_000_000)], [encodeRecord([], 0)]],
    check: ([bytes]) => {
      const record = bytes === undefined ? "" : decodeRecord(bytes);
      if (typeof record === "string") return false;
      same([encodeRecord(record.frames, record.expires)], [bytes as Buffer]);
      return true;
    },
  },
  {
    name: "clone, request",
    good: ["", "/a/", "/a/b/"].map((subtree) => clone.encodeRequest(Buffer.from(subtree))),
    check: (frames) => {
      const subtree = clone.parseRequest(frames);
      if (typeof subtree === "string") return false;
      same(clone.encodeRequest(subtree), frames);
      expect(subtree.toString("latin1")).toMatch(/^(?:\/(?:[^/]+\/)+)?$/s);
      expect(subtree.length).toBeLessThanOrEqual(255);
      return true;
    },
  },
  {
    name: "clone, properties of compare-and-set",
    good: [
      [clone.encodeSetProperties(1_500, 7)],
      [clone.encodeSetProperties(0, 0)],
      [clone.encodeSetProperties(0, SAFE)],
    ],
    bad: [
      ["ttl=0\nif-revision=\n"],
      ["if-revision=-1\n"],
      [`if-revision=${SAFE}0\n`],
      ["if-revision=1.5\n"],
      ["ttl=0\n"],
    ],
    check: (frames) => {
      const [properties = Buffer.alloc(0)] = frames;
      const text = clone.property(properties, "if-revision");
      const condition = clone.conditionOf(properties);
      const revision = clone.revisionOf(properties);
      const unsafe = [condition, revision].some(
        (n) => typeof n === "number" && !(Number.isSafeInteger(n) && n >= 0),
      );
      expect(unsafe).toBe(false);
      expect(condition === undefined).toBe(text === undefined);
      if (typeof condition !== "number") return false;
      // Read again from what its own encoder makes of it.
      expect(clone.conditionOf(clone.encodeSetProperties(0, condition))).toBe(condition);
      expect(Number(text)).toBe(condition);
      return frames.length === 1;
    },
  },
  {
    name: "clone, properties of an update that changes nothing",
    good: [
      [clone.encodeUnchanged(0, 7, true)],
      [clone.encodeUnchanged(0, 0, true)],
      [clone.encodeUnchanged(2_000, SAFE, false)],
    ],
    bad: [["ttl=0\nrevision=x\n"], [clone.encodeUnchanged(0, 0, false)]],
    check: (frames) => {
      const [properties = Buffer.alloc(0)] = frames;
      const revision = clone.revisionOf(properties);
      if (revision === undefined) return false;
      const conflict = clone.hasLine(properties, clone.CONFLICT);
      const again = clone.encodeUnchanged(0, revision, conflict);
      if (revision > 0 || conflict) expect(clone.revisionOf(again)).toBe(revision);
      expect(clone.hasLine(again, clone.CONFLICT)).toBe(conflict);
      return frames.length === 1;
    },
  },
  {
    name: "clone, updates to the other server",
    good: (["set", "delete", "announce", "conflict"] as const).map((kind) => [
      SESSION,
      ...clone.encodeUpdate(operation(kind)),
    ]),
    bad: ["kind=set", "kind=take\n", "ttl=0\nkind=set\n", "kind=set\nttl=x\n"].map((properties) => [
      SESSION,
      ...clone.encodeUpdate(operation("set")).with(3, Buffer.from(properties)),
    ]),
    check: (frames) => {
      const link = clone.parseLink(frames);
      if (link === undefined || link.frames.length === 2) return false;
      const update = clone.parseUpdate(link.frames, 0);
      if (update === undefined) return false;
      same([link.session, ...clone.encodeUpdate(update)], frames);
      return true;
    },
  },
  {
    name: "clone, standing",
    good: [
      [clone.encodeStanding(clone.NO_STANDING)],
      [clone.encodeStanding({ map: "0101010101010101", term: 4, alone: true })],
    ],
    check: (frames) => {
      const [bytes] = frames;
      const standing = bytes === undefined ? undefined : clone.parseStanding(bytes);
      if (standing === undefined || bytes === undefined) return false;
      const again = clone.encodeStanding(standing);
      expect(clone.parseStanding(again)).toEqual(standing);
      return frames.length === 1;
    },
  },
  {
    name: "clone, position",
    good: [
      [clone.encodePosition({ map: "0101010101010101", term: 3, sequence: SAFE, alone: true, ready: false })],
    ],
    check: (frames) => {
      const [bytes] = frames;
      const position = bytes === undefined ? undefined : clone.parsePosition(bytes);
      if (position === undefined) return false;
      expect(clone.parsePosition(clone.encodePosition(position))).toEqual(position);
      return frames.length === 1;
    },
  },
  {
    name: "clone, update",
    good: [
      clone.encodeSet(Buffer.from("key"), ID, Buffer.from("ttl=1\n"), Buffer.from("value")),
      clone.encodeHugz(SAFE),
      clone.encodeGoodbye(77, Buffer.from("/a/")),
      ["k", Buffer.from("001fffffffffffff", "hex"), "", "", "v"],
    ],
    bad: [["k", Buffer.from("0020000000000000", "hex"), "", "", "v"]],
    check: (frames) => {
      if (clone.updateFault(frames) !== undefined) return false;
      const [key, bytes, uuid, properties] = frames as [Buffer, Buffer, Buffer, Buffer, Buffer];
      const sequence = clone.readSequence(bytes);
      same([clone.sequenceFrame(sequence)], [bytes]);
      expect(BigInt(sequence)).toBe(sequenceOf(bytes));
      expect(sequence).toBeLessThanOrEqual(SAFE);
      expect([0, 16]).toContain(uuid.length);
      expect(properties.length).toBeLessThanOrEqual(4_096);
      const reserved = ["HUGZ", "KTHXBAI"].includes(key.toString("latin1"));
      expect(clone.isHugz(frames) || clone.isGoodbye(frames)).toBe(reserved);
      const fault = key.length === 0 || key.length > 255 ? "key" : reserved ? "reserved-key" : undefined;
      expect(clone.keyFault(key)).toBe(fault);
      return true;
    },
  },
  {
    name: "sequenced, meta",
    good: [
      [sequenced.encodeMeta(ID, 1, SAFE, 1_700_000_000_000_000)],
      [sequenced.encodeMeta(ID, 0xffff_ffff, 1, 0)],
    ],
    check: ([frame = Buffer.alloc(0)]) => {
      const meta = sequenced.parseMeta(frame);
      if (meta === undefined) return false;
      const { publisher, stream, sequence, time } = meta;
      same([sequenced.encodeMeta(Buffer.from(publisher, "latin1"), stream, sequence, time)], [frame]);
      expect(sequence).toBeGreaterThan(0);
      expect(Math.max(sequence, time)).toBeLessThanOrEqual(SAFE);
      return true;
    },
  },
  {
    name: "sequenced, replay",
    good: [
      [sequenced.encodeRequest({ publisher: ID.toString("hex"), stream: 7, from: 1, to: SAFE, number: 3 })],
      [sequenced.encodeAnswer(0xffff_ffff)],
      ...Object.values(sequenced.EndStatus).map((status) => [sequenced.encodeEnd({ number: 1, status })]),
    ],
    bad: [
      { from: 2, to: 1 },
      { from: 0, to: 1 },
    ].map((range) => [
      sequenced.encodeRequest({ publisher: ID.toString("hex"), stream: 7, number: 3, ...range }),
    ]),
    check: ([frame = Buffer.alloc(0)]) => {
      const request = sequenced.parseRequest(frame);
      const answer = sequenced.parseAnswer(frame);
      const end = sequenced.parseEnd(frame);
      if (request !== undefined) {
        same([sequenced.encodeRequest(request)], [frame]);
        expect(request.from).toBeGreaterThan(0);
        expect(request.to).toBeGreaterThanOrEqual(request.from);
        expect(request.to).toBeLessThanOrEqual(SAFE);
      }
      if (answer !== undefined) same([sequenced.encodeAnswer(answer)], [frame]);
      if (end !== undefined) same([sequenced.encodeEnd(end)], [frame]);
      const taken = [request, answer, end].filter((each) => each !== undefined);
      expect(taken.length).toBeLessThanOrEqual(1);
      return taken.length === 1;
    },
  },
  {
    name: "espresso, trailer",
    good: [
      [espresso.encodeTrailer({ from: "backend", frames: 3, size: 12, time: 1_700_000_000_000.5 })],
      [espresso.encodeTrailer({ from: "frontend", frames: 0, size: 0, time: 0 })],
    ],
    check: ([frame = Buffer.alloc(0)]) => {
      const trailer = espresso.parseTrailer(frame);
      if (trailer === undefined) return false;
      same([espresso.encodeTrailer(trailer)], [frame]);
      expect(Number.isSafeInteger(trailer.size)).toBe(true);
      return true;
    },
  },
];

test.each(TARGETS.map((target) => [target.name, target] as const))("%s", (_, target) => fuzz(target));
