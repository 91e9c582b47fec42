import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DriverMonitor } from "../../../samples/driver-monitoring/behaviour/index.js";
import { type Action, blinks, truthAt } from "../../../samples/driver-monitoring/scripts/script.js";
import { follow, observe, steady } from "./follow.js";

const at = (states: ReturnType<typeof follow>["states"], timeMs: number) => states.find((s) => s.timeMs >= timeMs)!;

/** Share of the last `windowMs` in which lids cover at least 80 % of the open eye, in steps of 5 ms. */
function perclosByHand(actions: readonly Action[], nowMs: number, windowMs: number, openEye: number): number {
  let closed = 0;
  const from = Math.max(0, nowMs - windowMs);
  for (let t = from; t < nowMs; t += 5) if (truthAt(actions, t).openness < 0.2 * openEye) closed += 5;
  return closed / (nowMs - from);
}

describe("the open-eye baseline", () => {
  const microsleep: Action[] = [{ do: "close", at: 8000, forMs: 1500 }];

  test.each([0.45, 0.7, 1, 1.2])("an open eye that reads %f is this driver's open eye", (openEye) => {
    const { states, events } = follow([...blinks(1500, 4600), ...microsleep], steady(12_000, 30), { openEye });
    expect(at(states, 7000).eyes.openness).toBeCloseTo(1, 1);
    expect(events.filter((e) => e.kind === "microsleep")).toHaveLength(1);
    expect(at(states, 1000).status).toBe("calibrating");
    expect(at(states, 7000)).toMatchObject({ status: "watching", calibration: 1 });
  });

  test("is not taken from eyes that are shut from the start", () => {
    const asleep: Action[] = [{ do: "close", at: 0, forMs: 8000 }];
    const { states, events } = follow(asleep, steady(20_000, 30));
    expect(events.filter((e) => e.kind === "microsleep")).toHaveLength(1);
    expect(at(states, 7000).status).toBe("calibrating");
    expect(at(states, 18_000).eyes.openness).toBeCloseTo(1, 1);
  });

  test("is taken anew after the driver has been gone for long, and kept after a short absence", () => {
    const gone = (forMs: number): Action[] => [{ do: "leave", at: 6000, forMs }];
    const long = follow(gone(25_000), steady(33_000, 30));
    expect(at(long.states, 31_500).status).toBe("calibrating");
    const short = follow(gone(5000), steady(13_000, 30));
    expect(at(short.states, 12_000).status).toBe("watching");
  });
});

describe("straight ahead", () => {
  test.each([
    { yaw: 22, pitch: -9 },
    { yaw: -25, pitch: 12 },
  ])("is where the driver looks in the first seconds, from a camera at %o", (ahead) => {
    const look: Action[] = [{ do: "look", at: 8000, forMs: 3000, yaw: 0, pitch: -35 }];
    const { states } = follow(look, steady(14_000, 30), { ahead });
    expect(states.filter((s) => s.timeMs < 7500).flatMap((s) => s.alerts)).toEqual([]);
    expect(at(states, 9000).attention).toMatchObject({ zone: "down", by: "gaze" });
    expect(at(states, 10_500).alerts.map((a) => a.kind)).toEqual(["distraction"]);
  });

  test("a head without a gaze decides by itself", () => {
    const look: Action[] = [{ do: "look", at: 8000, forMs: 3000, yaw: 70, pitch: 0, head: 1 }];
    const { states } = follow(look, steady(14_000, 30), { gaze: false });
    expect(at(states, 9000).attention).toMatchObject({ zone: "away", by: "head" });
    expect(at(states, 10_500).alerts.map((a) => a.kind)).toEqual(["distraction"]);
  });

  test("a face that vanishes while it turns away is away", () => {
    const turn: Action[] = [
      { do: "look", at: 8000, forMs: 6000, yaw: 80, pitch: 0 },
      { do: "leave", at: 8700, forMs: 4000 },
    ];
    const { states } = follow(turn, steady(14_000, 30));
    expect(at(states, 10_300).alerts.map((a) => a.kind)).toEqual(["distraction"]);
  });
});

