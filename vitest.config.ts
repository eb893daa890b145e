import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// Authorities that a machine adds are read at the start of each process, which takes as long as all else of it; no test needs
// them. So neither the processes of tests have them, nor those that tests start.
delete process.env.NODE_EXTRA_CA_CERTS;

/**
 * Files that open no socket and start no process (test/support/pure.ts sees to it), and keep no state in modules. They
 * share a process, which saves each of them a start and the reading of its imports.
 */
const PURE = [
  "test/core/**/!(accept-filter).test.ts",
  "test/docs-tables/**/*.test.ts",
  "test/sockets/**/!(capability|internal|pump|stalls).test.ts",
  "test/engine/frame.test.ts",
  "test/engine/zmtp/{codec,routing,threads,ws}/**/*.test.ts",
  "test/engine/zmtp/mechanism/!(libzmq).test.ts",
  "test/patterns/kit/{calls,contract,departure,driver,errors,options}.test.ts",
  "test/patterns/**/{simulation,*rules,*protocol,table,topic-tree,value-cache,snapshots,router-reader}.test.ts",
  "test/proxy/{rules,states,pairs,control-protocol,spec}.test.ts",
  "test/config/*.test.ts",
  "test/proxy/config/*.test.ts",
  "test/{proxy/policy,metrics}/rules.test.ts",
  "test/bench/{bodies,compare,report,sequences,statistics}.test.ts",
  "test/cli/{lines,format,node-lines,top-rules,transfer}.test.ts",
  "test/fuzz/zmtp/{datagrams,frames,handshake,ws}.test.ts",
  "test/cluster/!(node*).test.ts",
  "test/link/{rules,handshake,hostile,spec}.test.ts",
  "test/cluster/clients/!(node*|providers*).test.ts",
  "test/cluster/discovery/{beacon-rules,discovery,endpoint-slices,merge,names,parse}.test.ts",
  "test/cluster/{admission,connections}/!(node*).test.ts",
  "test/cluster/messaging/{hooks,items,node-queues,query,route-backoff,route-hostile,route-replica,route-replication,route-schedules,route-table,schema,service-wire,services,subscription-table,topic-ids,topics,waiting-sends,window}.test.ts",
  "test/cluster/requests/{balancer,forgotten,schedules,wire}.test.ts",
  "test/cluster/sessions/{memory-store,rules,schedules,spec}.test.ts",
  "test/cluster/zre/{codec,rules,simulation}.test.ts",
  "test/types/*.test.ts",
  "test/testing/rules.test.ts",
];

/**
 * Files with a process each, for what they do to it or measure of it. All others that open sockets share processes: a start,
 * and the reading of shoal's modules, are a second of computing. Such a file closes what it opens, mocks no module, keeps
 * nothing in its own modules, and its support has no hooks outside of a function, which would run for the first file only.
 */
const APART = [
  // Modules that are mocked, or read again, and an engine that is chosen by the environment when the package is read.
  "test/engine/libzmq/{native,ticker}.test.ts",
  "test/engine/zmtp/transport/{ipc-path,tcp}.test.ts",
  "test/patterns/clone/lmdb-room.test.ts",
  "test/sockets/capability.test.ts",
  // Providers and subscriptions of the whole process.
  "test/opentelemetry/*.test.ts",
  "test/metrics/trace-recorder.test.ts",
  // A transport that stays registered for as long as the process is there, under a name that both have.
  "test/link/{processes,tunnel}.test.ts",
  // What the whole process holds: its timers, its memory, the names of its sockets.
  "test/engine/zmtp/{cve,hostile-codec,lifetime}.test.ts",
  "test/engine/zmtp/transport/abstract-names.test.ts",
  "test/patterns/clone/stopped-client.test.ts",
];

/**
 * The contract of what goes over ws, once more with sockets of a page on the connecting side (test/contract/support/page.ts):
 * by default what differs most in a page, with SHOAL_LONG=1 all of it.
 */
const PAGE =
  process.env.SHOAL_LONG === "1"
    ? [
        "test/contract/{abort,close,codecs,disconnect,draft,endpoint-source,endpoints,events,fairness,high-water-mark}.test.ts",
        "test/contract/{messages,publish-options,queueing,request,round-trip,router,security-curve,security-plain}.test.ts",
        "test/contract/{stats,subscribers}.test.ts",
      ]
    : ["test/contract/{codecs,events,messages,round-trip,router,security-plain}.test.ts"];

/**
 * Files that take more than six seconds, the longest first: of those whose time is not known yet, small files come last. They
 * begin first among those of their project, so that the run does not end with one of them alone; those that compute and those
 * that wait in turn, since four that wait leave the cores idle.
 */
