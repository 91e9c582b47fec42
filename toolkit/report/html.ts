/** `report.html`: one self-contained page made from a `FitReport`. Loads nothing, runs no script. */
import {
  formatBytes,
  formatCount,
  formatMs,
  formatPercent,
  formatPoints,
  formatRatio,
  formatSeconds,
  latencyAt,
  significant,
} from "./format.js";
import { html, type Markup } from "./markup.js";
import { page } from "./page.js";
import { budgetBar, layerBars, paretoPlot, qualityOf, shareBar } from "./plots.js";
import type { Agreement, FitReport, ModelFigures } from "./schema.js";

/** `2.14x faster, 0.35 points lost`: the result in one line, the same on the page and in the terminal. */
export function headline(r: FitReport): string {
  const ratio = r.speedup.ratio;
  const speed = ratio >= 1 ? `${formatRatio(ratio)} faster` : `${formatRatio(1 / ratio)} slower`;
  return `${speed}${isPredicted(r) ? " by prediction" : ""}, ${qualityChange(r)}`;
}

function qualityChange(r: FitReport): string {
  const before = r.original.accuracy;
  const after = r.fitted.accuracy;
  if (before && after) {
    const points = Math.abs(after.top1 - before.top1) * 100;
    if (points < 0.005) return "no accuracy lost";
    return `${points.toFixed(2)} points ${after.top1 < before.top1 ? "lost" : "gained"}`;
  }
  const agreement = r.fitted.agreement;
  if (!agreement) return "accuracy not measured";
  if (agreement.top1 !== null) return `same answer in ${formatPercent(agreement.top1, 1)} of samples`;
  return `cosine similarity ${Math.min(...agreement.outputs.map((o) => o.cosine)).toFixed(4)}`;
}

/** The page as text. All names and messages are escaped. */
export function renderHtml(r: FitReport): string {
  const title = `${r.model.file}: ${headline(r)}`;
  return page(
    title,
    r.tool.version,
    html`${hero(r)}
${warnings(r)}
${beforeAfter(r)}
${candidates(r)}
${layers(r)}
${groups(r)}
${prediction(r)}
${conditions(r)}
<footer>edgefit ${r.tool.version}, ${new Date(r.date).toUTCString()}. The same figures for programs: <code>report.json</code>.</footer>`,
  ).text;
}

const isPredicted = (r: FitReport): boolean => r.latencySource === "predicted";

function hero(r: FitReport): Markup {
  const { percentile } = r.budget;
  const left = 1 - latencyAt(r.fitted, percentile) / r.budget.ms;
  const by = isPredicted(r) ? " by the table, not measured" : "";
  const verdict = r.budget.met
    ? html`<span class="badge met">met</span>${by} ${formatPercent(left, 0)} to spare`
    : html`<span class="badge missed">missed</span>${by}`;
  const device = `${r.device.cpu}, ${r.runtime.threads} ${r.runtime.threads === 1 ? "thread" : "threads"}`;
  return html`<header>
<div class="muted">${r.model.file} on ${device}${r.device.emulated ? " (emulated)" : ""}</div>
<h1>${headline(r)}</h1>
<p>Budget ${r.budget.text}${/ms$/i.test(r.budget.text) ? null : ` = ${formatMs(r.budget.ms)}`} at ${percentile}: ${verdict}</p>
${budgetBar(r)}
<dl class="tiles">${tiles(r)}</dl>
</header>`;
}

function tiles(r: FitReport): Markup[] {
  const { original: a, fitted: b } = r;
  const tile = (name: string, value: string, note: string) =>
    html`<div><dt>${name}</dt><dd>${value}<small>${note}</small></dd></div>`;
  const shrunk = (name: string, before: number, after: number, format: (v: number) => string) =>
    tile(name, format(after), `from ${format(before)} (${change(before, after)})`);
  return [
    ...(a.accuracy && b.accuracy
      ? [tile("Accuracy, top-1", formatPercent(b.accuracy.top1), `from ${formatPercent(a.accuracy.top1)}`)]
      : []),
    ...(b.agreement?.top1 != null ? [tile("Same answer", formatPercent(b.agreement.top1), "as the original")] : []),
    shrunk("File", a.bytes, b.bytes, formatBytes),
    shrunk("MACs", a.macs, b.macs, formatCount),
    shrunk("Parameters", a.params, b.params, formatCount),
    shrunk("Peak activations", a.peakActivationBytes, b.peakActivationBytes, formatBytes),
  ];
}

