// @ts-check
/**
 * Makes docs/images/demo.svg: a terminal that runs the demo, as an animation without a script in it. What it shows is what
 * the demo printed, when it printed it. Run it after a build, in a checkout:
 *
 *   node scripts/terminal-picture.js [FILE]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const DEMO = fileURLToPath(new URL("../demo/main.js", import.meta.url));
const FILE = fileURLToPath(new URL("../docs/images/demo.svg", import.meta.url));
const COMMAND = "npm run demo";
const ROWS = 24;
/** Pixels. */
const LINE = 18;
const CHARACTER = 7.8;
const COLUMNS = 104;
const MARGIN = 16;
const BAR = 30;
/** Seconds: for typing the command, between two lines at most and at least, and at the end before it begins again. */
const TYPING = 1.2;
const PAUSE = 0.9;
const STEP = 0.12;
const REST = 6;

/** @typedef {{ at: number, text: string }} Line */

/** @returns {Promise<Line[]>} lines of the demo, and the seconds after its start when each came */
async function record() {
  const child = spawn(process.execPath, [DEMO], { stdio: ["ignore", "pipe", "inherit"] });
  const started = performance.now();
  /** @type {Line[]} */
  const lines = [];
  createInterface({ input: child.stdout }).on("line", (text) => {
    lines.push({ at: (performance.now() - started) / 1_000, text });
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`The demo ended with ${code}`);
  return lines;
}

/**
 * The lines on a screen: long ones cut, and when each appears. Waits longer than PAUSE are shortened.
 *
 * @param {readonly Line[]} recorded
 * @returns {Line[]}
 */
function play(recorded) {
  let now = TYPING;
  let before = 0;
  const shown = [{ at: 0, text: `$ ${COMMAND}` }];
  for (const { at, text } of recorded) {
    now += Math.min(PAUSE, Math.max(STEP, at - before));
    before = at;
    shown.push({ at: now, text: text.length > COLUMNS ? `${text.slice(0, COLUMNS - 1)}…` : text });
  }
  return shown;
}

/** @param {readonly Line[]} lines */
function svg(lines) {
  const end = (lines.at(-1)?.at ?? 0) + REST;
  const width = Math.ceil(2 * MARGIN + COLUMNS * CHARACTER);
  const height = BAR + ROWS * LINE + MARGIN;
  const percent = (/** @type {number} */ at) => ((at / end) * 100).toFixed(2);
  const rules = lines.map(({ at }, index) =>
    at === 0
      ? ""
      : `@keyframes l${index}{0%,${percent(at)}%{opacity:0}${percent(at + 0.01)}%,100%{opacity:1}}#l${index}{animation:l${index} ${end.toFixed(2)}s infinite}`,
  );
  const steps = lines.flatMap(({ at }, index) => {
    const up = Math.max(0, index + 1 - ROWS) * LINE;
    const previous = Math.max(0, index - ROWS) * LINE;
    return up === 0
      ? []
      : [
          `${percent(at)}%{transform:translateY(-${previous}px)}${percent(at + 0.01)}%{transform:translateY(-${up}px)}`,
        ];
  });
  const last = Math.max(0, lines.length - ROWS) * LINE;
  const scroll = `@keyframes scroll{0%{transform:translateY(0)}${steps.join("")}100%{transform:translateY(-${last}px)}}#screen{animation:scroll ${end.toFixed(2)}s infinite}`;
  const still = `@media(prefers-reduced-motion:reduce){text,#screen{animation:none!important}#screen{transform:translateY(-${last}px)}}`;
  const rows = lines.map(({ text }, index) => {
    const y = BAR + (index + 1) * LINE - 4;
    const colour = index === 0 ? "#7ee787" : /agree: /.test(text) ? "#79c0ff" : undefined;
    return `<text id="l${index}" x="${MARGIN}" y="${y}"${colour === undefined ? "" : ` style="fill:${colour}"`}>${escapeXml(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>A terminal: ${COMMAND}. ${escapeXml(lines.at(-1)?.text ?? "")}</title>
<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre;fill:#e6edf3}
${rules.join("\n")}
${scroll}
${still}</style>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
<circle cx="18" cy="15" r="5" fill="#ff5f57"/><circle cx="36" cy="15" r="5" fill="#febc2e"/><circle cx="54" cy="15" r="5" fill="#28c840"/>
<svg x="0" y="${BAR}" width="${width}" height="${ROWS * LINE}" viewBox="0 ${BAR} ${width} ${ROWS * LINE}"><g id="screen" xml:space="preserve">
${rows.join("\n")}
</g></svg>
</svg>
`;
}

/** @param {string} text */
function escapeXml(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const file = process.argv[2] ?? FILE;
const lines = play(await record());
writeFileSync(file, svg(lines));
console.log(`${file}: ${lines.length} lines`);
