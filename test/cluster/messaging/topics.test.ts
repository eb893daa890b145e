import { describe, expect, it } from "vitest";
import {
  checkFilter,
  checkTopic,
  filterFault,
  matches,
  topicFault,
} from "../../../src/cluster/messaging/topics.js";
import { InvalidArgumentError } from "../../../src/index.js";
import { RULES } from "./topic-rules.js";

it.each(RULES)("MQTT 5, 4.7, %s", (_rule, filter, topic, expected) => {
  expect(filterFault(filter)).toBeUndefined();
  expect(topicFault(topic)).toBeUndefined();
  expect(matches(filter, topic)).toBe(expected);
});

const LONGEST = "x".repeat(65_535);

describe("topics", () => {
  it.each([
    ["of one character", "/"],
    ["with spaces", "Accounts payable"],
    ["that begin and end with a level without text", "/a//b/"],
    ["of a client's own", "$SYS/monitor"],
    ["with characters of four bytes", "a/𝄞/b"],
    ["with control characters, which MQTT advises against", "a/\u0001\u007f"],
    ["with a byte order mark, which is kept", "\ufeffa"],
    ["of 65,535 bytes", LONGEST],
    ["of 65,535 bytes in characters of three", "€".repeat(21_845)],
    ["of 128 levels", "/".repeat(127)],
  ])("are texts %s", (_what, topic) => {
    expect(topicFault(topic)).toBeUndefined();
    expect(filterFault(topic)).toBeUndefined();
    expect(() => checkTopic(topic)).not.toThrow();
    expect(() => checkFilter(topic)).not.toThrow();
  });

  it.each([
    ["type", 3],
    ["type", undefined],
    ["type", new String("a")],
    ["empty", ""],
    ["nul", "a\0b"],
    ["surrogate", "a/\ud834"],
    ["surrogate", "\udd1e\ud834"],
    ["long", `${LONGEST}x`],
    ["long", `${"€".repeat(21_845)}x`],
    ["long", "x/".repeat(1_000_000)],
    ["deep", "/".repeat(128)],
  ])("and filters are refused as %s", (fault, text) => {
    expect(topicFault(text)).toBe(fault);
    expect(filterFault(text)).toBe(fault);
    expect(() => checkTopic(text)).toThrow(InvalidArgumentError);
    expect(() => checkFilter(text)).toThrow(InvalidArgumentError);
  });

  it.each(["+", "#", "a/+", "a/#", "a+", "a/b#c"])("have no wildcards: %s", (topic) => {
    expect(topicFault(topic)).toBe("wildcard");
    expect(() => checkTopic(topic)).toThrow(/wildcards/);
  });
});

describe("filters", () => {
  it.each([
    "sport/tennis#",
    "sport/tennis/#/ranking",
    "sport+",
    "+sport/a",
    "a/+b",
    "##",
    "++",
    "#/",
    "a/#/+",
    "a/b+/c",
  ])("are not %s", (filter) => {
    expect(filterFault(filter)).toBe("wildcard");
    expect(() => checkFilter(filter)).toThrow(/whole level/);
  });

  it.each([
    "$share/group/a",
    "$share/group/#",
    "$share/",
    "$share",
  ])("of shared subscriptions are refused: %s", (filter) => {
    expect(filterFault(filter)).toBe("share");
    expect(() => checkFilter(filter)).toThrow(/shared subscriptions are not supported/);
  });

  it("that only resemble shared subscriptions are literal", () => {
    expect(filterFault("$shared/a")).toBeUndefined();
    expect(filterFault("a/$share/b")).toBeUndefined();
  });
});
