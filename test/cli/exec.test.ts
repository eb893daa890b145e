import { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { expect, it, vi } from "vitest";
import { endPrograms, exec } from "../../src/cli/service.js";

it("does not mind a program that reads nothing", async () => {
  expect(String(await exec("true", [Buffer.alloc(1_000_000)]))).toBe("");
});

const SHORT = ["EMFILE", "EAGAIN"] as const;
it.each(SHORT)("fails when the system has no more of what it needs: %s", async (code) => {
  const before = process.listeners("exit");
  const abort = new AbortController();
  const removed = vi.spyOn(abort.signal, "removeEventListener");
  const { spawn } = ChildProcess.prototype as unknown as { spawn: (options: object) => number };
  const short = vi.spyOn(ChildProcess.prototype as unknown as { spawn: typeof spawn }, "spawn");
  short.mockImplementation(function (this: { _handle: { spawn: () => number } }, options) {
    this._handle.spawn = () => -constants.errno[code];
    return spawn.call(this, options);
  });
  const failed = exec("true", [Buffer.from("x")], abort.signal);
  short.mockRestore();
  await expect(failed).rejects.toMatchObject({ code: "ERR_SERVICE", message: expect.stringContaining(code) });
  expect([removed.mock.calls.length, process.listeners("exit")]).toEqual([1, before]);
  expect(String(await exec("cat", [Buffer.from("x "), Buffer.from("y")]))).toBe("x y");
});

it("ends the program, and what it started, when it is aborted", async () => {
  const abort = new AbortController();
  const running = exec("sleep 60 & wait", [], abort.signal);
  abort.abort();
  await expect(running).rejects.toMatchObject({ code: "ABORT_ERR" });
  await expect(exec("true", [], abort.signal)).rejects.toMatchObject({ code: "ABORT_ERR" });
});

it("ends the programs that run when the process exits", async () => {
  const programs = Promise.allSettled([exec("sleep 60 & wait", []), exec("sleep 60", [])]);
  expect(process.listeners("exit")).toContain(endPrograms);
  endPrograms();
  const killed = { status: "rejected", reason: { message: expect.stringContaining("SIGKILL") } };
  expect(await programs).toMatchObject([killed, killed]);
});
