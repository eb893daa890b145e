/** Which endpoint comes next. */
import { expect, test } from "vitest";
import { EndpointChooser } from "../../src/kit/endpoint-chooser.js";

test("is the one in use, and after a failure the one behind it, in a circle", () => {
  const chooser = new EndpointChooser(["a", "b"]);
  expect([chooser.used, chooser.next(), chooser.next()]).toEqual(["", "a", "a"]);
  chooser.failed();
  expect([chooser.used, chooser.upcoming, chooser.next(), chooser.next()]).toEqual(["a", "b", "b", "b"]);
  chooser.failed();
  expect(chooser.next()).toBe("a");
});

test("stays at the one in use when the list changes, and is the first where it is gone", () => {
  const chooser = new EndpointChooser([]);
  expect(chooser.next()).toBeUndefined();
  expect(chooser.follow(["a", "b", "c"])).toBe(false);
  chooser.next();
  chooser.failed();
  expect(chooser.follow(["c", "a", "b"])).toBe(true);
  expect(chooser.next()).toBe("b"); // Behind the failed one, in the new list.
  expect(chooser.follow([])).toBe(false);
  expect([chooser.used, chooser.upcoming]).toEqual(["b", undefined]);
  chooser.failed();
  chooser.follow(["c", "a"]);
  expect(chooser.next()).toBe("c");
});

test("reaches each one of a list that names one twice", () => {
  const chooser = new EndpointChooser(["a", "a", "b"]);
  chooser.next();
  chooser.failed();
  expect(chooser.next()).toBe("b");
});