/** `-42 %` */
function change(before: number, after: number): string {
  if (before === 0) return after === 0 ? "0\u00a0%" : "new";
  const percent = (after / before - 1) * 100;
  return `${percent > 0 ? "+" : ""}${percent.toFixed(0)}\u00a0%`;
}

function warnings(r: FitReport): Markup | null {
  const all = [
    ...(isPredicted(r)
      ? ["The device was not there: every latency is predicted from a saved table, none measured."]
      : []),
    ...(r.device.emulated ? ["The device is emulated: these times are not those of real hardware."] : []),
    ...r.warnings,
  ];
  if (all.length === 0) return null;
  return html`<section class="warnings"><h2>Read these figures with care</h2><ul>${all.map((w) => html`<li>${w}</li>`)}</ul></section>`;
}

function beforeAfter(r: FitReport): Markup {
  const { original: a, fitted: b } = r;
  const row = (name: string, before: string, after: string, difference = "") =>
    html`<tr><th scope="row">${name}</th><td class="value">${before}</td><td class="value">${after}</td><td class="value wide">${difference}</td></tr>`;
  const size = (name: string, pick: (m: ModelFigures) => number | null, format: (v: number) => string) => {
    const [before, after] = [pick(a), pick(b)];
    return before === null || after === null ? null : row(name, format(before), format(after), change(before, after));
  };
  const interval = (m: ModelFigures) => m.latencyMs.p50Interval.map(significant).join(" to ");
  const latency = (["p50", "p90", "p95", "min", "mean", "std"] as const).map((k) =>
    size(isPredicted(r) ? `Latency ${k}, predicted` : `Latency ${k}`, (m) => m.latencyMs[k], formatMs),
  );
  const p99 = (m: ModelFigures) => (m.latencyMs.p99 === null ? "n too small" : formatMs(m.latencyMs.p99));
  const memory = (m: ModelFigures) => (m.peakMemoryBytes === null ? "not known" : formatBytes(m.peakMemoryBytes));
  return html`<section id="before-after"><h2>Before and after</h2>
<p class="muted">${isPredicted(r) ? `Latencies are predicted from the saved table of the device; nothing was timed. Speed-up ${formatRatio(r.speedup.ratio)}, ` : `Both models timed in turns, shuffled, after warm-up. Speed-up of the medians ${formatRatio(r.speedup.ratio)}, 95 % interval `}${formatRatio(r.speedup.interval[0])} to ${formatRatio(r.speedup.interval[1])}${isPredicted(r) ? " by the table's own error" : ""}.</p>
<table><thead><tr><th scope="col">${isPredicted(r) ? "Predicted, and computed on this machine" : "Measured on the device"}</th><th scope="col" class="value">Original</th><th scope="col" class="value">Fitted</th><th scope="col" class="value wide">Change</th></tr></thead><tbody>
${a.accuracy && b.accuracy ? row(`Accuracy, top-1, ${b.accuracy.images} images`, formatPercent(a.accuracy.top1), formatPercent(b.accuracy.top1), formatPoints(b.accuracy.top1 - a.accuracy.top1)) : null}
${latency.filter((m) => m !== null)}
${isPredicted(r) ? null : row("Latency p99", p99(a), p99(b))}
${row(isPredicted(r) ? "p50, range of nine nets in ten, ms" : "p50, 95 % interval, ms", interval(a), interval(b))}
${isPredicted(r) ? null : row("Samples", String(a.latencyMs.n), String(b.latencyMs.n))}
${size("First run", (m) => m.firstRunMs, formatMs)}
${size("Session creation", (m) => m.initMs, formatMs)}
${size("File", (m) => m.bytes, formatBytes)}
${size("Parameters", (m) => m.params, formatCount)}
${size("MACs", (m) => m.macs, formatCount)}
${size("Peak activations, computed", (m) => m.peakActivationBytes, formatBytes)}
${row("Peak memory of the process", memory(a), memory(b))}
</tbody></table>
${b.agreement ? agreement(b.agreement) : null}
</section>`;
}

