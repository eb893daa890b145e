/** One run: all sides of one implementation for one case, started, checked and ended. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  Case,
  Contender,
  Expectation,
  RoleSpec,
  Scenario,
  SideDone,
  SideReport,
  SideRequest,
} from "../contract.js";
import type { Pinning } from "./pinning.js";
import { deferred, SideFailure, SideProcess } from "./side-process.js";
import type { Turn } from "./turns.js";

/** ms for a side to close its sockets and exit. */
const EXIT_TIME = 5_000;

export interface RunSettings {
  readonly pinning: Pinning | undefined;
  /** ms after which the run counts as hung. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  /** Its place among runs that take turns. Default: it runs alone. */
  readonly turn?: Turn;
}

export interface RunRequest {
  readonly scenario: Scenario;
  readonly contender: Contender;
  readonly chosen: Case;
  readonly count: number;
  readonly warmup: number;
}

/** @throws SideFailure if a side crashes, hangs or gives wrong output; the signal's reason on abort */
export async function run(request: RunRequest, settings: RunSettings): Promise<SideReport[]> {
  const folder = await mkdtemp(join(tmpdir(), "shoal-bench-"));
  const started: Started[] = [];
  try {
    return await withinTime(settings, started, (opened) => play(request, settings, folder, started, opened));
  } finally {
    await end(started);
    await rm(folder, { recursive: true, force: true });
  }
}

interface Started {
  readonly spec: RoleSpec;
  readonly index: number;
  readonly side: SideProcess;
}

async function play(
  request: RunRequest,
  settings: RunSettings,
  folder: string,
  started: Started[],
  opened: () => Promise<void>,
): Promise<SideReport[]> {
  const { scenario, chosen, count, warmup } = request;
  const specs = rolesOf(request);
  const endpoints = new Map<string, string>();
  for (const [order, spec] of specs.entries()) {
    const prefix = settings.pinning?.prefix(order, specs.length) ?? [];
    const born: Started[] = [];
    for (let index = 0; index < (spec.processes ?? 1); index++) {
      settings.signal.throwIfAborted();
      const asked = sideRequest(request, spec, index, specs, endpoints, folder);
      const side = new SideProcess(nameOf(spec, index), request.contender.command(asked), prefix);
      settings.turn?.add(side);
      born.push({ spec, index, side });
      started.push({ spec, index, side });
    }
    for (const { side } of born) {
      const { endpoint, backend = endpoint } = await side.ready;
      if (endpoint !== undefined) endpoints.set(spec.role, endpoint);
      if (backend !== undefined) endpoints.set(`${spec.role}/backend`, backend);
    }
  }
  const measured = new Set(specs.filter((spec) => spec.measured).map((spec) => spec.role));
  const first = started.filter(({ spec }) => spec.measured).map(({ side }) => side);
  const begin = () => {
    for (const { spec, side } of started) if (spec.ends === false) side.say("begin");
  };
  void Promise.race(first.map(({ rehearsed }) => rehearsed)).then(begin);
  void Promise.race(first.map(({ begun }) => begun)).then(begin);
  await opened();
  for (const { side } of started) side.say("start");
  // Any failed side ends the run, even if other sides would only wait for it.
  await all(started.filter(({ spec }) => spec.ends !== false));
  for (const { spec, side } of started) if (spec.ends === false) side.say("stop");
  await all(started);
  const reports: SideReport[] = [];
  for (const { spec, index, side } of started) {
    const done = await side.done;
    const fault = faultOf(done, spec.expects);
    if (fault !== undefined) throw new SideFailure(`${side.name} ${fault}`, side.output);
    const seconds = done.seconds - (settings.turn?.pausedWithin(done.seconds, side.ended) ?? 0);
    reports.push({ ...done, seconds, role: spec.role, index });
  }
  reports.sort((a, b) => Number(measured.has(b.role)) - Number(measured.has(a.role)));
  const metric = scenario.result(reports, chosen)[scenario.metric.name];
  if (metric === undefined || !Number.isFinite(metric)) {
    const { side } = started[0] as Started;
    throw new SideFailure(
      `the sides reported no ${scenario.metric.name} (${count} after ${warmup})`,
      side.output,
    );
  }
  return reports;
}

