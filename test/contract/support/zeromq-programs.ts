/** For programs that run on shoal, on shoal-zeromq and on the package `zeromq`: their sockets, their folder, and what they look at. */
import { afterEach } from "vitest";
import * as zeromq from "zeromq";
import * as shoal from "../../../src/index.js";
import { sharedFolder } from "../../support/folders.js";
import { loadShoalZeromq } from "../../support/shoal-zeromq.js";

type Package = typeof shoal;

/** A program takes one of them for the package `zeromq`. */
export const PACKAGES: readonly (readonly [string, Package])[] = [
  ["shoal", shoal],
  ["shoal-zeromq", loadShoalZeromq() as Package],
  ["zeromq", zeromq as unknown as Package],
];

/** For ipc paths, while the tests of a file run. */
export let folder: string;
const open: { close(options?: { linger?: number }): unknown; linger: number; readonly closed: boolean }[] =
  [];

/** Closed after the test. */
export function own<S extends (typeof open)[number]>(socket: S): S {
  open.push(socket);
  return socket;
}

/** The folder, and the end of what a test owns: once in each file. */
export function usePrograms(): void {
  folder = sharedFolder();
  afterEach(async () => {
    for (const socket of open.splice(0)) {
      if (socket.closed) continue;
      socket.linger = 0;
      await socket.close();
    }
  });
}

let names = 0;
export const inproc = (): string => `inproc://compat-${++names}`;

/** The facts of an error that programs look at. */
export const facts = (error: unknown): object => {
  const { code, errno, address } = error as { code: string; errno: number; address?: string };
  return { code, errno, address };
};

/** The error that a call throws or its promise rejects with, or `undefined`. */
export async function settled(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return undefined;
}