const COMPUTING = [
  "chaos/cluster-patterns",
  "docs/docs",
  "cli/docs",
  "examples/examples",
  "bench/peers",
  "leak/zmtp-connections",
  "leak/classes",
  "process/inproc-threads",
  "process/life",
  "engine/zmtp/hostile-floods",
  "leak/churn",
  "interop/sockets-engines",
  "cli/commands",
  "contract/publish-options",
  "contract/close",
  "interop/sockets-c",
  "examples/guide",
  "patterns/sequenced/sequenced",
  "interop/sockets",
  "contract/fairness",
  "demo/demo",
  "contract/request",
  "bench/runner",
  "bench/cli",
];
const WAITING = [
  "cli/node-commands",
  "cluster/sessions/nats-store",
  "cli/pair",
  "cli/node-processes",
  "cli/top",
  "chaos/zmtp/busy-peer",
  "cli/proxy-config",
  "cli/operation",
  "patterns/clone/chaos",
  "cluster/node-processes",
  "cluster/node-outages",
  "cluster/sessions/database-cut",
  "patterns/titanic/postgres-store",
  "patterns/binary-star/server",
  "patterns/binary-star/hostile",
  "cluster/sessions/node-chaos",
  "cluster/clients/node-hostile",
  "chaos/zmtp/link-cut",
  "cluster/messaging/messages-processes",
  "cluster/discovery/etcd",
  "chaos/titanic",
  "patterns/binary-star/chaos",
  "cli/signals",
  "cli/titanic",
  "chaos/kill",
  "patterns/black-box/black-box",
  "cli/clone",
  "interop/kill-midway",
  "cluster/messaging/stalls",
  "chaos/zmtp/dead-link",
  "patterns/pirate/pyzmq",
  "patterns/binary-star/gate",
  "process/work",
  "chaos/stall",
  "cli/cluster-endpoints",
  "chaos/majordomo",
  "patterns/clone/secured",
  "cluster/clients/node-processes",
  "cluster/requests/node-chaos",
];
const LONG = WAITING.flatMap((name, i) => [...COMPUTING.slice(i, i + 1), name]).map(
  (name) => `/test/${name}.test.ts`,
);

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const projects = [...new Set(sorted.map(({ project }) => project))];
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONG.findIndex((name) => moduleId.endsWith(name));
      return at < 0 ? LONG.length : at;
    };
    return projects.flatMap((project) => {
      const own = sorted.filter((file) => file.project === project);
      return own.sort((a, b) => rank(a) - rank(b));
    });
  }
}

/** What `--maxWorkers=N` says, which vitest itself does not pass on to projects: they have what is written here. */
const WORKERS = process.argv.map((word) => /^--max-?workers=(\d+)$/i.exec(word)?.[1]).find(Boolean);

/** Twice the cores that it is meant for: what opens sockets waits for more than half of its time. */
const MAX_WORKERS = Number(WORKERS ?? 4);

/** Node.js 20 has the standard WebSocket behind a flag, which other runtimes do not know. */
const WITH_WEB_SOCKET = "WebSocket" in globalThis ? [] : ["--experimental-websocket", "--no-warnings"];

export default defineConfig({
  test: {
    // Sockets and native code: processes apart, and no second try for a test that fails.
    pool: "forks",
    maxWorkers: MAX_WORKERS,
    retry: 0,
    sequence: { sequencer: LongFirst, groupOrder: 1 },
    // Bounds for what hangs: a busy machine may take many times what a quiet one does.
    testTimeout: 40_000,
    hookTimeout: 40_000,
    teardownTimeout: 5_000,
    // As long as every other wait of a test: test/contract/support/wait.ts.
    expect: { poll: { timeout: 15_000 } },
    // What a module is made into is kept from run to run by its content, in node_modules, and shared by the projects.
    experimental: { fsModuleCache: true },
    coverage: { provider: "v8", include: ["src/**"], reporter: ["text-summary", "html"] },
    projects: [
      {
        extends: true,
        test: {
          name: "pure",
          include: PURE,
          globalSetup: ["test/support/setup.ts"],
          setupFiles: ["test/support/pure.ts"],
          isolate: false,
          // As many as cores, before all else: these wait for nothing, and each process reads the modules for itself.
          maxWorkers: Math.ceil(MAX_WORKERS / 2),
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "shared",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...PURE, ...APART, "test/browser/**"],
          globalSetup: ["test/support/setup.ts"],
          setupFiles: ["test/support/shared.ts"],
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          globalSetup: ["test/support/setup.ts"],
          execArgv: WITH_WEB_SOCKET,
        },
      },
      {
        extends: true,
        test: {
          name: "page",
          include: PAGE,
          globalSetup: ["test/support/setup.ts"],
          setupFiles: ["test/support/shared.ts"],
          isolate: false,
          env: { SHOAL_CONTRACT: "page" },
          execArgv: WITH_WEB_SOCKET,
        },
      },
      {
        extends: true,
        test: {
          name: "apart",
          include: APART,
          globalSetup: ["test/support/setup.ts"],
        },
      },
    ],
  },
});
