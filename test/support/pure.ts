/**
 * Files of the project "pure" (vitest.config.ts) share a process and its modules: they open no socket and start no
 * process, so none can leave anything to the next. Here it is seen to: who tries fails.
 */
import "./equality.js";
import { ChildProcess } from "node:child_process";
import { Server, Socket } from "node:net";
import { afterAll, vi } from "vitest";
import { keepEnvironment } from "./environment.js";

const refused = (what: string) => (): never => {
  throw new Error(`A pure test ${what}; vitest.config.ts lists which files are pure`);
};

const spies = [
  vi.spyOn(Server.prototype, "listen").mockImplementation(refused("listens")),
  vi.spyOn(Socket.prototype, "connect").mockImplementation(refused("connects")),
  // Not in its declared type.
  vi
    .spyOn(ChildProcess.prototype as unknown as { spawn(): never }, "spawn")
    .mockImplementation(refused("starts a process")),
];
const restoreEnvironment = keepEnvironment();
afterAll(() => {
  for (const spy of spies) spy.mockRestore();
  vi.useRealTimers();
  restoreEnvironment();
});
