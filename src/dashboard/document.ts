/** The page without a state. Scripts add names from programs and peers, as text. */

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
