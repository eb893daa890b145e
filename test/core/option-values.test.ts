import { inspect } from "node:util";
import { expect, test } from "vitest";
import { OPTIONS, type OptionName, type OptionSpec } from "../../src/core/option-table.js";
import { completeOptions, copyOptions, optionValues, setOption } from "../../src/core/option-values.js";

const ROWS = Object.entries(OPTIONS) as [OptionName, OptionSpec][];

test("what was given nothing has no values of its own, and every default", () => {
  const options = optionValues({ linger: undefined });
  expect(Object.getOwnPropertyNames(options)).toEqual([]);
  for (const [name, spec] of ROWS) expect(options[name], name).toBe(spec.default);
});

test("what is set is seen by all who have the object, and by no other", () => {
  const options = optionValues({ linger: 5 });
  const other = optionValues({});
  const engines = completeOptions(options);
  expect(engines).toBe(options);
  setOption(engines, "backlog", 7);
  expect({ linger: options.linger, backlog: options.backlog }).toEqual({ linger: 5, backlog: 7 });
  expect({ linger: other.linger, backlog: other.backlog }).toEqual({ linger: -1, backlog: 100 });
  expect(() => Object.assign(Object.getPrototypeOf(options), { linger: 1 })).toThrow(TypeError);
});

test("a copy is what they were: later values do not change it, nor its values them", () => {
  const options = optionValues({ linger: 5, plainPassword: "sesame" });
  const copy = copyOptions(options);
  setOption(options, "linger", 6);
  setOption(copy, "backlog", 7);
  expect([copy.linger, copy.plainPassword, copy.tcpKeepalive]).toEqual([5, "sesame", -1]);
  expect([options.linger, options.backlog]).toEqual([6, 100]);
});

test("a secret is read by its name alone", () => {
  const options = optionValues({ plainPassword: "sesame", plainUsername: "ali" });
  setOption(options, "curveSecretKey", "open");
  for (const each of [options, copyOptions(options)]) {
    expect({ ...each }).toEqual({ plainUsername: "ali" });
    expect(inspect(each)).not.toMatch(/sesame|open/);
    expect([each.plainPassword, each.curveSecretKey]).toEqual(["sesame", "open"]);
  }
});
