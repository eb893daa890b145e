/** Options that a work of the harness does not have are refused, not ignored. */
import { expect, it } from "vitest";
import { bench } from "../../bench/main.js";

it.each([
  [["throughput"], { threshold: "3" }, "--threshold goes with compare of builds and compare"],
  [["all"], { relativeTo: "zeromq" }, "--relative-to goes with compare"],
  [["throughput"], { markdown: "a.md" }, "--markdown goes with page and report"],
  [["compare", "a", "b"], { html: "a.html" }, "--html goes with measuring and page and report"],
  [["report", "a"], { size: "64" }, "--size goes with measuring and compare of builds"],
  [["page"], { size: "64" }, "--size goes with measuring and compare of builds"],
  [["list"], { json: "-" }, "--json goes with measuring and page and compare of builds and compare"],
])("%j with %j", async (what, options, message) => {
  await expect(bench({ what, ...options })).rejects.toMatchObject({ name: "BadInput", message });
});

it("an option that was not given, as the command line has it, is not refused", async () => {
  await expect(bench({ what: ["compare", "a"], set: [] })).rejects.toThrow("compare needs two files");
});
