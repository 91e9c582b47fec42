/** The style sheet of the report page: light and dark, wide, narrow and printed. No fonts or images from elsewhere. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #ffffff; --ink: #1a1f24; --muted: #56616b; --line: #dce1e6;
  --original: #6f7b86; --fitted: #0a7a74; --int8: #b5540b; --budget: #b3261e; --good: #17703a; --note: #fff6e0; --note-line: #d9a400;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1317; --card: #171d22; --ink: #e7ebee; --muted: #9daab4; --line: #2d363e;
    --original: #8595a2; --fitted: #35bdb2; --int8: #f0984d; --budget: #ff8078; --good: #63cf8c; --note: #2b2410; --note-line: #b98d0c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: clamp(1.7rem, 5vw, 2.6rem); line-height: 1.15; margin: 6px 0 8px; letter-spacing: -0.015em; text-wrap: balance; }
h2 { font-size: 1.15rem; margin: 0 0 4px; }
p { margin: 0 0 10px; }
.muted, caption, figcaption { color: var(--muted); font-size: 0.9rem; }
section, header { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; margin: 0 0 16px; }
section > .muted { max-width: 76ch; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px; margin: 18px 0 0; background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.tiles > div { padding: 10px 14px; background: var(--card); }
.tiles dt { color: var(--muted); font-size: 0.85rem; }
.tiles dd { margin: 0; font-size: 1.25rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.tiles small { display: block; color: var(--muted); font-weight: 400; font-size: 0.85rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.93rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
.names th { overflow-wrap: anywhere; }
td.value, th.value { text-align: right; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: 500; }
thead th { color: var(--muted); font-weight: 500; font-size: 0.85rem; }
td small, th small { color: var(--muted); font-weight: 400; }
td.value small { display: block; }
.side { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 20px 32px; align-items: start; }
figure { margin: 0; }
svg { display: block; max-width: 100%; overflow: visible; }
svg text { fill: var(--ink); font-size: 12px; font-family: inherit; }
svg .soft { fill: var(--muted); }
svg .grid { stroke: var(--line); stroke-width: 1; }
.bar { min-width: 90px; width: 38%; padding-right: 14px; }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 4px; padding: 0 5px; font-size: 0.74rem; line-height: 1.5; color: var(--muted); white-space: nowrap; }
.badge.int8 { color: var(--int8); }
.badge.met { color: var(--good); }
.badge.missed { color: var(--budget); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 6px 0 10px; padding: 0; list-style: none; color: var(--muted); font-size: 0.88rem; }
.legend li { display: flex; align-items: center; gap: 6px; }
.swatch { width: 14px; height: 10px; border-radius: 2px; }
.warnings { background: var(--note); border-color: var(--note-line); }
.warnings ul { margin: 0; padding-left: 20px; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 18px; margin: 8px 0 0; font-size: 0.93rem; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
code { font: 0.88em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
footer { color: var(--muted); font-size: 0.85rem; }
@media (max-width: 700px) {
  main { padding: 12px 10px 32px; }
  section, header { padding: 16px 14px; border-radius: 10px; }
  .side { grid-template-columns: minmax(0, 1fr); }
  .wide { display: none; }
  table { font-size: 0.86rem; }
  th, td { padding-right: 7px; }
  .bar { width: 30%; min-width: 70px; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts dd { margin-bottom: 6px; }
}
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --muted: #444; --line: #bbb; --original: #6f7b86; --fitted: #0a7a74; --int8: #b5540b; --budget: #b3261e; --note: #fff; }
  body { font-size: 11px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  section, header { border: 0; border-top: 1px solid var(--line); border-radius: 0; padding: 10px 0; }
  tr, figure, .tiles > div { break-inside: avoid; }
  h2 { break-after: avoid; }
}`;
