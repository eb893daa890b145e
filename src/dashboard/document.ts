/**
 * The page without a state, and its style. Scripts add names from programs and peers, as text.
 *
 * Light or dark by system preference, from 360 pixels, with a text contrast of at least 4.5:1.
 */

export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>shoal dashboard</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<script type="module" src="/page/main.js"></script>
</head>
<body>
<a class="skip" href="#sources">Skip to the table</a>
<header>
<h1>shoal</h1>
<p id="status" role="status">Connecting …</p>
<label class="filter">Filter <kbd>/</kbd> <input id="filter" type="search" autocomplete="off" spellcheck="false"></label>
<button id="freeze" type="button" aria-pressed="false">Freeze <kbd>f</kbd></button>
</header>
<main>
<section aria-labelledby="now-title">
<h2 id="now-title">Now</h2>
<dl id="totals"></dl>
<ul id="problems" aria-label="Needs attention"></ul>
<button id="acknowledge" type="button" hidden>Acknowledge drops</button>
</section>
<section class="half" aria-labelledby="charts-title">
<h2 id="charts-title">Messages</h2>
<div id="charts"></div>
</section>
<section class="half" aria-labelledby="map-title">
<h2 id="map-title">Connections</h2>
<div id="map" class="scroll"></div>
<p id="map-more" class="quiet"></p>
</section>
<section id="sources" aria-labelledby="sources-title" tabindex="-1">
<h2 id="sources-title">Proxies, nodes and sockets</h2>
<div class="scroll">
<table id="table">
<caption class="hidden">Proxies, nodes and sockets, with rates per second</caption>
<thead><tr id="heads"></tr></thead>
<tbody id="rows"></tbody>
</table>
</div>
<p id="rows-more" class="quiet"></p>
</section>
<noscript><p>This page needs JavaScript. Without it, use /api/state or shoal top.</p></noscript>
</main>
<dialog id="details" aria-labelledby="details-title"></dialog>
</body>
</html>
`;

export const STYLE = `
:root {
  color-scheme: light dark;
  --back: #f6f8fa; --card: #ffffff; --text: #1b2430; --quiet: #566273; --line: #d5dce4;
  --accent: #0b62b5; --good: #17693a; --warn: #8a5200; --bad: #b3261e; --edge: #8695a6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #11161d; --card: #1a212b; --text: #e4eaf1; --quiet: #9fadbd; --line: #303b49;
    --accent: #7db8f5; --good: #79d29b; --warn: #f0b65a; --bad: #ff9a92; --edge: #66778a;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
header {
  position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; align-items: center; gap: .4rem .9rem;
  padding: .5rem 1rem; background: var(--card); border-bottom: 1px solid var(--line);
}
h1 { margin: 0; font-size: 1.2rem; }
h2 { margin: 0 0 .5rem; font-size: 1rem; }
#status { margin: 0; flex: 1 1 12rem; color: var(--quiet); }
main { display: grid; gap: 1rem; padding: 1rem; max-width: 1700px; margin: 0 auto; }
main > section { min-width: 0; padding: .9rem 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
button, input {
  font: inherit; color: inherit; background: var(--back); border: 1px solid var(--edge); border-radius: 6px;
  padding: .2rem .6rem;
}
button { cursor: pointer; }
button:disabled { cursor: default; opacity: .45; }
button[aria-pressed="true"] { background: var(--accent); color: var(--card); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; z-index: 2; padding: .3rem; background: var(--card); }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.quiet { margin: .4rem 0 0; color: var(--quiet); }
.quiet:empty { display: none; }
.scroll { overflow-x: auto; max-width: 100%; }
#totals { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .6rem; margin: 0; }
#totals div { padding: .1rem 0 .1rem .6rem; border-left: 3px solid var(--line); }
#totals dt { color: var(--quiet); font-size: .85rem; }
#totals dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
#problems { margin: .7rem 0 0; padding: 0; list-style: none; }
#problems:empty { display: none; }
#problems li { padding: .15rem 0 .15rem .6rem; border-left: 3px solid var(--warn); margin-top: .3rem; overflow-wrap: anywhere; }
#problems li.bad { border-color: var(--bad); }
#acknowledge { margin-top: .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .55rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th.text, td.text { text-align: left; }
th { color: var(--quiet); font-weight: 600; font-size: .85rem; }
th button { border: 0; background: none; padding: .1rem; font-weight: 600; }
td button.name {
  border: 0; background: none; padding: .1rem; color: var(--accent); text-align: left; max-width: 18rem;
  overflow: hidden; text-overflow: ellipsis;
}
tbody tr:hover { background: var(--back); }
.warn { color: var(--warn); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.good { color: var(--good); }
section { scroll-margin-top: 4rem; }
svg { display: block; }
svg text { font: 13px system-ui, sans-serif; fill: var(--text); }
svg .small { font-size: 12px; fill: var(--quiet); }
svg .rate { paint-order: stroke; stroke: var(--card); stroke-width: 4; }
svg .box { fill: var(--back); stroke: var(--edge); stroke-width: 1.5; }
svg .warned .box { stroke: var(--warn); stroke-width: 3; }
svg .outside .box { stroke-dasharray: 5 4; }
svg .pill { fill: var(--card); stroke: var(--edge); }
svg .edge { fill: none; stroke: var(--edge); }
svg .edge.busy { stroke: var(--accent); }
svg g[role="button"] { cursor: pointer; }
svg g[role="button"]:focus { outline: none; }
svg g[role="button"]:focus-visible .box, svg g[role="button"]:hover .box { stroke: var(--accent); stroke-width: 3; }
#map svg { margin: 0 auto; }
h3 { margin: 0; font-size: .95rem; overflow-wrap: anywhere; }
#charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); gap: .7rem 1rem; }
figure { margin: 0; min-width: 0; }
.u-wrap { position: relative; }
.u-over, .u-under, .u-axis, .u-select, .u-cursor-x, .u-cursor-y, .u-cursor-pt { position: absolute; left: 0; top: 0; }
.u-cursor-x, .u-cursor-y, .u-cursor-pt, .u-select { pointer-events: none; }
.u-cursor-x { height: 100%; border-right: 1px dashed var(--edge); }
.u-cursor-pt { border-radius: 50%; }
.u-cursor-y, .u-off { display: none; }
.uplot canvas { display: block; width: 100%; height: 100%; }
.u-legend { width: auto; font-size: .85rem; }
.u-legend tr { display: inline-block; margin-right: .8rem; }
.u-legend th, .u-legend td { display: inline-block; padding: 0 .2rem; border: 0; }
.u-legend th > * { display: inline-block; vertical-align: middle; }
.u-marker { width: .9rem; height: 3px; margin-right: .2rem; }
td button.toggle { border: 0; background: none; padding: 0 .3rem; }
tr.side td { color: var(--quiet); }
tr.side td button.name { margin-left: 1.6rem; color: inherit; }
.top { position: sticky; top: -1rem; display: flex; justify-content: space-between; gap: 1rem; padding: .6rem 0; background: var(--card); }
@media (min-width: 1000px) {
  main { grid-template-columns: 1fr 26rem; }
  main > section { grid-column: 1 / -1; }
  body:not(.wide) main > section.half { grid-column: auto; }
}
dialog {
  width: min(60rem, calc(100vw - 1.5rem)); max-height: calc(100vh - 2rem); color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem;
}
dialog::backdrop { background: rgb(0 0 0 / .45); }
dialog h2 { overflow-wrap: anywhere; font-size: 1.15rem; }
dialog h3 { margin: 1rem 0 .3rem; font-size: .95rem; }
dialog dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dialog dd { margin: 0; overflow-wrap: anywhere; }
dialog dt { color: var(--quiet); }
.actions, .paging { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .5rem 0; }
@media (max-width: 640px) {
  main { padding: .5rem; gap: .6rem; }
  main > section { padding: .6rem .5rem; }
  header { position: static; padding: .5rem; }
  #table thead { display: none; }
  #table tr { display: grid; grid-template-columns: repeat(3, 1fr); padding: .4rem 0; border-bottom: 1px solid var(--line); }
  #table td { border: 0; text-align: left; white-space: normal; overflow-wrap: anywhere; padding: .1rem .3rem; }
  #table td::before { content: attr(data-head); display: block; color: var(--quiet); font-size: .8rem; }
  #table td:first-child, #table td:last-child { grid-column: 1 / -1; }
  #table td:first-child::before { content: none; }
  .filter { flex: 1 1 100%; display: flex; gap: .5rem; align-items: center; }
  .filter input { flex: 1; min-width: 0; }
}
@media (prefers-reduced-motion: no-preference) { svg .edge { transition: stroke .3s; } }
`;
