/** The page's markup: one screen, small or large, light or dark. `{{secure}}` is the https origin, with `{host}`, or nothing. */
const HEAD = `<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="theme-color" content="#f4f5f7" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#0e1116" media="(prefers-color-scheme: dark)">
<title>edgefit</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' height='24' rx='6' fill='%230b7a75'/%3E%3Cpath d='M6 17V7m4 10V9m4 8v-5m4 5v-3' stroke='%23fff' stroke-width='2.2' stroke-linecap='round'/%3E%3C/svg%3E">
<style>
:root { color-scheme: light dark; --ink: #14181d; --soft: #5b6672; --line: #dfe3e8; --ground: #f4f5f7; --card: #fff;
  --mark: #0b7a75; --mark-soft: #d8efed; --warn: #8a5a00; --warn-soft: #fdf1d8; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebef; --soft: #98a2ae; --line: #2a3038; --ground: #0e1116; --card: #171b21;
  --mark: #3fc1b8; --mark-soft: #143230; --warn: #f0c063; --warn-soft: #35290f; --bad: #ff8a80; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; min-height: 100vh; min-height: 100dvh; font: 1rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink);
  background: var(--ground); padding: max(.75rem, env(safe-area-inset-top)) 1rem max(1rem, env(safe-area-inset-bottom)); }
.column { max-width: 30rem; margin: 0 auto; display: grid; gap: .75rem; }
header { display: flex; align-items: center; gap: .5rem; padding: .25rem .125rem; }
header svg { width: 1.5rem; height: 1.5rem; flex: none; }
header b { font-size: 1.05rem; letter-spacing: -.01em; }
#name { margin-left: auto; color: var(--soft); font-size: .875rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dot { width: .5rem; height: .5rem; border-radius: 50%; background: var(--soft); flex: none; }
[data-link="up"] .dot { background: #2ea56a; } [data-link="down"] .dot { background: var(--bad); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1rem 1.125rem; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.2; letter-spacing: -.02em; font-weight: 650; }
h2 { margin: 0 0 .25rem; font-size: .95rem; font-weight: 600; }
p { margin: .375rem 0 0; color: var(--soft); }
[hidden] { display: none !important; }
.bar { height: 6px; border-radius: 3px; background: var(--line); overflow: hidden; margin-top: .875rem; }
.bar i { display: block; height: 100%; width: 0; border-radius: 3px; background: var(--mark); transition: width .4s; }
.bar.open i { width: 30%; animation: slide 1.4s ease-in-out infinite alternate; }
@keyframes slide { to { margin-left: 70%; } }
@media (prefers-reduced-motion: reduce) { .bar i { animation: none !important; transition: none; } }
.count { display: flex; justify-content: space-between; gap: 1rem; font-size: .875rem; color: var(--soft); margin-top: .375rem; font-variant-numeric: tabular-nums; }
.figures { display: grid; grid-template-columns: 1fr 1fr auto; gap: .25rem 1rem; align-items: end; }
.figures span { display: block; font-size: .8125rem; color: var(--soft); }
.figures strong { font-size: 1.75rem; font-weight: 650; letter-spacing: -.02em; font-variant-numeric: tabular-nums; line-height: 1.15; }
.figures strong small { font-size: .875rem; font-weight: 500; color: var(--soft); letter-spacing: 0; }
#samples { font-size: .8125rem; color: var(--soft); text-align: right; font-variant-numeric: tabular-nums; }
#spark { display: block; width: 100%; height: 3rem; margin-top: .5rem; color: var(--mark); }
dl { margin: 0; display: grid; grid-template-columns: auto 1fr; gap: .375rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.warn { background: var(--warn-soft); border-color: transparent; }
.warn, .warn p { color: var(--warn); } .warn p, .warn ul { margin: .5rem 0 0; font-size: .875rem; } .warn ul { padding-left: 1.1rem; }
.warn li + li { margin-top: .25rem; } summary { font-size: .95rem; font-weight: 600; cursor: pointer; }
button, a.button { display: inline-block; margin-top: .75rem; padding: .625rem 1rem; min-height: 2.75rem; border: 0; border-radius: 10px; font: inherit; font-weight: 600;
  color: #fff; background: var(--mark); text-decoration: none; cursor: pointer; }
@media (prefers-color-scheme: dark) { button, a.button { color: #06211f; } }
body[data-state="failed"] h1, body[data-state="lost"] h1 { color: var(--bad); }
footer { color: var(--soft); font-size: .8125rem; text-align: center; padding: .25rem 1rem; }
</style>`;

const LOGO = `<svg viewBox="0 0 24 24" aria-hidden="true"><rect width="24" height="24" rx="6" fill="var(--mark)"/><path d="M6 17V7m4 10V9m4 8v-5m4 5v-3" stroke="var(--card)" stroke-width="2.2" stroke-linecap="round"/></svg>`;

export const PAGE = `<!doctype html>
<html lang="en">
<head>
${HEAD}
</head>
<body data-state="loading" data-secure="{{secure}}">
<div class="column">
<header>${LOGO}<b>edgefit</b><span id="name"></span><i class="dot" aria-hidden="true"></i></header>
<main class="card">
<h1 id="state" role="status" aria-live="polite">Loading</h1>
<p id="detail"></p>
<button id="action" type="button" hidden></button>
<div class="bar open" id="bar"><i></i></div>
<div class="count"><span id="stage"></span><span id="count"></span></div>
</main>
<section class="card" id="latency" hidden>
<div class="figures"><div><span>Median</span><strong id="p50"></strong></div><div><span>95th percentile</span><strong id="p95"></strong></div><div id="samples"></div></div>
<svg id="spark" viewBox="0 0 300 48" preserveAspectRatio="none" aria-hidden="true"><polyline fill="none" stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke"/></svg>
</section>
<section class="card"><h2>This device</h2><dl id="facts"></dl></section>
<details class="card warn" id="missing" open hidden><summary>What this browser holds back here</summary><ul></ul><a class="button" hidden>Open the secure address</a></details>
<footer id="foot">Keep this page in front and the screen on.</footer>
</div>
<noscript><p>This page needs JavaScript.</p></noscript>
<script type="module" src="/page.js"></script>
</body>
</html>
`;

/** For an address without the right token. */
export const STALE = `<!doctype html>
<html lang="en">
<head>
${HEAD}
</head>
<body data-state="failed">
<div class="column">
<header>${LOGO}<b>edgefit</b></header>
<main class="card"><h1>This code is not valid</h1><p>The hub was started anew, or the address was cut short. Scan the code that it shows now.</p></main>
</div>
</body>
</html>
`;
