/**
 * One role on this machine, the other on another: `--role consumer --bind EP` here, `--role producer --connect EP`
 * there. Each side starts when it is ready, and the warm-up covers the difference. Both sides need the same size and
 * parameters.
 */
import { BadInput } from "./bad-input.js";
import type { Case, RoleSpec, Scenario, SideReport } from "./contract.js";
import { type BenchOptions, planOf } from "./options.js";
import { figure } from "./report/format.js";
import { faultOf } from "./runner/run.js";
import { SideFailure, SideProcess } from "./runner/side-process.js";

export async function runOneSide(options: BenchOptions, role: string, signal: AbortSignal): Promise<number> {
  const plan = planOf(options);
  const [planned] = plan.cases;
  if (planned === undefined || plan.cases.some(({ scenario }) => scenario !== planned.scenario))
    throw new BadInput("--role needs one scenario, and a case of it");
  const { scenario, chosen } = planned;
  const { count, warmup } = scenario.count(chosen, options.smoke ?? false);
  const spec = specOf(scenario, scenario.roles(chosen, count, warmup), role);
  const endpoint = endpointOf(options, scenario, spec);
  const contender = plan.contenders.find((one) => one.supports(scenario.name, chosen.transport));
  const reason =
    contender === undefined ? `no implementation supports ${scenario.name}` : await contender.absent();
  if (contender === undefined || reason !== undefined) throw new Error(`unavailable: ${reason}`);

  await contender.prepare?.();
  const command = contender.command({
    scenario: scenario.name,
    role,
    index: 0,
    transport: chosen.transport,
    size: chosen.size,
    count,
    endpoint,
    options: { ...chosen.parameters, ...spec.options, warmup },
  });
  const side = new SideProcess(role, command, []);
  const kill = () => side.kill();
  const ends = spec.ends !== false;
  if (ends) signal.addEventListener("abort", kill, { once: true });
  try {
    const ready = await side.ready;
    const size = chosen.size === 0 ? "" : `, ${chosen.size} B`;
    const backend = ready.backend === undefined ? "" : `, workers at ${ready.backend}`;
    process.stderr.write(`${contender.title}, ${role}${size}: ${ready.endpoint ?? endpoint}${backend}\n`);
    side.say("start");
    if (!ends) {
      await stopped(signal, side);
      side.say("stop");
    }
    const done = await side.done;
    const fault = faultOf(done, spec.expects);
    if (fault !== undefined) throw new SideFailure(`${role} ${fault}`, side.output);
    print(options, scenario, spec, { ...done, role, index: 0 }, chosen);
    // Queued messages are still sent, which may take as long as the other side runs.
    side.release();
    await side.exited;
    return 0;
  } catch (error) {
    if (signal.aborted) return 1;
    const output = error instanceof SideFailure ? error.output : [];
    throw new Error([(error as Error).message, ...output].join("\n"));
  } finally {
    signal.removeEventListener("abort", kill);
    side.kill();
    await side.exited;
    await contender.dispose?.();
  }
}

function specOf(scenario: Scenario, specs: readonly RoleSpec[], role: string): RoleSpec {
  const spec = specs.find((one) => one.role === role);
  if (spec !== undefined) return spec;
  const known = specs.map((one) => one.role).join(", ");
  throw new BadInput(`${scenario.name} has no role ${JSON.stringify(role)}; known are ${known}`);
}

function endpointOf({ bind, connect }: BenchOptions, scenario: Scenario, spec: RoleSpec): string {
  const [right, wrong, endpoint] = spec.binds ? ["bind", "connect", bind] : ["connect", "bind", connect];
  const other = spec.binds ? connect : bind;
  if (endpoint === undefined || other !== undefined) {
    throw new BadInput(
      `the ${spec.role} of ${scenario.name} needs --${right} ENDPOINT instead of --${wrong}`,
    );
  }
  return endpoint;
}

/** A role that does not end by itself works until it is stopped here. */
async function stopped(signal: AbortSignal, side: SideProcess): Promise<void> {
  process.stderr.write("end with Ctrl-C\n");
  await Promise.race([
    side.exited,
    new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true })),
  ]);
}

function print(
  options: BenchOptions,
  scenario: Scenario,
  spec: RoleSpec,
  report: SideReport,
  chosen: Case,
): void {
  const figures = spec.measured ? scenario.result([report], chosen) : {};
  const line = { scenario: scenario.name, ...report, figures };
  if (options.json === "-") {
    process.stdout.write(`${JSON.stringify(line)}\n`);
    return;
  }
  const { name, unit } = scenario.metric;
  const main = figures[name] === undefined ? "" : `${figure(figures[name])} ${unit}, `;
  const cpu = figure((report.cpuSeconds / Math.max(1, report.messages)) * 1e6);
  process.stdout.write(
    `${main}${report.messages} messages in ${figure(report.seconds)} s, ` +
      `${cpu} µs of processor time each, peak ${figure(report.peakRss / 1e6)} MB\n`,
  );
}
