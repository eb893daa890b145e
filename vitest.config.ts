import { configDefaults, defineConfig } from "vitest/config";

// Authorities that a machine adds are read at the start of each process, which takes as long as all else of it; no test needs
// them. So neither the processes of tests have them, nor those that tests start.
delete process.env.NODE_EXTRA_CA_CERTS;

/*
 * A file's suffix says how it runs.
 *
 *   .test.ts        in a process that other files share: a start, and the reading of shoal's modules, are a second of computing. The file
 *                   closes what it opens, mocks no module, and keeps nothing in its own modules; what it imports has no hooks outside of
 *                   a function, which would run for the first file only.
 *   .apart.test.ts  in a process of its own: mocked modules, an engine chosen by the environment, providers of the whole process, its
 *                   memory, a page.
 *   .long.test.ts   as the first, in `npm run test:long` alone, which has no bound of minutes.
 */

/**
 * The contract of what goes over ws, once more with sockets of a page on the connecting side (test/contract/support/page.ts):
 * what differs most in a page, and in the long form all of it.
 */
const PAGE = ["test/contract/{codecs,draft,events,messages,round-trip,router,security-plain}.test.ts"];
const PAGE_LONG = [
  "test/contract/{abort,close,codecs,disconnect,draft,endpoint-source,endpoints,events,fairness,high-water-mark}.test.ts",
  "test/contract/{messages,publish-options,queueing,request,round-trip,router,security-curve,security-plain}.test.ts",
  "test/contract/{stats,subscribers}.test.ts",
];

/** What `--maxWorkers=N` says, which vitest itself does not pass on to projects: they have what is written here. */
const WORKERS = process.argv.map((word) => /^--max-?workers=(\d+)$/i.exec(word)?.[1]).find(Boolean);

/** Twice the cores that it is meant for: what opens sockets waits for more than half of its time. */
const MAX_WORKERS = Number(WORKERS ?? 4);

/** Node.js 20 has the standard WebSocket behind a flag, which other runtimes do not know. */
const WITH_WEB_SOCKET = "WebSocket" in globalThis ? [] : ["--experimental-websocket", "--no-warnings"];

export default defineConfig(({ mode }) => {
  /** `npm run test:long`: every file, and the long forms of those that have one. What extends this for a project is not given the mode. */
  const isLong = mode === "long" || process.env.SHOAL_LONG === "1";
  if (isLong) process.env.SHOAL_LONG = "1";
  /** Bounds for what hangs: a busy machine may take many times what a quiet one does. */
  const timeout = isLong ? 1_200_000 : 40_000;
  return {
    test: {
      // Sockets and native code: processes apart, and no second try for a test that fails.
      pool: "forks",
      maxWorkers: MAX_WORKERS,
      retry: 0,
      testTimeout: timeout,
      hookTimeout: timeout,
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
            name: "shared",
            include: ["test/**/*.test.ts"],
            exclude: [
              ...configDefaults.exclude,
              "test/**/*.apart.test.ts",
              ...(isLong ? [] : ["test/**/*.long.test.ts"]),
            ],
            globalSetup: ["test/support/setup.ts"],
            setupFiles: ["test/support/shared.ts"],
            isolate: false,
          },
        },
        {
          extends: true,
          test: {
            name: "page",
            include: isLong ? PAGE_LONG : PAGE,
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
            include: ["test/**/*.apart.test.ts"],
            globalSetup: ["test/support/setup.ts"],
            execArgv: WITH_WEB_SOCKET,
          },
        },
      ],
    },
  };
});