/** For inproc, one process plays every role and must meet the expectations of the measured one. */
function rolesOf({ scenario, chosen, count, warmup }: RunRequest): readonly RoleSpec[] {
  const specs = scenario.roles(chosen, count, warmup);
  if (chosen.transport !== "inproc") return specs;
  const measured = specs.find((spec) => spec.measured) ?? specs[0];
  const options = Object.assign({}, ...specs.map((spec) => spec.options ?? {})) as RoleSpec["options"] &
    object;
  const expects = measured?.expects;
  return [
    { role: "both", binds: true, measured: true, options, ...(expects === undefined ? {} : { expects }) },
  ];
}

function nameOf(spec: RoleSpec, index: number): string {
  return (spec.processes ?? 1) > 1 ? `${spec.role} ${index}` : spec.role;
}

function sideRequest(
  { scenario, chosen, count, warmup }: RunRequest,
  spec: RoleSpec,
  index: number,
  specs: readonly RoleSpec[],
  endpoints: ReadonlyMap<string, string>,
  folder: string,
): SideRequest {
  const options: Record<string, number | string> = { ...chosen.parameters, ...spec.options, warmup };
  if (spec.folder) options.folder = folder;
  if (scenario.promoted) options.promoted = 1;
  let endpoint: string | undefined;
  if (spec.binds) endpoint = bindingEndpoint(chosen, spec, index, folder);
  const binders = specs.filter((other) => other.binds).map((other) => other.role);
  const connects = spec.connects ?? (spec.binds ? [] : binders.slice(0, 1));
  for (const role of connects) {
    const theirs = endpoints.get(role);
    if (theirs === undefined) throw new SideFailure(`${role} reported no endpoint for ${spec.role}`, []);
    if (endpoint === undefined) endpoint = theirs;
    else options[`endpoint-${role}`] = theirs;
  }
  return {
    scenario: scenario.name,
    role: spec.role,
    index,
    transport: chosen.transport,
    size: chosen.size,
    count,
    ...(endpoint === undefined ? {} : { endpoint }),
    options,
  };
}

function bindingEndpoint({ transport }: Case, spec: RoleSpec, index: number, folder: string): string {
  if (transport === "inproc") return `inproc://${spec.role}-${index}`;
  if (transport === "ipc") return `ipc://${join(folder, `${spec.role}-${index}`)}`;
  return `${transport}://127.0.0.1:*`;
}

/** Settles when all are done; rejects with the first failure. */
async function all(sides: readonly Started[]): Promise<void> {
  await Promise.all(sides.map(({ side }) => side.done));
}

/** The fault in a side's result; `undefined` if it is right. */
export function faultOf(done: SideDone, expects: Expectation | undefined): string | undefined {
  if (expects === undefined) return undefined;
  for (const key of ["messages", "bytes", "checksum"] as const) {
    const expected = expects[key];
    if (expected !== undefined && done[key] !== expected) {
      return `gave wrong output: ${key} ${done[key]} instead of ${expected}`;
    }
  }
  const ordered = expects.ordered ?? expects.checksum !== undefined;
  return ordered && done.ordered !== true ? "gave wrong output: messages out of order" : undefined;
}

/** Works until the end, the timeout, or an abort. The time in which other runs are started does not count. */
async function withinTime<T>(
  { timeout, signal, turn }: RunSettings,
  started: readonly Started[],
  work: (opened: () => Promise<void>) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const cut = deferred<never>();
  const aborted = () => cut.reject(signal.reason);
  signal.addEventListener("abort", aborted, { once: true });
  const limit = (ms: number) =>
    setTimeout(() => {
      const output = started.flatMap(({ side }) => side.output.map((line) => `${side.name}: ${line}`));
      cut.reject(new SideFailure(`hung: no result within ${ms / 1_000} s`, output));
    }, ms);
  let timer = limit(timeout);
  const working = work(async () => {
    if (turn === undefined) return;
    clearTimeout(timer);
    await turn.opened();
    timer = limit(timeout * turn.of);
  });
  working.catch(() => undefined);
  try {
    return await Promise.race([working, cut.promise]);
  } catch (error) {
    // The run failed, so sockets are not closed in order.
    for (const { side } of started) side.kill();
    await working.catch(() => undefined);
    for (const { side } of started) side.kill();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", aborted);
  }
}

/** Ends all sides, and waits until they have exited. */
async function end(started: readonly Started[]): Promise<void> {
  for (const { side } of started) side.release();
  const timer = setTimeout(() => {
    for (const { side } of started) side.kill();
  }, EXIT_TIME);
  await Promise.all(started.map(({ side }) => side.exited));
  clearTimeout(timer);
}