function agreement(a: Agreement): Markup {
  return html`<table style="margin-top:18px"><thead><tr><th scope="col">Output, against the original on ${a.samples} samples</th><th scope="col" class="value">Cosine</th><th scope="col" class="value">SQNR</th></tr></thead><tbody>
${a.outputs.map((o) => html`<tr><th scope="row">${o.name}</th><td class="value">${o.cosine.toFixed(5)}</td><td class="value">${o.sqnrDb === null ? "identical" : `${o.sqnrDb.toFixed(1)} dB`}</td></tr>`)}
</tbody></table>`;
}

function candidates(r: FitReport): Markup {
  const kind = qualityOf(r);
  const plot = paretoPlot(r);
  const rows = r.candidates.map((c) => {
    const share = (v: number | null) => (v === null ? "" : formatPercent(v));
    const name = c.chosen ? html`<strong>${c.name}</strong>` : c.name;
    return html`<tr><th scope="row">${name}</th><td class="value">${formatMs(c.latencyMs)}${c.measured ? null : html` <small>predicted</small>`}</td><td class="value">${share(c.agreement)}</td><td class="value">${share(c.accuracy)}</td></tr>`;
  });
  return html`<section id="candidates"><h2>Candidates</h2>
<p class="muted">What was weighed on the way. A point on the line is not beaten in both latency and ${kind ?? "quality"} by another one.${kind === "agreement" ? " Agreement with the original was judged on training images held back from calibration." : ""}</p>
<div class="side"><figure>${plot ?? html`<p>No candidate was evaluated for quality, so there is nothing to plot.</p>`}
<figcaption>Circle: fp32. Diamond: INT8. Square: mixed. Hollow: latency predicted, not measured.</figcaption></figure>
<table><thead><tr><th scope="col">Candidate</th><th scope="col" class="value">${r.budget.percentile}</th><th scope="col" class="value">Agreement</th><th scope="col" class="value">Accuracy</th></tr></thead><tbody>${rows}</tbody></table></div></section>`;
}

function layers(r: FitReport): Markup {
  const longest = Math.max(0, ...r.layers.flatMap((l) => [l.msBefore, l.msAfter]));
  const micro = longest < 0.1;
  const time = (ms: number) => (micro ? (ms * 1000).toFixed(1) : ms.toFixed(3));
  const channels = (before: number | null, after: number | null) =>
    before === null
      ? ""
      : after === 0
        ? `${before} → gone`
        : before === after
          ? `${before}`
          : `${before} → ${after ?? "?"}`;
  const rows = r.layers.map(
    (l) =>
      html`<tr><th scope="row">${l.name} <small>${l.op}</small></th><td class="value">${channels(l.widthBefore, l.widthAfter)}</td><td class="bar">${layerBars(l, longest)}</td><td class="value wide">${time(l.msBefore)} → ${time(l.msAfter)}</td><td>${l.widthAfter === 0 ? null : l.precision === "int8" ? html`<span class="badge int8">INT8</span>` : html`<span class="badge">fp32</span>`}</td><td class="value wide">${l.sqnrDb === null ? "" : `${l.sqnrDb.toFixed(1)} dB`}</td></tr>`,
  );
  return html`<section id="layers"><h2>Layer by layer</h2>
<p class="muted">Time as the latency table has it for each kernel, before and after; the longest bar is ${formatMs(longest)}.</p>
<ul class="legend"><li><span class="swatch" style="background:var(--original)"></span>original</li><li><span class="swatch" style="background:var(--fitted)"></span>fitted, fp32</li><li><span class="swatch" style="background:var(--int8)"></span>fitted, INT8</li></ul>
<table class="names"><thead><tr><th scope="col">Layer</th><th scope="col" class="value">Channels</th><th scope="col">Time</th><th scope="col" class="value wide">${micro ? "µs" : "ms"}</th><th scope="col">Type</th><th scope="col" class="value wide">SQNR</th></tr></thead><tbody>${rows}</tbody></table></section>`;
}

function groups(r: FitReport): Markup {
  const frozen = r.groups.filter((g) => g.frozen !== null);
  const cut = r.groups.filter((g) => g.widthAfter > 0 && g.widthAfter < g.widthBefore).length;
  const gone = r.layers.filter((l) => l.widthAfter === 0).length;
  const rows = frozen.map(
    (g) =>
      html`<tr><th scope="row">${g.producers.join(", ")}</th><td class="value">${g.widthBefore}</td><td>${g.frozen as string}</td></tr>`,
  );
  return html`<section id="groups"><h2>What could not be pruned</h2>
<p class="muted">Channels that must live or die together form a group. Of ${r.groups.length} groups ${cut} became narrower${gone > 0 ? `, ${gone} of ${r.layers.length} layers went as a whole` : ""} and ${frozen.length} ${frozen.length === 1 ? "is" : "are"} frozen.</p>
${frozen.length === 0 ? null : html`<table class="names"><thead><tr><th scope="col">Made by</th><th scope="col" class="value">Channels</th><th scope="col">Why it stays</th></tr></thead><tbody>${rows}</tbody></table>`}</section>`;
}

