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
<a class="skip" href="#sources">Skip to the sources</a>
<header>
<h1>shoal</h1>
<p id="status" role="status">Connecting …</p>
<label class="filter">Filter <input id="filter" type="search" autocomplete="off" spellcheck="false"></label>
<button id="freeze" type="button" aria-pressed="false">Freeze</button>
<button id="keys" type="button">Keys</button>
</header>
<main>
<section aria-labelledby="now-title">
<h2 id="now-title">Now</h2>
<dl id="totals"></dl>
<ul id="problems" aria-label="Needs attention"></ul>
</section>
<section aria-labelledby="map-title">
<h2 id="map-title">Connections</h2>
<div id="map" class="scroll"></div>
<p id="map-more" class="quiet"></p>
</section>
<section id="sources" aria-labelledby="sources-title" tabindex="-1">
<h2 id="sources-title">Sources</h2>
<div class="scroll">
<table>
<caption class="hidden">Sides of sources, with rates per second</caption>
<thead><tr id="heads"></tr></thead>
<tbody id="rows"></tbody>
</table>
</div>
<p id="rows-more" class="quiet"></p>
</section>
<noscript><p>This page needs JavaScript. Without it, use /api/state or shoal top.</p></noscript>
</main>
<dialog id="details" aria-labelledby="details-title"></dialog>
<dialog id="help" aria-labelledby="help-title">
<h2 id="help-title">Keys</h2>
<dl>
<dt><kbd>/</kbd></dt><dd>filter by name, kind, state or address</dd>
<dt><kbd>f</kbd></dt><dd>freeze or resume the page</dd>
<dt><kbd>Tab</kbd>, <kbd>Enter</kbd></dt><dd>go to a source, and open it</dd>
<dt><kbd>Esc</kbd></dt><dd>close the dialog</dd>
<dt><kbd>?</kbd></dt><dd>these keys</dd>
</dl>
<form method="dialog"><button>Close</button></form>
</dialog>
</body>
</html>
`;
