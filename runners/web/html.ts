/** The page's markup: one screen, small or large, light or dark. */
export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>edgefit device</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --ground: #fff; --mark: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --ground: #0d1117; --mark: #4493f8; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-content: center; gap: .75rem; padding: 1.5rem; text-align: center;
  font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); }
h1 { margin: 0; font-size: 1rem; font-weight: 600; color: var(--soft); }
#state { font-size: clamp(1.75rem, 8vw, 3rem); font-weight: 650; line-height: 1.15; }
#detail, #facts { color: var(--soft); max-width: 34rem; }
#latency { font-variant-numeric: tabular-nums; min-height: 1.5em; }
.bar { height: 4px; border-radius: 2px; background: color-mix(in srgb, var(--soft) 25%, transparent); overflow: hidden; }
.bar::after { content: ""; display: block; height: 100%; width: 30%; background: var(--mark); visibility: hidden; }
body[data-state="working"] .bar::after, body[data-state="measured"] .bar::after, body[data-state="starting"] .bar::after
  { visibility: visible; animation: slide 1.6s ease-in-out infinite alternate; }
@keyframes slide { to { margin-left: 70%; } }
@media (prefers-reduced-motion: reduce) { .bar::after { animation: none !important; } }
</style>
</head>
<body data-state="starting">
<h1>edgefit</h1>
<div id="state" role="status">Loading</div>
<div class="bar"></div>
<div id="latency"></div>
<div id="detail"></div>
<div id="facts"></div>
<script type="module" src="/page.js"></script>
</body>
</html>
`;
