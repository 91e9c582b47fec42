/** The page's markup and look: one screen, small or large, light or dark. */
export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; img-src data:; media-src blob: mediastream:">
<title>Driver monitoring</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --ground: #f6f8fa; --card: #fff; --line: #d8dee4; --mark: #0969da;
  --good: #1a7f37; --notice: #9a6700; --warning: #bc4c00; --critical: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --ground: #0d1117; --card: #161b22; --line: #30363d;
  --mark: #4493f8; --good: #3fb950; --notice: #d29922; --warning: #db6d28; --critical: #f85149; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 0.95rem/1.45 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1rem; display: grid; gap: 1rem; grid-template-columns: minmax(0, 3fr) minmax(17rem, 2fr); }
header { max-width: 76rem; margin: 0 auto; padding: 1rem 1rem 0; display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; }
h1 { margin: 0; font-size: 1.1rem; } h2 { margin: 0 0 .5rem; font-size: .85rem; font-weight: 600; color: var(--soft); }
header p { margin: 0; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem; }
#stage { padding: 0; overflow: hidden; position: relative; background: #000; aspect-ratio: 4 / 3; }
#stage video, #stage canvas { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; transform: scaleX(-1); }
body[data-source="file"] #stage video, body[data-source="file"] #stage canvas { transform: none; }
#cover { position: absolute; inset: 0; display: grid; place-content: center; gap: .6rem; padding: 1.5rem; text-align: center; color: #e6edf3; background: #0d1117e6; }
#cover[hidden] { display: none; }
#cover strong { font-size: 1.3rem; } #cover span { max-width: 26rem; color: #b1bac4; }
#alert { display: flex; align-items: baseline; gap: .8rem; border-left: .5rem solid var(--good); min-height: 4.4rem; }
#alert b { font-size: clamp(1.3rem, 4vw, 2rem); line-height: 1.15; } #alert span { color: var(--soft); }
#alert[data-level="notice"] { border-color: var(--notice); } #alert[data-level="warning"] { border-color: var(--warning); }
#alert[data-level="critical"] { border-color: var(--critical); background: color-mix(in srgb, var(--critical) 12%, var(--card)); }
.column { display: grid; gap: 1rem; align-content: start; }
dl { margin: 0; display: grid; grid-template-columns: auto 1fr auto; gap: .35rem .7rem; align-items: center; }
dt { color: var(--soft); } dd { margin: 0; font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
meter, .bar { width: 100%; height: .5rem; }
.bar { border-radius: .25rem; background: color-mix(in srgb, var(--soft) 22%, transparent); overflow: hidden; position: relative; }
.bar i { position: absolute; inset: 0 auto 0 0; width: 0; background: var(--mark); }
.bar[data-over="true"] i { background: var(--warning); }
#timeline { width: 100%; height: 6.2rem; display: block; }
.tools { display: flex; flex-wrap: wrap; gap: .5rem; }
button, label.button { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .45rem .8rem; cursor: pointer; }
button:focus-visible, label.button:focus-within { outline: 2px solid var(--mark); outline-offset: 2px; }
input[type="file"] { position: absolute; opacity: 0; width: 1px; height: 1px; }
footer { max-width: 76rem; margin: 0 auto; padding: 0 1rem 1.5rem; color: var(--soft); font-size: .85rem; }
#slow { color: var(--warning); min-height: 1.3em; margin: .5rem 0 0; }
@media (max-width: 52rem) { main { grid-template-columns: minmax(0, 1fr); padding: .6rem; gap: .6rem; } .column { gap: .6rem; } }
</style>
</head>
<body data-state="starting" data-source="camera">
<header><h1>Driver monitoring</h1><p>Everything is computed on this device. No picture leaves it.</p></header>
<main>
  <div class="column">
    <section id="alert" role="status" aria-live="polite" data-level="calm"><div><b id="alert-title">Starting</b><br><span id="alert-detail">Loading the models</span></div></section>
    <section id="stage" aria-label="Camera picture">
      <video id="video" muted playsinline></video><canvas id="overlay"></canvas>
      <div id="cover"><strong id="cover-title">Loading</strong><span id="cover-detail"></span><div><button id="again" hidden>Try again</button></div></div>
    </section>
    <section><h2>The last minute</h2><canvas id="timeline" aria-label="Timeline of the last minute"></canvas></section>
    <div class="tools"><button id="use-camera">Camera</button><label class="button">Open a video<input id="file" type="file" accept="video/*"></label><button id="recalibrate">New driver</button></div>
  </div>
  <div class="column">
    <section><h2>Driver</h2><dl id="driver"></dl></section>
    <section><h2>Milliseconds of each stage, and its budget</h2><dl id="stages"></dl><p id="slow"></p></section>
  </div>
</main>
<footer><p id="facts"></p><p>A demonstration, not for safety use: the models that come with it were trained on drawn faces and were not evaluated on people.</p></footer>
<script type="module" src="page.js"></script>
</body>
</html>
`;
