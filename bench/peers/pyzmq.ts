/** pyzmq: libzmq as Python programs use it. */
import type { Contender } from "../contract.js";
import { programFile } from "../places.js";
import { libzmq } from "./libzmq.js";
import { sideArguments } from "./node/side.js";
import { ask, firstThatRuns, lazily, sourceFolder } from "./tools.js";

const STARTER = programFile("peers/start-up-main");

/** SHOAL_PYTHON alone, if set; else the system's first, which has the system's packages. */
const PYTHONS = process.env.SHOAL_PYTHON
  ? [process.env.SHOAL_PYTHON]
  : ["/usr/bin/python3", "python3", "python"];
const python = lazily(() => firstThatRuns(PYTHONS, ["-c", "import zmq"]));
let found = "";

const folder = () => sourceFolder("pyzmq", "main.py") ?? "";

const IN_C_ALONE: readonly string[] = ["majordomo", "proxy", "last-value-cache", "ws"];

export const pyzmq: Contender = {
  name: "pyzmq",
  title: "pyzmq",
  async absent() {
    if (folder() === "")
      return "its Python sources are in a checkout of shoal, not in the package: clone the repository, and install and build it there";
    if ((await python()) !== undefined) return undefined;
    return "no python3 here can import zmq: install pyzmq (Debian: python3-zmq; elsewhere: pip install pyzmq)";
  },
  // The same library with the same socket types. Proxies, and sides that bind at either end, exist only in C.
  supports: (scenario, transport) => !IN_C_ALONE.includes(scenario) && libzmq.supports(scenario, transport),
  command(side) {
    if (side.scenario === "start-up") {
      const first = JSON.stringify([found, `${folder()}start_up.py`]);
      return { file: process.execPath, args: [STARTER, first, ...sideArguments(side)] };
    }
    return {
      file: found,
      args: ["-u", `${folder()}main.py`, ...sideArguments(side)],
      env: { PYTHONDONTWRITEBYTECODE: "1" },
    };
  },
  async version() {
    const code =
      "import sys,zmq;print(f'pyzmq {zmq.__version__} (libzmq {zmq.zmq_version()}, Python {sys.version.split()[0]})')";
    return found === "" ? undefined : (await ask(found, ["-c", code])).stdout.trim();
  },
  async prepare() {
    found = (await python()) ?? "";
  },
};