function prediction(r: FitReport): Markup {
  const p = r.prediction;
  const total = Object.values(r.seconds).reduce((sum, s) => sum + s, 0);
  const rows = Object.entries(r.seconds).map(
    ([stage, s]) =>
      html`<tr><th scope="row">${stage}</th><td class="bar">${shareBar(s, total)}</td><td class="value">${formatSeconds(s)}</td></tr>`,
  );
  return html`<section><div class="side"><div><h2>Where the run's time went</h2><p class="muted">${formatSeconds(total)} in all.</p><table><tbody>${rows}</tbody></table></div>
<div><h2>Prediction</h2><p class="muted">What the latency table said of the fitted model${p.errorPct === null ? ". Nothing was measured" : ", and what was measured"}.</p>
<table><tbody><tr><th scope="row">Sum of the table</th><td class="value">${formatMs(p.tableMs)}</td></tr><tr><th scope="row">Corrected for the whole model</th><td class="value">${formatMs(p.correctedMs)}</td></tr>${p.errorPct === null ? null : html`<tr><th scope="row">Measured p50</th><td class="value">${formatMs(r.fitted.latencyMs.p50)}</td></tr><tr><th scope="row">Error</th><td class="value">${p.errorPct > 0 ? "+" : ""}${p.errorPct.toFixed(1)} %</td></tr>`}</tbody></table></div></div></section>`;
}

function conditions(r: FitReport): Markup {
  const { device: d, runtime: t, settings: s } = r;
  const known = (v: string | number | boolean | null, unit = "") => (v === null ? "not known" : `${v}${unit}`);
  const facts: [string, string | Markup][] = [
    ["Processor", `${d.cpu}, ${d.cores} cores, ${d.isa.join(" ") || "instruction sets not known"}`],
    [
      "System",
      `${d.os}${d.memoryBytes === null ? "" : `, ${formatBytes(d.memoryBytes)} of memory`}${t.node ? `, Node ${t.node}` : ""}`,
    ],
    [
      "Runtime",
      `${t.package} ${t.version}, provider ${t.provider}, ${t.threads} thread(s), optimisation "${t.graphOptimizationLevel}", clock step ${formatMs(t.clockMs)}`,
    ],
    [
      "Conditions",
      `governor ${known(d.conditions.governor)}, temperature ${known(d.conditions.temperatureC, " °C")}, charging ${known(d.conditions.charging)}`,
    ],
    [
      "Output check",
      r.golden
        ? `before any timing the device's outputs were compared with the host's: largest error ${r.golden.maxAbsError.toExponential(1)}, allowed ${r.golden.tolerance.toExponential(1)}`
        : "none: the device was not there",
    ],
    [
      "Data",
      s.data
        ? `${s.data.name}: ${s.data.evaluatedImages} of ${s.data.testImages} test images evaluated, ${s.data.trainImages} training images, ${s.data.skipped} skipped`
        : "none given: statistics come from random inputs, accuracy was not measured",
    ],
    [
      "Preprocessing",
      s.preprocessing
        ? html`${s.preprocessing.source}: <code>${JSON.stringify(s.preprocessing.values)}</code>`
        : "none",
    ],
    [
      "Settings",
      `criterion ${s.criterion}, INT8 ${s.int8}, ${s.finetuneEpochs} epochs of fine-tuning, ${s.calibrationImages} calibration images, seed ${s.seed}, ${s.paced === null ? "calls in a row" : `one call per frame at ${s.paced}`}${Object.entries(
        s.dims,
      )
        .map(([k, v]) => `, ${k}=${v}`)
        .join("")}`,
    ],
    ["Source model", html`${r.model.file}, SHA-256 <code>${r.model.sha256}</code>`],
  ];
  return html`<section id="conditions"><h2>Conditions</h2><p class="muted">A latency holds for one device, runtime and set of conditions. These were they.</p>
<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl></section>`;
}
