import { describe, expect, test } from "vitest";
import { headline, renderHtml } from "../../toolkit/report/html.js";
import { html } from "../../toolkit/report/markup.js";
import { layerBars, ticks } from "../../toolkit/report/plots.js";
import { sampleReport } from "./sampleReport.js";

describe("html templates", () => {
  test("escape text, keep markup, drop null", () => {
    expect(html`<b title="${`"'`}">${"<i>&"}${html`<br>`}${[html`<u>`, html`</u>`]}${null}${7}</b>`.text).toBe(
      '<b title="&quot;&#39;">&lt;i&gt;&amp;<br><u></u>7</b>',
    );
  });
});

describe("the headline", () => {
  test("names speed-up and lost accuracy", () => {
    expect(headline(sampleReport())).toBe("2.14x faster, 0.35 points lost");
  });

  test("says gained when accuracy rose, and slower when it is slower", () => {
    const r = sampleReport();
    r.fitted.accuracy = { top1: 0.95, images: 10_000 };
    r.speedup.ratio = 0.5;
    expect(headline(r)).toBe("2.00x slower, 0.63 points gained");
  });

  test("falls back on agreement without labels, and on cosine for detectors", () => {
    const r = sampleReport();
    r.original.accuracy = r.fitted.accuracy = null;
    expect(headline(r)).toBe("2.14x faster, same answer in 97.1 % of samples");
    r.fitted.agreement!.top1 = null;
    expect(headline(r)).toBe("2.14x faster, cosine similarity 0.9934");
    r.fitted.agreement = null;
    expect(headline(r)).toBe("2.14x faster, accuracy not measured");
  });
});

describe("the page", () => {
  const page = renderHtml(sampleReport());

  test("loads nothing and runs nothing", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|https?:|\ssrc=|\shref=|\son\w+=/i);
  });

  test("has every layer, candidate, frozen reason, warning and stage", () => {
    const r = sampleReport();
    const escaped = (s: string) => html`${s}`.text;
    for (const text of [
      ...r.layers.map((l) => l.name),
      ...r.candidates.map((c) => c.name),
      ...r.groups.flatMap((g) => (g.frozen === null ? [] : [g.frozen])),
      ...r.warnings,
      ...Object.keys(r.seconds),
      r.model.sha256,
      r.device.cpu,
    ]) {
      expect(page).toContain(escaped(text));
    }
  });

  test("closes every element it opens", () => {
    const open: string[] = [];
    for (const [, slash, name, selfClosed] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*?(\/?)>/g)) {
      if (selfClosed || ["meta", "br"].includes(name)) continue;
      if (slash) expect(open.pop()).toBe(name);
      else open.push(name);
    }
    expect(open).toEqual([]);
  });

  test("every drawing has a name for screen readers", () => {
    for (const [tag] of page.matchAll(/<svg[^>]*>/g)) expect(tag).toMatch(/aria-label="[^"]+"|aria-hidden="true"/);
  });

  test("names from a model cannot inject markup", () => {
    const r = sampleReport();
    const evil = '"><script>alert(1)</script>';
    r.layers[0].name = evil;
    r.candidates[0].name = evil;
    r.groups[3].frozen = evil;
    r.warnings.push(evil);
    r.model.file = evil;
    expect(renderHtml(r)).not.toContain("<script");
  });

  test("has no NaN, undefined or Infinity, whatever is missing", () => {
    const r = sampleReport();
    r.original.accuracy = r.fitted.accuracy = r.fitted.agreement = null;
    r.candidates = r.candidates.map((c) => ({ ...c, accuracy: null, agreement: null }));
    r.layers = [];
    r.groups = [];
    r.warnings = [];
    r.seconds = {};
    r.settings.data = r.settings.preprocessing = null;
    r.original.peakMemoryBytes = null;
    r.device.emulated = true;
    const bare = renderHtml(r);
    for (const text of [bare, page]) expect(text).not.toMatch(/NaN|undefined|Infinity|\[object/);
    expect(bare).toContain("emulated");
    expect(bare).toContain("nothing to plot");
  });

  test("plots agreement when no candidate has an accuracy", () => {
    const r = sampleReport();
    r.candidates = r.candidates.map((c) => ({ ...c, accuracy: null }));
    expect(renderHtml(r)).toContain("Agreement with the original, %");
  });

  test("plots agreement when only some candidates have an accuracy", () => {
    const r = sampleReport();
    r.candidates[2].accuracy = null;
    expect(renderHtml(r)).toContain("Agreement with the original, %");
  });

  test("shows layers of microseconds as such", () => {
    const r = sampleReport();
    r.layers = [{ ...r.layers[0], msBefore: 0.0123, msAfter: 0.0045 }];
    expect(renderHtml(r)).toContain("12.3 → 4.5");
    r.layers = [{ ...r.layers[0], msBefore: 1.23, msAfter: 0.45 }];
    expect(renderHtml(r)).toContain("1.230 → 0.450");
  });

  test("says so when the budget was missed", () => {
    const r = sampleReport();
    r.budget.met = false;
    expect(renderHtml(r)).toContain(">missed<");
  });
});

describe("plots", () => {
  test.each([
    [0.94, 3.2],
    [0.0021, 0.0022],
    [90, 94.4],
    [5, 5],
  ])("ticks of %d to %d cover the range in equal round steps", (low, high) => {
    const t = ticks(low, high);
    expect(t[0]).toBeLessThanOrEqual(low);
    expect(t[t.length - 1]).toBeGreaterThanOrEqual(high);
    const steps = t.slice(1).map((v, i) => v - t[i]);
    for (const s of steps) expect(s).toBeCloseTo(steps[0], 9);
    expect(t.length).toBeLessThan(10);
  });

  test("bars are in proportion to the longest", () => {
    const layer = { ...sampleReport().layers[0], msBefore: 0.5, msAfter: 0.125 };
    const widths = [...layerBars(layer, 1).text.matchAll(/width="([\d.]+)%" rx/g)].map((m) => Number(m[1]));
    expect(widths).toEqual([50, 12.5]);
  });
});