describe("closed eyes", () => {
  test("a closure is as long as its script says", () => {
    // Threshold 0.2 is passed 0.2/0.95 of the lids' way before they are shut, 0.35 that part of it after they leave.
    const { events } = follow([{ do: "close", at: 7000, forMs: 400 }], steady(10_000, 120));
    const expected = 400 + 90 * (0.2 + 0.35);
    expect(events).toHaveLength(1);
    expect(Math.abs((events[0] as { durationMs: number }).durationMs - expected)).toBeLessThan(8);
  });

  test("a microsleep is told while the eyes are still closed, and not again when they open", () => {
    const { states } = follow([{ do: "close", at: 7000, forMs: 3000 }], steady(13_000, 30));
    const told = states.filter((s) => s.events.length > 0);
    expect(told.map((s) => [s.events[0].kind, s.eyes.state])).toEqual([["microsleep", "closed"]]);
    expect(told[0].timeMs).toBeLessThan(8100);
  });

  test("one shut eye is a wink, and one hidden eye leaves the other to decide", () => {
    const frames = steady(12_000, 30).map((t) => observe([{ do: "close", at: 7000, forMs: 1500 }], t));
    const open = { openness: 0.95, confidence: 0.9 };
    const wink = new DriverMonitor();
    const covered = new DriverMonitor();
    for (const { timeMs, face } of frames) {
      expect(wink.observe({ timeMs, face: { ...face!, rightEye: open } }).events).toEqual([]);
    }
    const events = frames.flatMap(
      ({ timeMs, face }) =>
        covered.observe({ timeMs, face: { ...face!, rightEye: { ...open, confidence: 0.1 } } }).events,
    );
    expect(events.map((e) => e.kind)).toEqual(["microsleep"]);
  });

  test("PERCLOS is the share of closed time in the window, from the time when enough was seen", () => {
    const actions = [...blinks(3000, 100_000), { do: "close", at: 50_500, forMs: 4000 } as const];
    const { states } = follow(actions, steady(100_000, 30));
    expect(at(states, 19_000).eyes.perclos).toBeUndefined();
    for (const now of [25_000, 45_000, 65_000, 99_000]) {
      expect(Math.abs(at(states, now).eyes.perclos! - perclosByHand(actions, now, 60_000, 0.95))).toBeLessThan(0.01);
    }
  });

  test("noise around a threshold is no blink", () => {
    const monitor = new DriverMonitor();
    const events = steady(20_000, 30).flatMap((timeMs, i) => {
      // After calibration the lids hang between the two thresholds.
      const openness = timeMs < 6000 ? 1 : 0.27 + 0.06 * (i % 2 === 0 ? 1 : -1);
      const eye = { openness, confidence: 0.9 };
      const { face } = observe([], timeMs);
      return monitor.observe({ timeMs, face: { ...face!, leftEye: eye, rightEye: eye } }).events;
    });
    expect(events).toEqual([]);
  });
});

test("time that does not move forward is refused", () => {
  const monitor = new DriverMonitor();
  monitor.observe({ timeMs: 5 });
  expect(() => monitor.observe({ timeMs: 5 })).toThrow(RangeError);
  expect(() => monitor.observe({ timeMs: Number.NaN })).toThrow(RangeError);
});

describe("the rate of pictures", () => {
  /** A driver by chance: closures of clearly one kind, and looks. */
  const action: fc.Arbitrary<(at: number) => Action> = fc.oneof(
    fc.constantFrom(150, 250, 700, 800, 1500, 2500).map(
      (forMs) =>
        (start: number): Action => ({ do: "close", at: start, forMs }),
    ),
    fc.constantFrom(800, 3200).map(
      (forMs) =>
        (start: number): Action => ({ do: "look", at: start, forMs, yaw: 4, pitch: -35 }),
    ),
    fc.constantFrom(300, 3000).map(
      (forMs) =>
        (start: number): Action => ({ do: "yawn", at: start, forMs }),
    ),
  );
  const driver = fc
    .array(action, { minLength: 1, maxLength: 6 })
    .map((list) => list.map((make, i) => make(6000 + 6000 * i)));

  test("steady or not, from 15 to 60 a second, does not change what is found", () => {
    fc.assert(
      fc.property(
        driver,
        fc.integer({ min: 15, max: 60 }),
        fc.integer({ min: 1, max: 1000 }),
        (actions, rate, seed) => {
          const lengthMs = 48_000;
          const reference = follow(actions, steady(lengthMs, 60));
          let jitter = seed;
          const uneven = steady(lengthMs, rate).map((t) => {
            jitter = (jitter * 16807) % 2147483647;
            return t + (0.6 * 1000 * (jitter / 2147483647)) / rate;
          });
          const other = follow(actions, uneven);
          expect(other.events.map((e) => e.kind)).toEqual(reference.events.map((e) => e.kind));
          other.events.forEach((e, i) => {
            expect(Math.abs(e.startMs - reference.events[i].startMs)).toBeLessThan(1000 / rate);
          });
          const kinds = (f: typeof other) => [
            ...new Set(f.states.flatMap((s) => s.alerts.map((a) => `${a.kind} ${a.level}`))),
          ];
          expect(kinds(other)).toEqual(kinds(reference));
          expect(Math.abs(other.last.eyes.perclos! - reference.last.eyes.perclos!)).toBeLessThan(0.01);
        },
      ),
      { numRuns: 20, seed: 7 },
    );
  });
});
