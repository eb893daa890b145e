/** docs/spec/link.md: its vectors are what this code writes, and the numbers in its tables are the code's. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { passwordKey } from "../../src/core/password.js";
import {
  encodeControl,
  encodeMessage,
  encodeOpen,
  encodeReason,
  FIN,
  FrameType,
  LinkCode,
} from "../../src/link/frames.js";
import { Handshake, type LinkRole, RecordSealer } from "../../src/link/security.js";
import { codes, ROOT } from "../support/markdown.js";

const PAGE = readFileSync(join(ROOT, "docs/spec/link.md"), "utf8");

/** The second cell of the row that begins with `what`. */
function row(what: string): string {
  const line = PAGE.split("\n").find((each) => each.startsWith(`| ${what} |`));
  return codes(line?.split(" | ")[1] ?? "")[0] ?? "";
}

/** A private key of X25519 by its bytes. */
function secret(byte: number): KeyObject {
  const key = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), Buffer.alloc(32, byte)]);
  return createPrivateKey({ key, format: "der", type: "pkcs8" });
}

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex");

it("the handshake's vectors are what the code sends", () => {
  const settings = { window: 65_536, maxChannels: 100, keys: [Buffer.alloc(32, 1)], encrypt: true };
  const make = (role: LinkRole, byte: number): Handshake =>
    new Handshake({ ...settings, role }, secret(byte));
  const [initiator, responder] = [make("initiator", 7), make("responder", 9)];
  const sent: Buffer[] = [];
  const send = (bytes: Buffer): void => void sent.push(bytes);
  initiator.receive(responder.hello, send);
  responder.receive(Buffer.concat([initiator.hello, sent[0] as Buffer]), send);
  initiator.receive(sent[1] as Buffer, send);
  const made = {
    "hello of the initiator": hex(initiator.hello),
    "hello of the responder": hex(responder.hello),
    "proof of the initiator": hex(sent[0]?.subarray(1)),
    "proof of the responder": hex(sent[1]?.subarray(1)),
    "key of what the initiator sends": hex(initiator.agreement?.seals?.out),
    "P of the password `correct horse battery`, group `link`": hex(
      passwordKey("correct horse battery", "shoal link password 1 link"),
    ),
  };
  for (const [what, bytes] of Object.entries(made)) expect(bytes, what).toBe(row(what));
});

it("the vectors of records, frames and messages are what the code writes", () => {
  const ping = Buffer.alloc(8);
  ping.writeBigUInt64BE(1n);
  const credit = Buffer.alloc(4);
  credit.writeUInt32BE(32_768);
  const written = {
    record: Buffer.concat(new RecordSealer(Buffer.alloc(32, 1)).seal([Buffer.from("hello")])),
    "OPEN of channel 1, bytes, `files`": encodeControl(
      FrameType.OPEN,
      0,
      1,
      encodeOpen({ kind: 0, name: "files" }),
    ),
    "ACCEPT of channel 1": encodeControl(FrameType.ACCEPT, 0, 1, Buffer.alloc(0)),
    "DATA of channel 1, `hello`, with FIN": encodeControl(FrameType.DATA, FIN, 1, Buffer.from("hello")),
    "CREDIT of 32,768 bytes for channel 2": encodeControl(FrameType.CREDIT, 0, 2, credit),
    "RESET of channel 2, code 2, `no`": encodeControl(
      FrameType.RESET,
      0,
      2,
      encodeReason(LinkCode.REFUSED, "no"),
    ),
    "PING 1": encodeControl(FrameType.PING, 0, 0, ping),
    "a message `hi` on a channel of messages, without its frame": encodeMessage(Buffer.from("hi")),
  };
  for (const [what, bytes] of Object.entries(written)) expect(hex(bytes), what).toBe(row(what));
});
