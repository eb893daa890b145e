// @ts-check
/**
 * Who says what to whom in the demo.
 *
 *   main ---- PUB control ----> SUB  everybody        "start", "stop"
 *   main <--- PULL reports ------- PUSH everybody        bound, files, ready
 *   ventilator  PUSH tasks ---> PULL workers          one task a file
 *   workers   PUSH results ---> PULL sink             one result a file; and the plan, from the ventilator
 *   sink ---- PUB progress ---> SUB  main             how far it is
 *   sink <--- ROUTER queries -- DEALER main           questions, at the end
 */
import { msgpack } from "shoal";

/** @typedef {import("./count.js").FileCount} FileCount */
/** @typedef {{ [socket: string]: string }} Endpoints */

/**
 * What a process is started with.
 *
 * @typedef {{ name: string, dir: string, reports: string, control: string, endpoints: Endpoints }} Settings
 */

/**
 * What the processes report to main: where they listen, which files there are, that they can begin.
 *
 * @typedef {{ type: "bound", name: string, endpoints: Endpoints }} Bound
 * @typedef {{ type: "files", paths: string[], problems: string[] }} Files
 * @typedef {{ type: "ready", name: string }} Ready
 * @typedef {Bound | Files | Ready} Report
 */

/** @typedef {{ id: number, path: string }} Task */

/**
 * What the sink collects. The plan says how many results there will be, and may come after the first of them.
 *
 * @typedef {{ type: "plan", files: number }} Plan
 * @typedef {{ type: "result", id: number, path: string, worker: string, count: FileCount }} Result
 * @typedef {Plan | Result} ToSink
 */

/** @typedef {{ done: number, total: number, bytes: number, finished: boolean }} Progress */

/**
 * What can be asked from the sink.
 *
 * @typedef {{ ask: "totals" } | { ask: "workers" } | { ask: "top", count: number } | { ask: "lines", from: number, count: number }} Query
 * @typedef {{ files: number, text: number, binary: number, tooLarge: number, unreadable: number, bytes: number, words: number }} Totals
 * @typedef {Totals & { distinct: number, messages: number, lines: number, digest: string }} TotalsAnswer
 * @typedef {{ worker: string, files: number, bytes: number }} WorkerShare
 */

/** @type {import("shoal").Codec<Report>} */
export const reportCodec = msgpack();
/** @type {import("shoal").Codec<Task>} */
export const taskCodec = msgpack();
/** @type {import("shoal").Codec<ToSink>} */
export const resultCodec = msgpack();
/** @type {import("shoal").Codec<Progress>} */
export const progressCodec = msgpack();
/** Questions one way, answers the other. @type {import("shoal").Codec<unknown>} */
export const queryCodec = msgpack();

export const START = "start";
export const STOP = "stop";
export const PROGRESS = "progress";

/** Everybody listens here; the system picks the port. */
export const ANY_PORT = "tcp://127.0.0.1:*";

/** The queues of the task sockets, in messages: short, so that a task is given out when a worker has room for it. */
export const TASK_QUEUE = 4;
