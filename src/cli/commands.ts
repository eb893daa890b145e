/**
 * The commands, in the order of the help, each loaded when it is asked for: all of
 * them together are most of the package, and take a quarter of a second.
 */
import type { Command } from "commander";

interface Group {
  readonly names: readonly string[];
  /** Puts the group's commands on the program. */
  add(program: Command): Promise<void>;
}

const GROUPS: readonly Group[] = [
  {
    names: ["pub", "sub", "xpub", "xsub"],
    add: async (program) => (await import("./pub-sub.js")).addPubSubCommands(program),
  },
  {
    names: ["push", "pull"],
    add: async (program) => (await import("./pipeline.js")).addPipelineCommands(program),
  },
  {
    names: ["req", "rep"],
    add: async (program) => (await import("./request-reply.js")).addRequestReplyCommands(program),
  },
  {
    names: ["dealer", "router", "pair"],
    add: async (program) => (await import("./two-way.js")).addTwoWayCommands(program),
  },
  {
    names: ["majordomo"],
    add: async (program) => (await import("./majordomo.js")).addMajordomoCommand(program),
  },
  {
    names: ["titanic"],
    add: async (program) => (await import("./titanic-letters.js")).addTitanicCommand(program),
  },
  { names: ["pirate"], add: async (program) => (await import("./pirate.js")).addPirateCommands(program) },
  {
    names: ["freelance"],
    add: async (program) => (await import("./freelance.js")).addFreelanceCommand(program),
  },
  { names: ["clone"], add: async (program) => (await import("./clone.js")).addCloneCommand(program) },
  { names: ["lvc"], add: async (program) => (await import("./lvc.js")).addLvcCommand(program) },
  { names: ["proxy"], add: async (program) => (await import("./proxy.js")).addProxyCommand(program) },
  { names: ["top"], add: async (program) => (await import("./top.js")).addTopCommand(program) },
  { names: ["tap"], add: async (program) => (await import("./tap.js")).addTapCommand(program) },
  { names: ["keygen"], add: async (program) => (await import("./keygen.js")).addKeygenCommand(program) },
  { names: ["bench"], add: async (program) => (await import("./bench.js")).addBenchCommand(program) },
];

/** Adds the command of this name with its group, or all commands when there is none. */
export async function addCommands(program: Command, name: string | undefined): Promise<void> {
  const group = GROUPS.find(({ names }) => name !== undefined && names.includes(name));
  for (const each of group === undefined ? GROUPS : [group]) await each.add(program);
}
