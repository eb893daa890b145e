import { describe, expect, test } from "vitest";
import { encodeCommand } from "../../../../src/engine/zmtp/codec/command.js";
import { encodeMetadata } from "../../../../src/engine/zmtp/codec/metadata.js";
import { NullMechanism } from "../../../../src/engine/zmtp/mechanism/null.js";
import { bodyOf, READY_DEALER, READY_PUB } from "../../../vectors/mechanism.js";
import { optionsOf, properties } from "./support.js";

const plain = (socketType = "DEALER") => new NullMechanism(optionsOf({ properties: properties(socketType) }));
const asking = () => new NullMechanism(optionsOf({ asks: true }));

test("its READY is libzmq's", () => {
  expect(plain("PUB").start().send).toEqual([bodyOf(READY_PUB)]);
});

test("libzmq's READY completes it", () => {
  const side = plain();
  side.start();
  expect(side.receive(bodyOf(READY_DEALER)).done).toEqual(
    new Map([
      ["socket-type", Buffer.from("DEALER")],
      ["identity", Buffer.alloc(0)],
    ]),
  );
  expect("sealer" in side).toBe(false);
});

test("what each READY says is its own, whatever came before it", () => {
  const learn = (socketType: string, identity: string) => {
    const side = plain();
    side.start();
    const identities = [["Identity", Buffer.from(identity)]] as const;
    const body = Buffer.concat([properties(socketType), encodeMetadata(identities)]);
    const command = encodeCommand("READY", body);
    const { done } = side.receive(command);
    command.fill(0); // The memory of a read is used again.
    return done;
  };
  const [first, same, other] = [learn("REQ", ""), learn("REQ", ""), learn("DEALER", "")];
  const [a, b, sameName] = [learn("REQ", "a"), learn("REQ", "b"), learn("REQ", "a")];
  expect(same).toEqual(first);
  expect([first, other].map((one) => String(one?.get("socket-type")))).toEqual(["REQ", "DEALER"]);
  expect([a, b, sameName].map((one) => String(one?.get("identity")))).toEqual(["a", "b", "a"]);
  // Sockets keep it as the peer's name.
  expect(sameName?.get("identity")).not.toBe(a?.get("identity"));
});

test("a READY that has come before is refused all the same where none is due", () => {
  const ready = bodyOf(READY_PUB);
  for (let i = 0; i < 2; i++) {
    const side = plain();
    side.start();
    expect(side.receive(ready).done).toBeInstanceOf(Map);
    expect(side.receive(ready).failed).toMatchObject({ code: "ERR_ZMTP_UNEXPECTED_COMMAND" });
  }
  const side = asking();
  side.start();
  expect(side.receive(ready).failed).toMatchObject({ code: "ERR_ZMTP_UNEXPECTED_COMMAND" });
});

describe("with a hook", () => {
  test("a peer's READY does not come before the answer", () => {
    const side = asking();
    side.start();
    expect(side.receive(bodyOf(READY_PUB)).failed).toMatchObject({ code: "ERR_ZMTP_UNEXPECTED_COMMAND" });
    expect(side.authenticated(true).failed).toMatchObject({ code: "ERR_ZMTP_UNEXPECTED_COMMAND" });
  });
});

describe("is a fault:", () => {
  test.each([
    ["another command", encodeCommand("HELLO")],
    ["a message instead of a command", Buffer.from("hello world")],
    ["an empty body", Buffer.alloc(0)],
  ])("%s", (_, body) => {
    const side = plain();
    side.start();
    expect(side.receive(body).failed).toMatchObject({
      kind: "protocol",
      code: "ERR_ZMTP_UNEXPECTED_COMMAND",
    });
  });

  test("READY with damaged metadata", () => {
    const side = plain();
    side.start();
    expect(side.receive(encodeCommand("READY", Buffer.from([5, 65]))).failed).toMatchObject({
      kind: "protocol",
      code: "ERR_ZMTP_INVALID_METADATA",
    });
  });

  test("a verdict that was not asked for", () => {
    const side = plain();
    side.start();
    expect(side.authenticated(true).failed).toMatchObject({ code: "ERR_ZMTP_UNEXPECTED_COMMAND" });
  });
});
